"""What a model sees, as configuration: axial slices, 3-D patches, or photographs. A recipe holds one of the three.

All of them have: contrasts, in the order of every batch; size, the edge of a (square or cubic) sample in pixels;
channels, the planes of one contrast (1 for MR, 3 for colour); dims, 2 or 3; paired, whether a sample's contrasts show
one and the same thing; labels, of what each data set tells of an image, none where a sample is not told its kind;
lesion, whether a case without a segmentation is of no use.
"""

from dataclasses import dataclass
from typing import Literal

from polycontrast.data import grid
from polycontrast.data.augment import Augmentation
from polycontrast.errors import UserError

Units = Literal["slice-max", "volume"]


@dataclass(frozen=True)
class DataConfig:
    """Axial slices of volumes.

    extent, size: the in-plane frame, mm and pixels. units: "slice-max" (TC-MGAN's: each slice by its own maximum, to
    [-1, 1]) or "volume" (normalised units v as 2 v - 1). min_area: a slice is kept if each contrast has more non-zero
    voxels than this, in mm^2. slab: adjacent slices per sample; made: how many of them, in the middle, a system makes
    at once. apart: at synthesis a slab begins at most so many mm after the last, 0: side by side; what lies between is
    filled in (`infer/between.py`; for units of "volume"). cropped: at synthesis no more than the brain is computed, by
    networks that any size suits, instead of the frame. centred: at synthesis a volume's brain mean is set to 0.5, which
    by definition is that of every real one.
    lesion: a system that learns from the lesion would take a missing segmentation for health. paired: False gives every
    contrast its own shuffled slices, so that no sample holds a pair. labels: for systems that are told one image's
    kind, the contrasts of each cohort; a sample is then one image with its label vector.
    """

    kind: Literal["slices"] = "slices"
    contrasts: tuple[str, ...] = ("T1", "T1ce", "T2", "FLAIR")
    extent: float = 240.0
    size: int = 128
    units: Units = "slice-max"
    min_area: float = 2000.0
    slab: int = 1
    made: int = 1
    apart: float = 0.0
    cropped: bool = False
    centred: bool = False
    lesion: bool = True
    paired: bool = True
    labels: tuple[tuple[str, ...], ...] = ()
    augmentation: Augmentation | None = None

    def __post_init__(self) -> None:
        if not self.apart >= 0:
            raise UserError(f"slabs {self.apart} mm apart", hint="0 or more")
        if self.apart and self.units != "volume":
            raise UserError(
                "slices in units of their own cannot be filled in between others",
                hint='set apart to 0, or units to "volume"',
            )

    @property
    def first(self) -> int:
        """Where in a slab the slices that are made begin; a UserError if they do not lie in its middle."""
        around, odd = divmod(self.slab - self.made, 2)
        if around < 0 or odd or self.made < 1:
            raise UserError(
                f"of slabs of {self.slab} slices {self.made} cannot be made",
                hint="as many slices on either side of those that are made: slab 4 and made 2, say",
            )
        return around

    @property
    def frame(self) -> grid.Frame:
        return grid.Frame(self.extent, self.size)

    @property
    def channels(self) -> int:
        return self.slab

    @property
    def dims(self) -> int:
        return 2


@dataclass(frozen=True)
class PatchConfig:
    """Cubic patches of volumes in normalised units v, as 2 v - 1.

    spacing: voxel edge in mm. size: the patch's edge in voxels. margin: at synthesis this many voxels at each face of
    an estimate are thrown away (Dai et al. 2020: patches of 72, estimates kept to 48, a margin of 12).
    """

    kind: Literal["patches"] = "patches"
    contrasts: tuple[str, ...] = ("T1", "T1ce", "T2", "FLAIR")
    spacing: float = 1.0
    size: int = 72
    margin: int = 12
    units: Literal["volume"] = "volume"
    lesion: bool = False

    @property
    def paired(self) -> bool:
        return True

    @property
    def labels(self) -> tuple[tuple[str, ...], ...]:
        return ()

    @property
    def channels(self) -> int:
        return 1

    @property
    def dims(self) -> int:
        return 3


@dataclass(frozen=True)
class PhotoSet:
    """One data set of photographs that are told by labels, which lies in a folder of its own.

    layout: "celeba" (`images/` and `list_attr_celeba.txt`) or "rafd" (the expression in the file's name). labels: the
    attributes or expressions that are learnt. crop: first cut the centre to this edge (StarGAN: 178 of CelebA, 256 of
    RaFD). held_out: how many of the files are never trained on, the same in every run (StarGAN's CelebA: 2000); of
    rafd whole people, at least so many files.
    """

    layout: Literal["celeba", "rafd"]
    labels: tuple[str, ...]
    crop: int
    held_out: int = 0


@dataclass(frozen=True)
class PhotoConfig:
    """Photographs of 8 or 16 bits, as [-1, 1] over the whole range of the file's type.

    layout: "aligned" (`A|B` side by side in one file, in `train/`: pix2pix), "unpaired" (`trainA/`, `trainB/`:
    CycleGAN, DiscoGAN, UNIT) or "labelled" (StarGAN: the data sets of `sets`, a sample being one image of one of them).
    contrasts: the two sides, or `photograph` where labels tell what an image shows. load: resize to this edge; size:
    then cut a random square of this edge (pix2pix: 286, 256). flip: mirror half of the samples.
    """

    kind: Literal["photographs"] = "photographs"
    layout: Literal["aligned", "unpaired", "labelled"] = "aligned"
    contrasts: tuple[str, ...] = ("A", "B")
    channels: int = 3
    load: int = 286
    size: int = 256
    flip: bool = True
    sets: tuple[PhotoSet, ...] = ()
    lesion: bool = False

    @property
    def labels(self) -> tuple[tuple[str, ...], ...]:
        """The labels of each data set, as `DataConfig.labels`."""
        return tuple(one.labels for one in self.sets)

    @property
    def dims(self) -> int:
        return 2

    @property
    def paired(self) -> bool:
        return self.layout != "unpaired"


AnyData = DataConfig | PatchConfig | PhotoConfig

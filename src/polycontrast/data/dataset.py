"""Cases -> slices -> Batch. What a sample holds depends on (seed, its global index) alone, never on rank or worker."""

from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from polycontrast.data import augment, grid, intensity
from polycontrast.data.augment import Augmentation
from polycontrast.data.cache import Entry
from polycontrast.errors import UserError
from polycontrast.io.volume import Array

Units = Literal["slice-max", "volume"]
_PERMUTE, _AUGMENT = 1, 2  # streams of randomness that must not coincide


@dataclass(frozen=True)
class DataConfig:
    """What a model sees of a volume.

    contrasts: the recipe's contrasts, in the order of every batch. extent, size: the in-plane frame, mm and pixels.
    units: "slice-max" (the paper's: each slice by its own maximum, to [-1, 1]) or "volume" (normalised units v as
    2 v - 1). min_area: a slice is kept if each contrast has more non-zero voxels than this, in mm^2.
    slab: adjacent slices per sample (odd). lesion: whether a case without a segmentation is of no use: a system that
    learns from the lesion would take its absence for health.
    """

    contrasts: tuple[str, ...] = ("T1", "T1ce", "T2", "FLAIR")
    extent: float = 240.0
    size: int = 128
    units: Units = "slice-max"
    min_area: float = 2000.0
    slab: int = 1
    lesion: bool = True
    augmentation: Augmentation | None = None

    @property
    def frame(self) -> grid.Frame:
        return grid.Frame(self.extent, self.size)


@dataclass(frozen=True)
class Batch:
    """B samples on one device.

    images [B, C, K, H, W] in the system's units, zeros where absent; present [B, C] bool; mask [B, 1, K, H, W] bool;
    lesion [B, L, K, H, W] bool, L = whole tumour; index [B]: each sample's global index, from which its randomness
    derives; dims: 2 for slabs of K slices, 3 for patches.
    """

    images: Tensor
    present: Tensor
    mask: Tensor
    lesion: Tensor
    index: tuple[int, ...]
    dims: int = 2

    def to(self, device: torch.device) -> "Batch":
        names = ("images", "present", "mask", "lesion")
        return replace(self, **{name: getattr(self, name).to(device, non_blocking=True) for name in names})


def to_units(slices: Array, units: Units, peak: Array | None = None) -> Array:
    """Normalised slices (units "volume") or raw slices ("slice-max", `peak` = their maxima) -> the system's [-1, 1]."""
    if units == "volume":
        return np.asarray(2 * slices - 1, dtype=np.float32)
    peak = intensity.slice_max(slices) if peak is None else peak
    return np.asarray(2 * slices / peak - 1, dtype=np.float32)


class SliceDataset:
    """The slices (or slabs) of a cohort that a recipe trains on.

    entries: cached cases; those that lack a contrast of the recipe, or the segmentation where one is needed, are
    left out (`left_out` names them).
    len() is the number of slices; `sample(i)` is defined for every i >= 0: each pass over the cohort is a permutation
    of it, drawn from (seed, pass).
    """

    def __init__(self, entries: Sequence[Entry], config: DataConfig, seed: int = 0) -> None:
        complete = [
            e for e in entries if set(config.contrasts) <= set(e.contrasts) and (e.segmented or not config.lesion)
        ]
        self.left_out = tuple(e.id for e in entries if e not in complete)
        self.entries, self.config, self.seed = complete, config, seed
        self.places = [(e, int(z)) for e in complete for z in np.flatnonzero((e.area > config.min_area).all(axis=0))]
        if not self.places:
            raise UserError(
                f"no slice to train on: {len(entries)} cases, {len(complete)} of them with all of "
                f"{', '.join(config.contrasts)}{' and a segmentation' if config.lesion else ''}, none of these with a "
                f"slice of more than {config.min_area:g} mm^2",
                hint="check the folder and the roles of the split file with `polycontrast check`",
            )
        self._order: tuple[int, np.ndarray] = (-1, np.empty(0))

    def __len__(self) -> int:
        return len(self.places)

    def place(self, index: int) -> tuple[Entry, int]:
        """Which case and slice the sample with this global index shows."""
        epoch, position = divmod(index, len(self.places))
        cached_epoch, order = self._order
        if cached_epoch != epoch:
            order = np.random.default_rng((self.seed, _PERMUTE, epoch)).permutation(len(self.places))
            self._order = (epoch, order)
        return self.places[int(order[position])]

    def sample(self, index: int) -> tuple[Tensor, Tensor, Tensor]:
        """images [C, K, H, W] float32, mask [1, K, H, W] bool, lesion [1, K, H, W] bool."""
        entry, z = self.place(index)
        images, mask, lesion = read_slab(entry, z, self.config)
        if self.config.augmentation is not None:
            rng = np.random.default_rng((self.seed, _AUGMENT, index))
            transform = augment.sample(self.config.augmentation, len(images), rng)
            images, mask, lesion = augment.apply(transform, images, mask, lesion)
        return torch.from_numpy(to_units(images.numpy(), self.config.units)), mask, lesion

    def batch(self, indices: Sequence[int]) -> Batch:
        """The samples with these global indices."""
        images, mask, lesion = (torch.stack(t) for t in zip(*map(self.sample, indices), strict=True))
        present = torch.ones(images.shape[:2], dtype=torch.bool)
        return Batch(images, present, mask, lesion, tuple(indices))

    def batches(
        self, first: int, size: int, rank: int = 0, world: int = 1, *, ahead: bool = True
    ) -> Generator[Batch, None, None]:
        """Endless batches from the global index `first` on; each rank gets its share of every batch of `size`.

        ahead: read the next batch in a thread while the caller computes. That helps a caller that waits for a GPU; one
        that computes on the CPU is slowed, since the thread's own pool makes OpenMP believe that cores are short.
        """
        share = size // world

        def indices(start: int) -> range:
            return range(start + rank * share, start + (rank + 1) * share)

        if not ahead:
            while True:
                yield self.batch(indices(first))
                first += size
        with ThreadPoolExecutor(max_workers=1) as pool:
            waiting = pool.submit(self.batch, indices(first))
            while True:
                first += size
                ready, waiting = waiting, pool.submit(self.batch, indices(first))
                yield ready.result()


def read_slab(entry: Entry, z: int, config: DataConfig) -> tuple[Tensor, Tensor, Tensor]:
    """A slab around slice z of the entry's box, framed: images [C, K, H, W], mask and lesion [1, K, H, W].

    Images are normalised ("volume") or in file units ("slice-max": the rule then needs the raw values).
    Slices beyond the box are empty.
    """
    half = config.slab // 2
    depth = entry.box[2][1] - entry.box[2][0]
    low, high = max(0, z - half), min(depth, z + half + 1)
    stored = entry.images(slice(low, high)).astype(np.float32)  # [K, C, X, Y]
    order = [entry.contrasts.index(c) for c in config.contrasts]
    mask = entry.mask(slice(low, high))
    images = stored[:, order].transpose(1, 0, 2, 3)
    if config.units == "slice-max":
        raw = [entry.intensities[o].undo(i, mask) for o, i in zip(order, images, strict=True)]
        images = np.maximum(np.stack(raw), 0)
    frame = config.frame
    start = frame.place(entry.box, entry.shape, entry.spacing)
    start = (start[0] - entry.box[0][0], start[1] - entry.box[1][0])
    width, size = frame.pixels(entry.spacing), (config.size, config.size)

    def framed(array: Array) -> Tensor:
        out = np.zeros((array.shape[0], config.slab, *size), dtype=np.float32)
        first = low - (z - half)
        out[:, first : first + high - low] = grid.resize(grid.cut(array, start, width), size)
        return torch.from_numpy(out)

    regions = np.stack([mask, entry.lesion(slice(low, high))]).astype(np.float32)
    mask_and_lesion = framed(regions) >= 0.5
    return framed(images), mask_and_lesion[:1], mask_and_lesion[1:]

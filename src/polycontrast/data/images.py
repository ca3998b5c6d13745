"""Photographs -> Batch: the data that pix2pix, CycleGAN, DiscoGAN, UNIT and StarGAN were published on."""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from polycontrast.data import photo_layouts
from polycontrast.data.batches import AUGMENT, Alternating, Batch, Dataset, Outputs, Units, told
from polycontrast.data.configs import PhotoConfig
from polycontrast.data.photo_layouts import Labels, Photographs
from polycontrast.errors import UserError
from polycontrast.io import photographs


class PhotoDataset(Dataset[PhotoConfig]):
    """The photographs of a folder, or of one for each labelled data set, cropped, resized, flipped as the recipe says.

    Unpaired, each side has its own order and its own crops; a pass is as long as the longer side. Labelled data sets
    alternate by batch of `batch_size` (see `Alternating`). `held_out`: the files that are never trained on. Files are
    opened when their sample is asked for; a bad one is then a UserError by name.
    """

    def __init__(self, config: PhotoConfig, source: Path | Sequence[Path], seed: int = 0, batch_size: int = 1) -> None:
        _check(config)
        self.config, self.seed, self._batch_size = config, seed, batch_size
        self._found = photo_layouts.find([source] if isinstance(source, Path) else source, config)
        self._lengths = [len(found.files) for found in self._found]
        self._turns = Alternating(self._lengths, batch_size, seed)
        self._known = told(config.labels)
        labels = [found.labels for found in self._found if found.labels is not None]
        self._labels = [_among_all(some, known) for some, known in zip(labels, self._known, strict=True)]

    @property
    def cases(self) -> tuple[str, ...]:
        """A line for each folder's files, for there may be hundreds of thousands: how many, and a hash of their names.

        The names count from the folder that was given, so that it may lie elsewhere when a run is resumed.
        """
        return tuple(map(_summary, self._found))

    @property
    def held_out(self) -> tuple[Path, ...]:
        """The files that are never trained on."""
        return tuple(file for found in self._found for file in found.held_out)

    def __len__(self) -> int:
        return sum(self._lengths) if self.config.sets else max(self._lengths)

    def files(self, index: int) -> list[Path]:
        """Which files the sample with this global index is read from: one, or, if unpaired, one a side."""
        return [self._found[which].files[number] for which, number in self._places(index)]

    def _places(self, index: int) -> list[tuple[int, int]]:
        if self.config.sets:
            return [self._turns(index)]
        return [(side, shuffle(index)) for side, shuffle in enumerate(self._turns.shuffles)]

    def sample(self, index: int, *, still: bool = False) -> Tensor:
        """images [C, K, size, size] float32 in [-1, 1]; still: the centre, as it is, in place of the augmentation."""
        sides = []
        for i, (which, number) in enumerate(self._places(index)):
            file = self._found[which].files[number]
            rng = None if still else np.random.default_rng((self.seed, AUGMENT, index, i))
            pixels = photographs.read(file, self.config.channels).pixels
            parts = _halves(pixels, file) if self.config.layout == "aligned" else (pixels,)
            crop = self.config.sets[which].crop if self.config.sets else None
            fitted = torch.stack([fit(torch.from_numpy(part), self.config, file, crop) for part in parts])
            sides.append(_cut(fitted, self.config, rng))
        return torch.cat(sides)

    def batch(self, indices: Sequence[int]) -> Batch:
        return self._batch(indices, still=False)

    def examples(self, rows: int, have: Collection[str] = ()) -> tuple[Batch, list[str]]:  # noqa: ARG002
        """Spread over the photographs; of labelled ones the first of each of the first batches, so of all data sets."""
        chosen = [i * self._batch_size if self.config.sets else i * len(self) // rows for i in range(rows)]
        names = ["\n".join(file.stem for file in self.files(i)) for i in chosen]
        return self._batch(chosen, still=True), names

    def units(self, outputs: Outputs | None = None) -> Units:  # noqa: ARG002
        """None: a photograph's range is that of its file's type."""
        return {}

    def _batch(self, indices: Sequence[int], *, still: bool) -> Batch:
        images = torch.stack([self.sample(i, still=still) for i in indices])
        everywhere = torch.ones((len(images), 1, *images.shape[2:]), dtype=torch.bool)
        present = torch.ones(images.shape[:2], dtype=torch.bool)
        batch = Batch(images, present, everywhere, torch.zeros_like(everywhere), tuple(indices))
        if not self.config.sets:
            return batch
        sets = torch.tensor([self._turns(i)[0] for i in indices])
        labels, targets = (
            torch.stack([self._labels[which][number] for which, number in map(place, indices)])
            for place in (self._turns, self._turns.other)
        )
        return replace(batch, labels=labels, known=self._known[sets], targets=targets, dataset=sets)


def _summary(found: Photographs) -> str:
    names = sorted(file.relative_to(found.folder).as_posix() for file in found.files)
    digest = hashlib.sha256("\n".join(names).encode()).hexdigest()
    place = (Path(found.folder.resolve().name) / found.files[0].relative_to(found.folder).parent).as_posix()
    return f"{place}: {len(names)} photographs, sha256 of their names {digest}"


def _among_all(some: Labels, known: Tensor) -> Tensor:
    """The labels of a data set, which are those `known` [c] among the labels of all, as [N, c], the others zero."""
    labels = torch.zeros(len(some), len(known))
    labels[:, known] = torch.from_numpy(some)
    return labels


def fit(pixels: Tensor, config: PhotoConfig, file: Path, crop: int | None = None) -> Tensor:
    """[K, H, W] -> [K, load, load]: the centre of edge `crop`, if given, resized without regard to its proportions.

    Antialiased; bicubic for pairs and sides, bilinear for faces, as the papers' code. Raises UserError, naming the
    file, if the photograph is smaller than the crop.
    """
    height, width = pixels.shape[-2:]
    if crop is not None:
        if min(height, width) < crop:
            hint = "take the data set's images as they were published"
            raise UserError(f"{width} x {height} pixels, to be cropped to {crop}", hint, file)
        pixels = _square(pixels, (height - crop) // 2, (width - crop) // 2, crop)
    if pixels.shape[-2:] == (config.load, config.load):
        return pixels
    mode = "bilinear" if config.sets else "bicubic"
    resized = F.interpolate(pixels[None], (config.load, config.load), mode=mode, antialias=True, align_corners=False)
    return resized[0].clamp(-1, 1)  # bicubic overshoots


def centre(fitted: Tensor, config: PhotoConfig) -> Tensor:
    """[..., load, load] -> [..., size, size]."""
    return _cut(fitted, config, None)


def _cut(fitted: Tensor, config: PhotoConfig, rng: np.random.Generator | None) -> Tensor:
    """A square of edge `size`: a random one, flipped or not, or, without random numbers, the centre."""
    free = config.load - config.size
    if rng is None:
        return _square(fitted, free // 2, free // 2, config.size)
    top, left = (int(n) for n in rng.integers(free + 1, size=2))
    cut = _square(fitted, top, left, config.size)
    return cut.flip(-1) if config.flip and rng.random() < 0.5 else cut


def _square(pixels: Tensor, top: int, left: int, edge: int) -> Tensor:
    return pixels[..., top : top + edge, left : left + edge]


def _halves(pixels: np.ndarray, file: Path) -> tuple[np.ndarray, np.ndarray]:
    """A|B -> A, B."""
    width = pixels.shape[-1]
    if width % 2:
        raise UserError(
            f"{width} pixels wide, which is odd: not a pair of equal images", hint="put A|B side by side", path=file
        )
    return pixels[..., : width // 2], pixels[..., width // 2 :]


def _check(config: PhotoConfig) -> None:
    """Refuse a configuration that contradicts itself."""
    labelled = config.layout == "labelled"
    if len(config.contrasts) != 2 - labelled:
        expected = "one contrast, photograph" if labelled else "two contrasts, its sides"
        raise UserError(f"the layout {config.layout} has {expected}; found {', '.join(config.contrasts)}")
    if labelled != bool(config.sets):
        expected = "sets of labelled photographs" if labelled else "no labelled sets"
        raise UserError(f"the layout {config.layout} has {expected}, found {len(config.sets)}")
    if bare := [one.layout for one in config.sets if not one.labels]:
        raise UserError(f"no labels for {', '.join(bare)}", hint="name the attributes or expressions to learn")
    if config.channels not in (1, 3):
        raise UserError(f"channels is {config.channels}", hint="1 for grey, 3 for colour")
    if config.size > config.load:
        raise UserError(f"squares of {config.size} pixels cannot be cut from {config.load}", hint="set load to more")

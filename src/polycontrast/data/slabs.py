"""Which slices are trained on; a slab of a cached case, framed as a model sees it; the units a model sees it in."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from polycontrast.data import grid, intensity
from polycontrast.data.cache import Entry
from polycontrast.data.configs import DataConfig, Units
from polycontrast.errors import UserError
from polycontrast.io.volume import Array

Place = tuple[Entry, int]  # a case, and a slice of its box


def places(entries: Sequence[Entry], contrasts: Sequence[str], config: DataConfig) -> list[Place]:
    """Every slice of these cases on which each of the contrasts is large enough; a UserError if there is none."""
    complete = [e for e in entries if set(contrasts) <= set(e.contrasts)]
    found = []
    for entry in complete:
        shown = entry.area[[entry.contrasts.index(c) for c in contrasts]] > config.min_area
        found += [(entry, int(z)) for z in np.flatnonzero(shown.all(axis=0))]
    if not found:
        raise UserError(
            f"no slice to train on: {len(complete)} cases have all of {', '.join(contrasts)}"
            f"{' and a segmentation' if config.lesion else ''}, none of them a slice of more than "
            f"{config.min_area:g} mm^2",
            hint="check the folder and the roles of the split file with `polycontrast check`",
        )
    return found


def to_units(slices: Array, units: Units, peak: Array | None = None) -> Array:
    """Normalised slices (units "volume") or raw slices ("slice-max", `peak` = their maxima) -> the system's [-1, 1]."""
    if units == "volume":
        return np.asarray(2 * slices - 1, dtype=np.float32)
    peak = intensity.slice_max(slices) if peak is None else peak
    return np.asarray(2 * slices / peak - 1, dtype=np.float32)


def read_slab(entry: Entry, z: int, config: DataConfig) -> tuple[Tensor, Tensor, Tensor]:
    """A slab around slice z of the entry's box, framed: images [C, K, H, W], mask and lesion [1, K, H, W]. Slice z is
    number K // 2 of the slab.

    Images are normalised ("volume") or in file units ("slice-max": the rule then needs the raw values).
    Slices beyond the box are empty.
    """
    bottom = z - config.slab // 2
    depth = entry.box[2][1] - entry.box[2][0]
    low, high = max(0, bottom), min(depth, bottom + config.slab)
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
        first = low - bottom
        out[:, first : first + high - low] = grid.resize(grid.cut(array, start, width), size)
        return torch.from_numpy(out)

    regions = np.stack([mask, entry.lesion(slice(low, high))]).astype(np.float32)
    mask_and_lesion = framed(regions) >= 0.5
    return framed(images), mask_and_lesion[:1], mask_and_lesion[1:]

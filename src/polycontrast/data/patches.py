"""Cases -> cubic patches -> Batch, and the resampling between a volume's voxels and a 3-D model's."""

import math
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from polycontrast.data.batches import PLACE, Batch, Dataset, Outputs, Shuffle, Units
from polycontrast.data.cache import Entry
from polycontrast.data.configs import PatchConfig
from polycontrast.data.slabs import to_units
from polycontrast.data.units import VOLUME
from polycontrast.errors import UserError
from polycontrast.io.volume import Array

Centre = tuple[int, int, int]
_SAME = 1e-4  # spacings that differ by less are equal: headers round


class PatchDataset(Dataset[PatchConfig]):
    """Patches [C, X, Y, Z] (canonical axes: right, anterior, superior) of the cases that have all contrasts.

    Each pass shows every case as often as patches fit its brain by volume, at least once, in an order drawn from
    (seed, pass); the patch's centre is a voxel of the brain drawn from (seed, index). Those that lack a contrast, or
    the segmentation where one is needed, are left out.
    """

    def __init__(self, entries: Sequence[Entry], config: PatchConfig, seed: int = 0) -> None:
        kept_edge(config)
        useful = [
            e for e in entries if set(config.contrasts) <= set(e.contrasts) and (e.segmented or not config.lesion)
        ]
        if not useful:
            raise UserError(
                f"no case to train on: none of {len(entries)} has all of {', '.join(config.contrasts)}"
                f"{' and a segmentation' if config.lesion else ''}",
                hint="check the folder and the roles of the split file with `polycontrast check`",
            )
        self.left_out = tuple(e.id for e in entries if e not in useful)
        self.entries, self.config, self.seed = useful, config, seed
        patch = (config.size * config.spacing) ** 3
        self._owners = [e for e in useful for _ in range(max(1, round(_area(e).sum() * e.spacing[2] / patch)))]
        self._shuffle = Shuffle(len(self._owners), seed)

    @property
    def cases(self) -> tuple[str, ...]:
        return tuple(e.id for e in self.entries)

    def __len__(self) -> int:
        return len(self._owners)

    def place(self, index: int) -> tuple[Entry, Centre]:
        """Which case the sample with this global index shows, and its centre: a voxel of the entry's box."""
        entry = self._owners[self._shuffle(index)]
        rng = np.random.default_rng((self.seed, PLACE, index))
        area = _area(entry).astype(np.float64)
        z = int(rng.choice(len(area), p=area / area.sum()))
        inside = entry.mask(z)
        x, y = np.unravel_index(rng.choice(np.flatnonzero(inside)), inside.shape)
        return entry, (int(x), int(y), z)

    def batch(self, indices: Sequence[int]) -> Batch:
        patches = [read_patch(*self.place(i), self.config) for i in indices]
        images, mask, lesion = (torch.stack(t) for t in zip(*patches, strict=True))
        present = torch.ones(images.shape[:2], dtype=torch.bool)
        return Batch(images, present, mask, lesion, tuple(indices), dims=3)

    def examples(self, rows: int, have: Collection[str] = ()) -> tuple[Batch, list[str]]:  # noqa: ARG002
        chosen = [i * len(self) // rows for i in range(rows)]
        return self.batch(chosen), [self.place(i)[0].id for i in chosen]

    def units(self, outputs: Outputs | None = None) -> Units:  # noqa: ARG002
        """The exact map, whatever the system makes."""
        return dict.fromkeys(self.config.contrasts, VOLUME)


def kept_edge(config: PatchConfig) -> int:
    """Voxels along an edge of what is kept of an estimate; a UserError if the margins leave nothing."""
    kept = config.size - 2 * config.margin
    if kept < 1 or config.margin < 0:
        raise UserError(
            f"patches of {config.size} voxels, of which a margin of {config.margin} is thrown away at each face",
            hint="set margin to 0 or more and less than half of size",
        )
    return kept


def read_patch(entry: Entry, centre: Centre, config: PatchConfig) -> tuple[Tensor, Tensor, Tensor]:
    """images [C, X, Y, Z] in the system's units (2 v - 1), mask and lesion [1, X, Y, Z]; background outside the box.

    Voxel size // 2 of the patch lies on the centre. No more than the patch needs is read.
    """
    parts, weights = [], []
    for middle, step, (a, b) in zip(centre, steps(entry.spacing, config.spacing), entry.box, strict=True):
        at = middle + step * (np.arange(config.size) - config.size // 2)
        low, high = max(0, math.floor(at[0] - step) - 1), min(b - a, math.ceil(at[-1] + step) + 2)
        parts.append(slice(low, high))
        weights.append(weights_at(at - low, step, high - low))
    x, y, z = parts
    order = [entry.contrasts.index(c) for c in config.contrasts]
    stored = entry.images((z, slice(None), x, y))[:, order].transpose(1, 2, 3, 0)
    regions = np.stack([entry.mask((z, x, y)), entry.lesion((z, x, y))]).transpose(0, 2, 3, 1)
    inside = torch.from_numpy(resample(regions.astype(np.float32), weights) >= 0.5)
    images = to_units(resample(stored.astype(np.float32), weights), config.units)
    return torch.from_numpy(images), inside[:1], inside[1:]


def steps(spacing: Sequence[float], model: float) -> tuple[float, ...]:
    """The edge of a model's voxel in a volume's own voxels, per axis; exactly 1 where the two are equal."""
    return tuple(1.0 if abs(model / s - 1) < _SAME else model / s for s in spacing)


def ways(shape: Sequence[int], spacing: Sequence[float], model: float) -> tuple[list[Array], list[Array]]:
    """Weights, for `resample`, of the way from a box to a model's grid, which has its centre in the box's, and of the
    way back. spacing, model: edges of the box's voxels and of the model's, mm."""
    there, back = [], []
    for n, step in zip(shape, steps(spacing, model), strict=True):
        count = covering(n, step)
        first = (n - count * step) / 2
        there.append(weights_at(first + (np.arange(count) + 0.5) * step - 0.5, step, n))
        seen = (np.arange(n) + 0.5 - first) / step - 0.5
        back.append(weights_at(seen.clip(0, count - 1), 1 / step, count))
    return there, back


def covering(n: int, step: float) -> int:
    """How many steps cover n voxels."""
    return max(1, math.ceil(n / step - 1e-6))


def weights_at(at: NDArray[np.floating[Any]], step: float, n: int) -> Array:
    """[len(at), n]: what each of n voxels of an axis has in the values at these positions, voxel 0 lying at 0.

    Where a step is longer than a voxel, the mean over the step (each voxel by what of it lies there); where it is
    shorter, linear between centres; at step 1 and whole positions, the voxel itself. Nothing is beyond the axis: the
    weights of a position there sum to less than 1.
    """
    width = max(step, 1.0)
    apart = np.abs(at[:, None] - np.arange(n))
    return np.asarray(np.clip((width + 1) / 2 - apart, 0, 1) / width, dtype=np.float32)


def resample(array: Array, weights: Sequence[Array]) -> Array:
    """[..., X, Y, Z] -> [..., X', Y', Z'] by the weights [X', X], [Y', Y], [Z', Z] of its last three axes."""
    for axis, weight in zip((-3, -2, -1), weights, strict=True):
        array = np.moveaxis(np.moveaxis(array, axis, -1) @ weight.T, -1, axis)
    return np.ascontiguousarray(array)


def _area(entry: Entry) -> Array:
    """mm^2 of brain per slice of the box, from what the entry tells without its arrays."""
    return np.asarray(entry.area.max(axis=0))

"""Normalisation inside the brain, per volume, and its exact inverse.

Normalised units: the brain's mean is 0.5 and its standard deviation 0.25, so tissue lies in about [0, 1]; vessels or
enhancement may exceed it, nothing is clipped. Background is 0, a value that dark CSF may also take, so a brain mask
travels beside every normalised image. Mean and SD were chosen because the same healthy tissue then differs least
between patients (docs/explanation/normalisation.md).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from polycontrast.data import grid
from polycontrast.errors import UserError
from polycontrast.io.volume import Array, Volume

MEAN, SD = 0.5, 0.25
FEW = 0.25  # the share of the background that may be other than it

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Intensity:
    """A linear map: the brain's mean and standard deviation in the file's units."""

    mean: float
    sd: float

    def apply(self, array: Array, mask: Mask) -> Array:
        """File units -> normalised units; 0 outside the mask."""
        values = (array - np.float32(self.mean)) * np.float32(SD / self.sd) + np.float32(MEAN)
        return np.where(mask, values, np.float32(0))

    def undo(self, array: Array, mask: Mask) -> Array:
        """Normalised units -> file units; 0 outside the mask."""
        values = (array - np.float32(MEAN)) * np.float32(self.sd / SD) + np.float32(self.mean)
        return np.where(mask, values, np.float32(0))


def fit(array: Array, mask: Mask) -> Intensity:
    """Mean and SD of the voxels in the mask; a UserError if the image is 0 or another constant in it."""
    values = array[mask].astype(np.float64)
    if not values.any():
        hint = "check that this is the right file; if the contrast was not acquired, leave it out"
        raise UserError("the image has no brain: every voxel is zero", hint)
    sd = float(values.std())
    if sd <= 1e-6 * abs(float(values.mean())):
        raise UserError("the image is constant inside the brain", hint="an MR image is expected, not a mask")
    return Intensity(mean=float(values.mean()), sd=sd)


def fits(arrays: Sequence[Array], mask: Mask, paths: Sequence[Path | None]) -> list[Intensity]:
    """`fit` of each; its UserError names the file of the one that is at fault."""
    found = []
    for array, path in zip(arrays, paths, strict=True):
        try:
            found.append(fit(array, mask))
        except UserError as error:
            raise UserError(error.message, error.hint, path) from None
    return found


def brain_mask(arrays: Sequence[Array]) -> Mask:
    """Voxels that are non-zero in any of the arrays (skull-stripped images on one grid), with holes filled."""
    mask = np.zeros(arrays[0].shape, dtype=bool)
    for array in arrays:
        mask |= array != 0
    return _filled(mask)


def zero_background(volume: Volume) -> Volume:
    """The volume with a background of 0; itself if nothing is to be changed.

    A background is of another value where all eight corners hold it, and the edges but for a few voxels: stored as
    integers with a scale, 0 may come out as 2.6e-5. Inside the brain that value stays what it is.
    """
    array, value = volume.array, volume.array[0, 0, 0]
    corners = array[np.ix_((0, -1), (0, -1), (0, -1))]
    if value == 0 or (corners != value).any() or edges_other(array, value) > FEW:
        return volume
    brain = _filled(array != value)
    return replace(volume, array=np.where(brain, array, np.float32(0))) if brain.any() else volume


def edges_other(array: Array, value: float = 0.0) -> float:
    """The share of voxels along the twelve edges of the volume that hold another value. A brain is round: cut to any
    slab, it fills faces, but no edges."""
    edges = [np.moveaxis(array, axis, 0)[:, i, j] for axis in range(3) for i in (0, -1) for j in (0, -1)]
    return float(np.mean(np.concatenate(edges) != value))


def _filled(mask: Mask) -> Mask:
    """The same mask, its holes filled."""
    if not mask.any():
        return mask
    box = tuple(slice(low, high) for low, high in grid.bounding_box(mask))
    # What is not connected to the outside is a hole. scipy's own filling dilates step by step: four times as long.
    parts, _ = ndimage.label(np.pad(~mask[box], 1, constant_values=True))
    mask[box] = parts[1:-1, 1:-1, 1:-1] != parts[0, 0, 0]
    return mask


def slice_max(slices: Array) -> NDArray[np.float32]:
    """The paper's rule (TC-MGAN): each slice's own maximum, over the last two axes; 1 where a slice is empty."""
    peak = slices.max(axis=(-2, -1), keepdims=True)
    return np.where(peak > 0, peak, np.float32(1))

"""Normalisation inside the brain, per volume, and its exact inverse.

Normalised units: the brain's mean is 0.5 and its standard deviation 0.25, so tissue lies in about [0, 1]; vessels or
enhancement may exceed it, nothing is clipped. Background is 0, a value that dark CSF may also take, so a brain mask
travels beside every normalised image. Mean and SD were chosen because the same healthy tissue then differs least
between patients (docs/explanation/normalisation.md).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from polycontrast.data import grid
from polycontrast.errors import UserError
from polycontrast.io.volume import Array

MEAN, SD = 0.5, 0.25

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
    """Mean and SD of the voxels in the mask; a UserError if the mask is empty or the image constant in it."""
    values = array[mask].astype(np.float64)
    if values.size == 0:
        raise UserError("the image has no brain: every voxel is zero", hint="check that this is the right file")
    sd = float(values.std())
    if sd <= 1e-6 * abs(float(values.mean())):
        raise UserError("the image is constant inside the brain", hint="an MR image is expected, not a mask")
    return Intensity(mean=float(values.mean()), sd=sd)


def brain_mask(arrays: Sequence[Array]) -> Mask:
    """Voxels that are non-zero in any of the arrays (skull-stripped images on one grid), with holes filled."""
    mask = np.zeros(arrays[0].shape, dtype=bool)
    for array in arrays:
        mask |= array != 0
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

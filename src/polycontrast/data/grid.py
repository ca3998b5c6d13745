"""Canonical orientation, the crop to the brain, the in-plane frame that a model sees, and the way back.

Every step but the in-plane resize is exact: axis swaps, flips, crops and pads only move voxels. Axial slices run along
the third canonical axis.
"""

from dataclasses import dataclass
from typing import TypeVar

import nibabel as nib
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from polycontrast.errors import UserError
from polycontrast.io.volume import Affine, Array

T = TypeVar("T", bound=np.generic)
Box = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]
_MAX_FRAME = 4096


def to_canonical(array: NDArray[T], affine: Affine) -> NDArray[T]:
    """[X, Y, Z] as stored -> axes nearest to right, anterior, superior (RAS). A view: flips and swaps only."""
    view: NDArray[T] = nib.apply_orientation(array, nib.io_orientation(affine))
    return view


def from_canonical(array: NDArray[T], affine: Affine) -> NDArray[T]:
    """The inverse of `to_canonical` for the volume that has this affine."""
    stored = nib.orientations.ornt_transform(nib.orientations.axcodes2ornt("RAS"), nib.io_orientation(affine))
    back: NDArray[T] = nib.apply_orientation(array, stored)
    return back


def canonical_spacing(affine: Affine) -> tuple[float, float, float]:
    """Voxel edges in mm along the canonical axes."""
    sizes = nib.affines.voxel_sizes(affine)
    order = nib.io_orientation(affine)[:, 0].astype(int)
    by_axis = {int(axis): float(size) for axis, size in zip(order, sizes, strict=True)}
    return by_axis[0], by_axis[1], by_axis[2]


def bounding_box(mask: NDArray[np.bool_]) -> Box:
    """The smallest box (start, stop per axis) that holds every True voxel; the whole array if there is none."""
    if not mask.any():
        return (0, mask.shape[0]), (0, mask.shape[1]), (0, mask.shape[2])
    ranges = []
    for axis in range(3):
        hit = np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis)))
        ranges.append((int(hit[0]), int(hit[-1]) + 1))
    return ranges[0], ranges[1], ranges[2]


def crop(array: NDArray[T], box: Box) -> NDArray[T]:
    """The box of an array, as a view."""
    return array[tuple(slice(a, b) for a, b in box)]


def uncrop(array: NDArray[T], box: Box, shape: tuple[int, int, int]) -> NDArray[T]:
    """Put a crop back into zeros of the given shape, which lie in memory as a NIfTI file has them."""
    whole = np.zeros(shape, dtype=array.dtype, order="F")
    whole[tuple(slice(a, b) for a, b in box)] = array
    return whole


@dataclass(frozen=True)
class Frame:
    """The square field of view that a 2-D model sees: `extent` mm wide, sampled to `size` x `size` pixels.

    The field is centred on the brain but kept inside the image where the image is large enough; a slice that has just
    this extent (BraTS: 240 mm) is taken whole, as the paper does.
    """

    extent: float
    size: int

    def pixels(self, spacing: tuple[float, ...]) -> tuple[int, int]:
        """The frame's width in the volume's own pixels, along the first two canonical axes; a UserError if they would
        be more than a memory holds."""
        x, y = (max(1, round(self.extent / s)) for s in spacing[:2])
        if max(x, y) > _MAX_FRAME:
            found = f"voxels of {min(spacing[:2]):.3g} mm are too small for an image of a head"
            raise UserError(found, hint="does the header give lengths in another unit than mm?")
        return x, y

    def place(self, box: Box, shape: tuple[int, ...], spacing: tuple[float, ...]) -> tuple[int, int]:
        """Where the frame starts in the volume's first two axes; negative where it reaches beyond the image."""
        starts = []
        for (a, b), n, width in zip(box, shape, self.pixels(spacing), strict=False):
            centred = (a + b - width) // 2
            starts.append(min(max(centred, min(0, n - width)), max(0, n - width)))
        return starts[0], starts[1]


def cut(slices: NDArray[T], start: tuple[int, int], width: tuple[int, int]) -> NDArray[T]:
    """The window of the last two axes that starts at `start` and is `width` pixels wide; zeros beyond the edge."""
    out = np.zeros((*slices.shape[:-2], *width), dtype=slices.dtype)
    source, target = _overlap(slices.shape[-2:], start, width)
    out[..., target[0], target[1]] = slices[..., source[0], source[1]]
    return out


def paste(window: NDArray[T], start: tuple[int, int], width: tuple[int, int], shape: tuple[int, int]) -> NDArray[T]:
    """The inverse of `cut`: the window put into zeros of the given in-plane shape."""
    out = np.zeros((*window.shape[:-2], *shape), dtype=window.dtype)
    source, target = _overlap(shape, start, width)
    out[..., source[0], source[1]] = window[..., target[0], target[1]]
    return out


def _overlap(
    shape: tuple[int, ...], start: tuple[int, int], width: tuple[int, int]
) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    source, target = [], []
    for n, first, w in zip(shape, start, width, strict=True):
        low, high = max(first, 0), max(min(first + w, n), max(first, 0))
        source.append(slice(low, high))
        target.append(slice(low - first, high - first))
    return (source[0], source[1]), (target[0], target[1])


def resize(slices: Array, shape: tuple[int, int]) -> Array:
    """Resize the last two axes: by area along which pixels grow (the paper's rule), then by bicubic interpolation along
    which they shrink, kept inside the range of the input so that no overshoot is invented.
    """
    height, width = slices.shape[-2:]
    if (height, width) == shape:
        return slices
    out = torch.from_numpy(np.ascontiguousarray(slices, dtype=np.float32)).reshape(-1, 1, height, width)
    smaller = (min(shape[0], height), min(shape[1], width))
    if smaller != (height, width):
        out = F.interpolate(out, size=smaller, mode="area")
    if smaller != shape:
        low, high = out.amin((2, 3), keepdim=True), out.amax((2, 3), keepdim=True)
        out = F.interpolate(out, size=shape, mode="bicubic", align_corners=False).clamp(low, high)
    return out.reshape(*slices.shape[:-2], *shape).numpy()

"""How sharp an image is: blur, the error of its edges, and its power at every spatial frequency.

Volumes are [X, Y, Z], axial slices along the third axis. A skull-stripped brain ends in an edge steeper than any in it,
which every prediction gets for nothing from the mask: none of these measures looks at it.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from polycontrast.data import grid
from polycontrast.data.intensity import Mask
from polycontrast.io.volume import Array

REBLUR = 11  # pixels: the size that the paper found enough
TAPER = 10.0  # mm from the brain's edge to full weight

Spectrum = tuple[NDArray[np.float64], NDArray[np.float64]]
Transform = NDArray[np.complex128]


def blur(image: Array, brain: Mask) -> float | None:
    """The blur effect of the axial slices: 0 sharp to 1 blurred, or without any edge (Crete et al. 2007).

    What share of the in-plane differences (Sobel) a further blur over 11 pixels leaves; the larger of the two
    directions. It is scikit-image's `blur_effect` summed over all slices, but only where no filter reaches outside the
    brain: on zero background that function finds an image constant in the brain sharper (0.28) than a real one (0.46).
    None if no pixel lies that deep in the brain.
    """
    box = grid.bounding_box(brain)
    inside, mask = np.asarray(grid.crop(image, box), dtype=np.float32), grid.crop(brain, box)
    found = [_blur_along(inside, mask, axis) for axis in (0, 1)]
    return max((share for share in found if share is not None), default=None)


def _blur_along(image: Array, brain: Mask, axis: int) -> float | None:
    reach = [3, 3, 1]
    reach[axis] = REBLUR + 2  # a difference of pixels that are blurred themselves
    deep = ndimage.minimum_filter(brain, size=reach, mode="constant")
    if not deep.any():
        return None
    sharp = _difference(image, axis)[deep]
    blurred = _difference(ndimage.uniform_filter1d(image, REBLUR, axis=axis), axis)[deep]
    total = float(sharp.sum(dtype=np.float64))
    return 1 - float(np.maximum(sharp - blurred, 0).sum(dtype=np.float64)) / total if total > 0 else 1.0


def _difference(image: Array, axis: int) -> Array:
    """The magnitude of Sobel's difference along an in-plane axis."""
    across = ndimage.correlate1d(image, [0.25, 0.5, 0.25], axis=1 - axis)
    return np.asarray(np.abs(ndimage.correlate1d(across, [-0.5, 0, 0.5], axis=axis)))


def gradient_error(truth: Array, image: Array, mask: Mask, brain: Mask) -> float | None:
    """Mean difference of the gradients' magnitudes in the mask / the truth's mean magnitude there: a fraction, 0 for
    equal images, 1 for a constant one, any number for a noisy one.

    Central differences per voxel along all three axes, at voxels whose neighbours are brain. None if the mask has no
    such voxel or the truth no gradient there.
    """
    return relative_error(gradient(truth), gradient(image), mask & interior(brain))


def gradient(image: Array) -> Array:
    """The magnitude of the gradient, per voxel: central differences along three axes, the border repeated."""
    square = np.zeros(image.shape, dtype=np.float32)
    for axis in range(3):
        square += ndimage.correlate1d(image, [-0.5, 0, 0.5], axis=axis, output=np.float32, mode="nearest") ** 2
    return np.sqrt(square, out=square)


def interior(brain: Mask) -> Mask:
    """Voxels of the brain whose six neighbours are brain or beyond the volume."""
    return np.asarray(ndimage.binary_erosion(brain, border_value=1))


def relative_error(truth: Array, image: Array, mask: Mask) -> float | None:
    """Mean |truth - image| / mean truth of two non-negative maps in the mask; None if it is empty or the truth 0."""
    scale = float(truth[mask].sum(dtype=np.float64))
    return float(np.abs(truth[mask] - image[mask]).sum(dtype=np.float64)) / scale if scale > 0 else None


def power_spectrum(image: Array, mask: Mask, spacing: Sequence[float]) -> Spectrum | None:
    """Frequencies [F] in cycles/mm and the radially averaged power density [F] of axial slices, in unit^2 mm^2.

    A slice's own mean is taken off and the rest weighted by a Hann slope over the 10 mm inside the mask's edge, so
    that the edge has no power of its own; what is left is what lies in the mask. Slices count by their weight. Power is
    divided by the weights' energy: noise of SD s has s^2 times the pixel's area at every frequency, in any mask.
    Frequencies go in steps of one cycle per field of view to the Nyquist frequency of the coarser in-plane spacing.
    None for an empty mask.
    """
    if not mask.any():
        return None
    edges = (float(spacing[0]), float(spacing[1]))
    total, energy = np.zeros(image.shape[:2]), 0.0
    for transform, weight in slice_transforms(image, mask, edges):
        total += np.abs(transform) ** 2
        energy += float(np.sum(weight * weight))
    return _radial(total * (edges[0] * edges[1] / energy), edges)


def ring_correlation(truth: Array, image: Array, mask: Mask, spacing: Sequence[float]) -> Spectrum | None:
    """Fourier ring correlation (Saxton and Baumeister 1982): frequencies [F] in cycles/mm, and [F] in [-1, 1] how far
    the image's detail of that size is the truth's, whatever its strength; 1 for a blurred truth, near 0 for detail that
    is made up. Slices, weights and rings are those of `power_spectrum`; 0 where one has no power. None for an empty
    mask.
    """
    if not mask.any():
        return None
    edges = (float(spacing[0]), float(spacing[1]))
    shared, own, other = (np.zeros(image.shape[:2]) for _ in range(3))
    pairs = zip(*(slice_transforms(x, mask, edges) for x in (truth, image)), strict=True)
    for (first, _), (second, _) in pairs:
        shared += (first * second.conj()).real
        own += np.abs(first) ** 2
        other += np.abs(second) ** 2
    (frequencies, together), (_, a), (_, b) = (_radial(x, edges) for x in (shared, own, other))
    both = np.sqrt(a * b)
    return frequencies, np.divide(together, both, out=np.zeros_like(both), where=both > 0)


def slice_transforms(
    image: Array, mask: Mask, spacing: tuple[float, float]
) -> Iterator[tuple[Transform, NDArray[np.float64]]]:
    """Of every axial slice with brain: the transform of its detail, tapered to the mask's edge, and the weights."""
    for k in np.flatnonzero(mask.any(axis=(0, 1))):
        weight = _taper(mask[:, :, k], spacing)
        yield np.fft.fft2(weight * (image[:, :, k] - np.average(image[:, :, k], weights=weight))), weight


def _taper(mask: Mask, spacing: tuple[float, float]) -> NDArray[np.float64]:
    """[X, Y] weights: 0 outside the mask, rising over TAPER mm inside it as a Hann window does, then 1."""
    depth = ndimage.distance_transform_edt(np.pad(mask, 1), sampling=spacing)[1:-1, 1:-1]
    return np.asarray(np.sin(np.pi / 2 * np.minimum(depth / TAPER, 1)) ** 2)


def _radial(power: NDArray[np.float64], spacing: tuple[float, float]) -> Spectrum:
    """[X, Y] as numpy's FFT orders it -> the mean over rings one step wide, without the ring around 0."""
    axes = [np.fft.fftfreq(n, edge) for n, edge in zip(power.shape, spacing, strict=True)]
    step = 1 / min(n * edge for n, edge in zip(power.shape, spacing, strict=True))
    ring = np.rint(np.hypot(*np.meshgrid(*axes, indexing="ij")) / step).astype(int).ravel()
    last = int(0.5 / max(spacing) / step + 1e-6)
    means = np.bincount(ring, power.ravel()) / np.maximum(np.bincount(ring), 1)
    return step * np.arange(1, last + 1), means[1 : last + 1]

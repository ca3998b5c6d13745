"""Structural similarity (Wang et al. 2004), in 3-D, slice by slice, and over five scales (Wang et al. 2003).

The arithmetic is scikit-image's: a Gaussian window of sigma 1.5 voxels cut off at 11, K1 0.01, K2 0.03, population
moments, mirrored borders. Volumes are [X, Y, Z], axial slices along the third axis. Windows at a mask's edge look
beyond it. All is computed in float32 and only near what is not 0: several times as fast as float64 on a whole volume,
with means that differ by less than 1e-6.
"""

import numpy as np
from numpy.typing import NDArray

from polycontrast.data import grid
from polycontrast.data.intensity import Mask
from polycontrast.errors import UserError
from polycontrast.io.volume import Array

SIGMA, K1, K2 = 1.5, 0.01, 0.03
RADIUS = int(3.5 * SIGMA + 0.5)  # scikit-image cuts the window off here, in voxels
WINDOW = 2 * RADIUS + 1
NO_LUMINANCE = 1e6  # as K1: the luminance term is 1 to the last digit, and contrast times structure is left
EXPONENTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # Wang et al. 2003, table 1: from the finest scale to the coarsest
COARSEST = 2 ** (len(EXPONENTS) - 1)


def ssim_map(truth: Array, image: Array, data_range: float) -> Array | None:
    """Structural similarity at every voxel with a 3-D window, [X, Y, Z] in [-1, 1]; 1 where both images are 0 all
    over the window. None if a side is under 11 voxels. Raises UserError if the data range is not positive."""
    return _map(truth, image, data_range, axes=3)


def ssim_2d_map(truth: Array, image: Array, data_range: float) -> Array | None:
    """Structural similarity at every voxel with a 2-D window in its axial slice, else as `ssim_map`."""
    return _map(truth, image, data_range, axes=2)


def ssim(truth: Array, image: Array, mask: Mask, data_range: float) -> float | None:
    """Mean of the 3-D map in the mask, at most 1 (equal images); None where mask or map is empty."""
    return mean_in(ssim_map(truth, image, data_range), mask)


def ssim_2d(truth: Array, image: Array, mask: Mask, data_range: float) -> float | None:
    """Mean of the slice-wise map in the mask: every voxel of it counts the same, whichever slice it is in."""
    return mean_in(ssim_2d_map(truth, image, data_range), mask)


def ms_ssim(truth: Array, image: Array, brain: Mask, data_range: float) -> float | None:
    """Multi-scale structural similarity of the axial slices in the brain, 0 to 1 (Wang et al. 2003, equation 7).

    At each of five scales, every one halved by 2 x 2 means, the brain's mean of contrast times structure; at the
    coarsest that of the whole SSIM; raised to the published exponents and multiplied. A mean below 0, whose power does
    not exist, counts as 0. A coarse pixel counts by the share of brain in it. The brain lies in a field of at least
    176 pixels, which the coarsest window needs, filled up with zeros where the slice is narrower.
    None for a brain narrower than 88 pixels, half that window. Raises UserError if the data range is not positive.
    """
    check_range(data_range)
    box = grid.bounding_box(brain)
    if not brain.any() or min(stop - start for start, stop in box[:2]) < WINDOW * COARSEST // 2:
        return None
    from skimage.transform import downscale_local_mean

    parts = tuple(_framed(array, box) for array in (truth, image, brain))
    value = 1.0
    for scale, exponent in enumerate(EXPONENTS):
        if scale:
            parts = tuple(downscale_local_mean(part, (1, 2, 2)) for part in parts)
        first, second, weight = parts
        k1 = NO_LUMINANCE if scale < len(EXPONENTS) - 1 else K1
        terms = _similarity(first, second, data_range, k1, slices=0)
        mean = float(np.sum(terms * weight, dtype=np.float64) / np.sum(weight, dtype=np.float64))
        value *= max(mean, 0.0) ** exponent
    return value


def mean_in(values: Array | None, mask: Mask) -> float | None:
    """The mean of a map in a mask; None if there is no map or the mask is empty."""
    return float(np.mean(values[mask], dtype=np.float64)) if values is not None and mask.any() else None


def check_range(data_range: float) -> None:
    """Raises UserError if the data range is not positive: the truth is constant."""
    if not data_range > 0:
        raise UserError(
            f"the truth's data range is {data_range:g}: it is constant, and no measure is defined on it",
            hint="an MR image is expected, not a mask or an empty volume",
        )


def _map(truth: Array, image: Array, data_range: float, axes: int) -> Array | None:
    """The map with a window along the first `axes` axes; where it sees only zeros it is exactly 1, not computed."""
    check_range(data_range)
    if min(truth.shape[:axes]) < WINDOW:
        return None
    box = _window_box((truth != 0) | (image != 0), axes)
    whole = np.ones(truth.shape, dtype=np.float32)
    whole[box] = _similarity(truth[box], image[box], data_range, slices=None if axes == 3 else 2)
    return whole


def _similarity(first: Array, second: Array, data_range: float, k1: float = K1, *, slices: int | None) -> Array:
    """scikit-image's map. slices: the axis along which 2-D slices lie, None for a 3-D window."""
    from skimage.metrics import structural_similarity

    _, found = structural_similarity(
        np.asarray(first, dtype=np.float32), np.asarray(second, dtype=np.float32), data_range=data_range,
        gaussian_weights=True, sigma=SIGMA, use_sample_covariance=False, K1=k1, K2=K2, channel_axis=slices, full=True,
    )  # fmt: skip
    return np.asarray(found, dtype=np.float32)


def _window_box(support: NDArray[np.bool_], axes: int) -> tuple[slice, ...]:
    """The box of every voxel whose window, along the first axes, meets the support; at least as large as a window."""
    sides = []
    for axis, ((start, stop), n) in enumerate(zip(grid.bounding_box(support), support.shape, strict=True)):
        low, high = start, stop
        if axis < axes:
            low = max(0, min(start - RADIUS, n - WINDOW))
            high = min(n, max(stop + RADIUS, low + WINDOW))
        sides.append(slice(low, high))
    return tuple(sides)


def _framed(array: NDArray[np.generic], box: grid.Box) -> Array:
    """[X, Y, Z] -> [slices of the box, x, y] float32: the box in the middle of a field that can be halved four times
    and is then as wide as a window."""
    (left, right), (back, front), (bottom, top) = box
    width, depth = (max(WINDOW, -(-side // COARSEST)) * COARSEST for side in (right - left, front - back))
    start = ((left + right - width) // 2, (back + front - depth) // 2)
    axial = array[:, :, bottom:top].transpose(2, 0, 1).astype(np.float32)
    return grid.cut(axial, start, (width, depth))

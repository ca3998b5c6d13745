"""How far an image is from the truth: plain functions of two volumes, a region and a data range.

Truth and image are [X, Y, Z] on one grid and in one unit; the mask says which voxels count. The data range is always
given, never guessed from the data. Sums are made in float64. A region without voxels has no value: None, never 0 or 1.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polycontrast.data.grid import bounding_box
from polycontrast.data.intensity import Mask
from polycontrast.errors import UserError
from polycontrast.io.volume import Array

SIGMA, K1, K2 = 1.5, 0.01, 0.03  # the window and constants of Wang et al. 2004
RADIUS = int(3.5 * SIGMA + 0.5)  # scikit-image cuts the window off here, in voxels


def psnr(truth: Array, image: Array, mask: Mask, data_range: float) -> float | None:
    """Peak signal-to-noise ratio in the mask, dB: 10 log10(data_range^2 / mean squared error). Equal images: inf.

    Raises UserError if the data range is not positive (the truth is constant).
    """
    _check_range(data_range)
    if not mask.any():
        return None
    error = truth[mask].astype(np.float64) - image[mask]
    mean_square = float(np.mean(error * error))
    return math.inf if mean_square == 0 else 10 * math.log10(data_range**2 / mean_square)


def require_skimage() -> None:
    """UserError if scikit-image is not installed: said before hours of work, not after."""
    _skimage_ssim()


def _skimage_ssim() -> Callable[..., Any]:
    try:
        from skimage.metrics import structural_similarity
    except ImportError:
        raise UserError("scikit-image is not installed", hint='pip install "polycontrast[eval]"') from None
    ssim: Callable[..., Any] = structural_similarity
    return ssim


def ssim_map(truth: Array, image: Array, data_range: float) -> Array:
    """Structural similarity at every voxel, [X, Y, Z] in [-1, 1] (Wang et al. 2004; scikit-image, 3-D Gaussian window).

    Moments are population moments. Where both images are 0 over the whole window the map is exactly 1, so only the box
    around what is not 0 is computed. That is done in float32: five times as fast as float64 on a brain, with a mean
    that differs by less than 1e-7. Raises UserError if the data range is not positive or a side is under 11 voxels.
    """
    _check_range(data_range)
    if min(truth.shape) < 2 * RADIUS + 1:
        raise UserError(f"a volume of {truth.shape} voxels is smaller than the SSIM window of {2 * RADIUS + 1} voxels")
    structural_similarity = _skimage_ssim()
    box = _window_box((truth != 0) | (image != 0))
    _, inside = structural_similarity(
        np.asarray(truth[box], dtype=np.float32), np.asarray(image[box], dtype=np.float32), data_range=data_range,
        gaussian_weights=True, sigma=SIGMA, use_sample_covariance=False, K1=K1, K2=K2, full=True,
    )  # fmt: skip
    whole = np.ones(truth.shape, dtype=np.float32)
    whole[box] = inside
    return whole


def ssim(truth: Array, image: Array, mask: Mask, data_range: float) -> float | None:
    """Mean of the structural similarity map in the mask; windows at its edge look beyond it. Equal images: 1."""
    return _mean(ssim_map(truth, image, data_range), mask) if mask.any() else None


def nmae(truth: Array, image: Array, mask: Mask) -> float | None:
    """Normalised mean absolute error: mean |truth - image| in the mask / (max - min of the truth there).

    After Dai et al. 2020, whose exact denominator is not public. None also where the truth is constant in the mask.
    """
    if not mask.any():
        return None
    real = truth[mask].astype(np.float64)
    span = float(np.ptp(real))
    return float(np.mean(np.abs(real - image[mask]))) / span if span > 0 else None


@dataclass(frozen=True, eq=False)
class Pair:
    """A truth and an image in one unit, with what several regions share: the similarity map, made when first asked."""

    truth: Array
    image: Array
    data_range: float

    @cached_property
    def similarity(self) -> Array:
        return ssim_map(self.truth, self.image, self.data_range)


@dataclass(frozen=True)
class Metric:
    """A measure as tables know it. unit: "" for a pure number; of: its value for a pair of images in a region."""

    unit: str
    higher_is_better: bool
    of: Callable[[Pair, Mask], float | None]


METRICS: dict[str, Metric] = {
    "psnr": Metric("dB", True, lambda pair, mask: psnr(pair.truth, pair.image, mask, pair.data_range)),
    "ssim": Metric("", True, lambda pair, mask: _mean(pair.similarity, mask)),
    "nmae": Metric("", False, lambda pair, mask: nmae(pair.truth, pair.image, mask)),
}


def _mean(values: Array, mask: Mask) -> float | None:
    return float(np.mean(values[mask], dtype=np.float64)) if mask.any() else None


def _window_box(support: NDArray[np.bool_]) -> tuple[slice, ...]:
    """The box that holds every voxel whose window meets the support; at least as large as one window."""
    sides = []
    for (start, stop), n in zip(bounding_box(support), support.shape, strict=True):
        low = max(0, min(start - RADIUS, n - 2 * RADIUS - 1))
        sides.append(slice(low, min(n, max(stop + RADIUS, low + 2 * RADIUS + 1))))
    return tuple(sides)


def _check_range(data_range: float) -> None:
    if not data_range > 0:
        raise UserError(
            f"the truth's data range is {data_range:g}: it is constant, and no measure is defined on it",
            hint="an MR image is expected, not a mask or an empty volume",
        )

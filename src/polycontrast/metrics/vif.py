"""Visual information fidelity in the pixel domain, of slices and of the brain in a volume.

Sheikh and Bovik 2006, "Image information and visual quality" (IEEE Trans. Image Process. 15:430-444), in the authors'
pixel-domain form over four scales (`vifp_mscale`): how much of the information that an eye could take from the truth
it can still take from the image. 1 for equal images, 0 for no common information; more than 1 where contrast is added.

The visual noise has a fixed variance of 2 in grey levels of 0..255, so the measure depends on how an image is brought
there: see `grey_slices`.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from polycontrast.data.grid import bounding_box, crop
from polycontrast.data.intensity import Mask
from polycontrast.errors import UserError
from polycontrast.io.volume import Array

PEAK = 255.0  # the grey level of white
VISUAL_NOISE = 2.0  # variance, grey levels squared
TAPS = (17, 9, 5, 3)  # the window of each scale, in its own pixels; sigma is a fifth of it
SMALLEST = 41  # pixels of a side that leave one window at the coarsest scale
MARGIN = SMALLEST // 2  # pixels around a brain after which every window that meets it is counted
BATCH = 8  # slices at once: what fits in a processor's cache
_TINY = 1e-10

Floats = NDArray[np.floating]


def vif(truth: Floats, image: Floats) -> float | None:
    """Visual information fidelity of 2-D images of one shape in grey levels of 0..255, at least 0; higher is better.

    None where the truth is constant or either image has a value that is not finite. Raises UserError if a side is under
    41 pixels.
    """
    if min(truth.shape) < SMALLEST:
        found = f"an image of {truth.shape[0]} x {truth.shape[1]} pixels is too small for the four scales of VIF"
        raise UserError(found, hint=f"each side must have {SMALLEST} pixels or more")
    if not _judgeable(truth, image):
        return None
    return _ratio(_information(truth[None].astype(np.float64), image[None].astype(np.float64)))


def vif_volume(truth: Array, image: Array, brain: Mask, data_range: float) -> float | None:
    """Visual information fidelity of a volume's axial slices: both sums of the ratio run over all of them.

    truth, image: [X, Y, Z], canonical, in normalised units; data_range: of the truth, in these units. A mean of
    slices' own ratios would count an almost empty slice like a full one. Slices are on 0..255 as `grey_slices` makes
    them. The brain's outline is shared information too: a constant brain scores 0.13 to 0.17 on real FLAIR. Computed in
    float32, which changes the value by less than 1e-5. None without brain, where the truth is constant in it (the data
    range is then not positive), and where either image is not finite there.
    """
    if not brain.any() or not data_range > 0 or not _judgeable(truth[brain], image[brain]):
        return None
    real, made = (grey_slices(array, brain, data_range, MARGIN) for array in (truth, image))
    sums = [_information(real[i : i + BATCH], made[i : i + BATCH]) for i in range(0, len(real), BATCH)]
    return _ratio(np.sum(sums, axis=0))


def grey_slices(image: Array, brain: Mask, span: float, margin: int = 0) -> Array:
    """The axial slices of the brain's box, [Z, X + 2 margin, Y + 2 margin], in grey levels of 0..255.

    image: [X, Y, Z], canonical, in normalised units. The value 0 becomes 0 and `span` becomes 255, linearly. Values
    below 0 (dark fluid) and above the span stay below 0 and above 255: a clip would hide an error. Outside the brain
    and in the margin the slices are 0.
    """
    box = bounding_box(brain)
    inside = np.where(crop(brain, box), crop(image, box), np.float32(0)) * np.float32(PEAK / span)
    edge = (margin, margin)
    return np.pad(inside.astype(np.float32, copy=False).transpose(2, 0, 1), ((0, 0), edge, edge))


def gaussian(taps: int, sigma: float) -> Floats:
    """A Gaussian window [taps] of sum 1."""
    offsets = np.arange(taps) - taps // 2
    weights = np.exp(-0.5 * (offsets / sigma) ** 2)
    return np.asarray(weights / weights.sum())


def separable(images: Floats, rows: Floats, columns: Floats) -> Floats:
    """A linear filter of the last two axes, as two matrix products: three times as fast as two convolutions."""
    return np.asarray(rows.astype(images.dtype) @ images @ columns.T.astype(images.dtype))


@cache
def _window(size: int, taps: int, step: int = 1) -> Floats:
    """[(size - taps) // step + 1, size]: every step-th full window along an axis of `size` pixels, as a matrix."""
    reach = taps // 2
    whole = ndimage.correlate1d(np.eye(size), gaussian(taps, taps / 5), axis=0)
    return whole[reach : size - reach : step]


def _filtered(images: Floats, taps: int, step: int = 1) -> Floats:
    rows, columns = (_window(size, taps, step) for size in images.shape[1:])
    return separable(images, rows, columns)


def _information(truth: Floats, image: Floats) -> NDArray[np.float64]:
    """[n, H, W] in grey levels -> [2]: the information that both share and the information in the truth, over the n
    images and four scales (the sums of the paper's equation 15)."""
    sums = np.zeros(2)
    for taps in TAPS:
        if taps != TAPS[0]:
            truth, image = _filtered(truth, taps, 2), _filtered(image, taps, 2)
        sums += _information_at(truth, image, taps)
    return sums


def _information_at(truth: Floats, image: Floats, taps: int) -> NDArray[np.float64]:
    """One scale: within each window the image is a gain times the truth plus noise."""
    mean_t, mean_i = _filtered(truth, taps), _filtered(image, taps)
    var_t = np.maximum(_filtered(truth * truth, taps) - mean_t * mean_t, 0)
    var_i = np.maximum(_filtered(image * image, taps) - mean_i * mean_i, 0)
    covariance = _filtered(truth * image, taps) - mean_t * mean_i
    # a window that is flat in either image, or inverted in one, shares nothing
    sharing = (var_t >= _TINY) & (var_i >= _TINY) & (covariance > 0)
    gain = np.where(sharing, covariance / (var_t + _TINY), 0)
    noise = np.maximum(var_i - gain * covariance, _TINY)
    shared = np.log1p(gain * gain * var_t / (noise + VISUAL_NOISE))
    return np.array([shared.sum(dtype=np.float64), np.log1p(var_t / VISUAL_NOISE).sum(dtype=np.float64)])


def _judgeable(truth: Floats, image: Floats) -> bool:
    return bool(np.isfinite(truth).all() and np.isfinite(image).all() and np.ptp(truth) > 0)


def _ratio(sums: NDArray[np.float64]) -> float | None:
    """None where the truth varies by less than the arithmetic can tell."""
    shared, whole = (float(x) for x in sums)
    return shared / whole if whole > 0 else None

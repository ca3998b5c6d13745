"""The slices between those that a network made, guided by what is given there.

A guided filter (He, Sun and Tang, TPAMI 2013) across slices. Around every pixel of a slice that was made, it is taken
for a linear function of what is given (slopes by their equation 5, in windows of the brain). Between slices the slopes
are interpolated, and so is, pixel by pixel, what they do not explain: made slices stay as they are, and detail between
them comes from what is given, which is there in every slice.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from polycontrast.data.intensity import Mask
from polycontrast.io.volume import Array

Indices = NDArray[np.int64]
_RADIUS = 4.0  # mm, of the windows
_FLAT = np.float32(1e-3)  # added to the variances in a window, in normalised units: where nothing varies, slopes are 0
_FAR = np.float32(1e-4)  # in place of the share of brain in a window that has none


def interpolate(values: Array, known: Indices, depth: int) -> Array:
    """[K, ...], the slices `known` (ascending) of a volume -> [depth, ...], linearly; the outermost beyond them."""
    at = np.arange(depth)
    upper = np.searchsorted(known, at).clip(0, len(known) - 1)
    lower = (upper - 1).clip(0)
    share = ((at - known[lower]) / np.maximum(known[upper] - known[lower], 1)).clip(0, 1).astype(values.dtype)
    mixed = np.empty((depth, *values.shape[1:]), values.dtype)
    for z, s in enumerate(share):  # slice by slice: fancy indices would copy both neighbours whole
        mixed[z] = values[lower[z]] * (1 - s) + values[upper[z]] * s
    return mixed


def guided(
    images: Sequence[Array],
    scales: Sequence[Array],
    known: Indices,
    guides: Array,
    mask: Mask,
    spacing: Sequence[float],
) -> tuple[list[Array], list[Array]]:
    """images, scales: each [K, X, Y], the slices `known` (ascending) of a volume; guides [C, Z, X, Y], what is given of
    all of it; mask [Z, X, Y] of the brain -> each [Z, X, Y], 0 outside the mask, the known slices as they were.

    All in normalised units; spacing: of X and Y in mm. Scales are interpolated alone: a slope would make some negative.
    """
    inside = mask[known]
    here = guides[:, known] * inside
    window = (1, *(2 * round(_RADIUS / edge) + 1 for edge in spacing))
    brain = ndimage.uniform_filter(inside.astype(np.float32), window, mode="constant")  # share of the window
    near = brain > 0.5 / np.prod(window)
    brain = np.where(near, brain, _FAR)
    sure = interpolate(brain, known, len(mask))

    def local(values: Array) -> Array:
        """The mean over the brain in the window."""
        mean: Array = ndimage.uniform_filter(values, window, mode="constant") / brain
        return mean

    def everywhere(values: Array) -> Array:
        return interpolate(values * brain, known, len(mask)) / sure

    def beyond(image: Array, mean: Array) -> Array:
        """The image, outside the brain its local mean; where no brain is near, its mean."""
        return np.where(inside, image, np.where(near, mean, image[inside].mean()))

    means = [local(guide) for guide in here]

    def covariances(image: Array, mean: Array) -> Array:
        """Of an image, whose local mean this is, with every guide, at all pixels near the brain: [N, C]."""
        return np.stack([(local(image * g) - mean * m)[near] for g, m in zip(here, means, strict=True)], -1)

    variances = np.stack([covariances(g, m) for g, m in zip(here, means, strict=True)], -1)
    variances += _FLAT * np.eye(len(here), dtype=np.float32)

    def filled(image: Array) -> Array:
        middle = local(image)
        slopes = np.zeros_like(here)
        slopes[:, near] = np.linalg.solve(variances, covariances(image, middle)[..., None])[..., 0].T
        offset = beyond(image, middle)
        found = np.zeros(mask.shape, np.float32)
        for slope, guide, mean, whole in zip(slopes, here, means, guides, strict=True):
            offset -= slope * np.where(inside, guide, mean)
            found += everywhere(slope) * whole
        found += everywhere(offset)  # within what is known: of a vessel in no made slice a slope may know too much
        return found.clip(image[inside].min(), image[inside].max()) * mask

    def alone(scale: Array) -> Array:
        return everywhere(beyond(scale, local(scale))) * mask

    return [filled(image * inside) for image in images], [alone(scale * inside) for scale in scales]

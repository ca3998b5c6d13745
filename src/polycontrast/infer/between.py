"""The slices between those that a network made, guided by what is given there.

A guided filter (He, Sun and Tang, TPAMI 2013) across slices. Around every pixel of a slice that was made, it is taken
for a linear function of what is given (slopes by their equation 5, in windows of the brain). Between slices the slopes
are interpolated, and so is, pixel by pixel, what they do not explain: made slices stay as they are, and detail between
them comes from what is given, which is there in every slice.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from polycontrast.data import intensity
from polycontrast.data.intensity import Mask
from polycontrast.io.volume import Array

Indices = NDArray[np.int64]
Factors = tuple[list[list[Tensor]], list[Tensor]]
_RADIUS = 4.0  # mm, of the windows
_FLAT = 1e-3  # added to the variances in a window, in normalised units: where nothing varies, slopes are 0
_FAR = 1e-4  # in place of the share of brain in a window that has none


def interpolate(values: Tensor, known: Indices, depth: int) -> Tensor:
    """[K, ...], the slices `known` (ascending) of a volume -> [depth, ...], linearly; the outermost beyond them."""
    at = np.arange(depth)
    upper = np.searchsorted(known, at).clip(0, len(known) - 1)
    lower = (upper - 1).clip(0)
    share = ((at - known[lower]) / np.maximum(known[upper] - known[lower], 1)).clip(0, 1)
    weight = torch.tensor(share, dtype=values.dtype, device=values.device).view(-1, *[1] * (values.dim() - 1))
    return torch.lerp(values[torch.from_numpy(lower)], values[torch.from_numpy(upper)], weight)


@torch.inference_mode()
def guided(
    images: Sequence[Array],
    scales: Sequence[Array],
    known: Indices,
    guides: Array,
    mask: Mask,
    spacing: Sequence[float],
    device: torch.device,
) -> tuple[list[Array], list[Array]]:
    """images, scales: each [K, X, Y], the slices `known` (ascending) of a volume; guides [C, Z, X, Y], what is given of
    all of it; mask [Z, X, Y] of the brain -> each [Z, X, Y], 0 outside the mask, the known slices as they were.

    All in normalised units; spacing: of X and Y in mm. Scales are interpolated alone: a slope would make some negative.
    """
    brain = _on(mask, device)
    whole = (_on(guides, device) - intensity.MEAN) * brain  # around 0, where squares lose no digits
    inside, here = brain[known], whole[:, known]
    rows, columns = (_window(n, round(_RADIUS / edge), device) for n, edge in zip(mask.shape[1:], spacing, strict=True))
    share = rows @ inside.float() @ columns
    near = share > 0
    share = torch.where(near, share, _FAR)
    sure, voxels = interpolate(share, known, len(mask)), inside.sum()

    def local(values: Tensor) -> Tensor:
        """The mean over the brain in the window."""
        return rows @ values @ columns / share

    def everywhere(values: Tensor) -> Tensor:
        return interpolate(values * share, known, len(mask)) / sure

    def beyond(image: Tensor, mean: Tensor) -> Tensor:
        """The image, outside the brain its local mean; where no brain is near, its mean."""
        return torch.where(inside, image, torch.where(near, mean, image.sum() / voxels))

    means = [local(guide) for guide in here]
    fits = _factors([[local(here[i] * here[j]) - means[i] * means[j] for j in range(i + 1)] for i in range(len(here))])

    def filled(image: Tensor) -> Tensor:
        middle = local(image)
        slopes = _solved(fits, [local(image * g) - middle * m for g, m in zip(here, means, strict=True)])
        offset, found = beyond(image, middle), torch.zeros_like(whole[0])
        for slope, guide, mean, full in zip(slopes, here, means, whole, strict=True):
            offset -= slope * torch.where(inside, guide, mean)
            found += everywhere(slope) * full
        found += everywhere(offset)  # within what is known: of a vessel in no made slice a slope may know too much
        least, most = torch.where(inside, image, torch.inf).amin(), torch.where(inside, image, -torch.inf).amax()
        return found.clamp(least, most) * brain

    def alone(scale: Tensor) -> Tensor:
        return everywhere(beyond(scale, local(scale))) * brain

    def of(found: Sequence[Array], fill: Callable[[Tensor], Tensor]) -> list[Array]:
        return [fill(_on(x, device) * inside).cpu().numpy() for x in found]

    return of(images, filled), of(scales, alone)


def _on(array: NDArray[Any], device: torch.device) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array)).to(device)


def _window(size: int, radius: int, device: torch.device) -> Tensor:
    """[size, size], symmetric: its product with a vector is the mean over windows, 0 beyond the edges."""
    at = torch.arange(size, device=device)
    return ((at[:, None] - at).abs() <= radius) / (2 * radius + 1)


def _factors(variances: Sequence[Sequence[Tensor]]) -> Factors:
    """L, without its diagonal of ones, and D of L D L' = variances + _FLAT, pixel by pixel, from the lower triangle.

    As maps: with so many and so small matrices a library's solvers take longer, and stop at the first singular one.
    """
    lower: list[list[Tensor]] = []
    pivots: list[Tensor] = []
    for i, row in enumerate(variances):
        scaled: list[Tensor] = []  # row i of L times D
        for j in range(i):
            scaled.append(row[j] - _dot(scaled, lower[j]))
        lower.append([x / d for x, d in zip(scaled, pivots, strict=True)])
        pivots.append((row[i] + _FLAT - _dot(scaled, lower[i])).clamp(min=_FLAT))
    return lower, pivots


def _solved(factors: Factors, right: Sequence[Tensor]) -> list[Tensor]:
    """x of L D L' x = right, pixel by pixel."""
    lower, pivots = factors
    found: list[Tensor] = []
    for b, row in zip(right, lower, strict=True):
        found.append(b - _dot(row, found))
    found = [y / d for y, d in zip(found, pivots, strict=True)]
    for j in reversed(range(len(found))):
        for i in range(j + 1, len(found)):
            found[j] = found[j] - lower[i][j] * found[i]
    return found


def _dot(a: Sequence[Tensor], b: Sequence[Tensor]) -> Tensor | float:
    return sum((x * y for x, y in zip(a, b, strict=True)), 0.0)

"""A few plain numbers of one contrast of one patient, and which values they usually take.

They are how an input far from what a model was trained on is told (`infer/flags.py`, docs/explanation/flags.md): the
brain's size and shape from its mask, how its intensities are distributed, and what no stripped brain has, a dark gap or
a thin shell. All are taken on a grid of 3 mm, whatever the voxels, and no gain or offset of the intensities matters.
"""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.special import stdtrit

from polycontrast.data import grid, intensity
from polycontrast.data.cache import Entry
from polycontrast.data.intensity import Mask
from polycontrast.io.volume import Array

Range = tuple[float, float]
Typical = dict[str, dict[str, Range]]  # {contrast: {descriptor: (low, high)}}
Sizes = tuple[float, float, float]
T = TypeVar("T", bound=np.generic)

GRID_MM = 3.0
FEWEST_VOXELS = 100  # of the grid; with fewer, sizes are all that is told
FEWEST_CASES = 5  # a range of fewer means nothing
MOST_CASES = 64  # plenty for a range, a few seconds to read
UNUSUAL = 5e-4  # the chance that one descriptor of an ordinary patient falls outside its range, were it normal
_CORE, _REACH = 6.5, 10.0  # mm: what lies nowhere near a point this deep is thin
_OUTLIER = 5.0  # robust standard deviations from the median; what lies beyond does not widen a range

SHAPE = {"right_mm": 8.0, "front_mm": 8.0, "height_mm": 8.0, "volume_ml": 100.0, "mirror": 0.02, "lean": 0.05,
         "taper": 0.05}  # fmt: skip
SHELL = {"gap": 0.1, "thin": 0.02}
APPEARANCE = {"median": 0.03, "spread": 0.03, "peak": 0.15, "white": 0.03, "edge": 0.05, "core": 0.03, "detail": 0.03,
              "detail_skew": 0.3}  # fmt: skip
LEAST = {"thickness_mm": 2.0, **SHAPE, **SHELL, **APPEARANCE}  # half of a range is never less than this


def describe(array: Array, mask: Mask, spacing: Sizes) -> dict[str, float]:
    """The descriptors of one contrast, [X, Y, Z] with canonical axes (right, anterior, superior) of voxels in mm.

    thickness_mm: the longest voxel edge. right_mm, front_mm, height_mm: the brain's extents along the axes; volume_ml.
    mirror: share of the mask that its left-right mirror image covers. lean: correlation of height and forward position
    (a brain's lower half lies behind its upper one). taper: skewness of the forward position (a brain is broadest
    behind its middle). gap: how far, in normalised units, a layer under the surface is darker than layers both outside
    and inside it (the bone under a scalp). thin: share of the mask in layers of less than about 12 mm.
    In normalised units: median; spread, between quartiles; peak, the 99.9th percentile (enhancement, vessels); white,
    the median beside the midline above the ventricles; edge, the outer 5 mm against the inside. detail, detail_skew:
    whether fine detail is brighter (> 0) or darker than its surroundings, by percentiles and by the third moment.

    A mask too small for a shape has sizes only. The mask must not be empty.
    """
    box = grid.bounding_box(mask)
    right, front, height = ((stop - start) * s for (start, stop), s in zip(box, spacing, strict=True))
    inside, values = sampled(grid.crop(mask, box), spacing), sampled(grid.crop(array, box), spacing)
    sizes = {"thickness_mm": max(spacing), "right_mm": right, "front_mm": front, "height_mm": height}
    sizes["volume_ml"] = float(mask.sum()) * float(np.prod(spacing)) / 1000
    if inside.sum() < FEWEST_VOXELS:
        return sizes
    normal = _normalised(values, inside)
    deep = ndimage.distance_transform_edt(np.pad(inside, 1), sampling=GRID_MM)[1:-1, 1:-1, 1:-1]
    return sizes | shape(inside) | _shell(normal, inside, deep) | _appearance(normal, inside, deep)


def sampled(array: NDArray[T], spacing: Sizes) -> NDArray[T]:
    """The nearest voxels [X, Y, Z] at the points of a grid of 3 mm."""
    counts = [max(1, round(n * s / GRID_MM)) for n, s in zip(array.shape, spacing, strict=True)]
    places = [
        np.minimum(((np.arange(count) + 0.5) * n / count).astype(int), n - 1)
        for count, n in zip(counts, array.shape, strict=True)
    ]
    return array[np.ix_(*places)]


def shape(inside: Mask) -> dict[str, float]:
    """mirror, lean and taper (see `describe`) of a mask on the grid of 3 mm, cropped to itself."""
    place = np.argwhere(inside).astype(np.float64)
    place = (place - place.mean(axis=0)) / np.maximum(place.std(axis=0), 1e-6)
    _, forward, up = place.T
    return {
        "mirror": float((inside & inside[::-1]).sum() / inside.sum()),
        "lean": float((forward * up).mean()),
        "taper": float((forward**3).mean()),
    }


def _normalised(values: Array, inside: Mask) -> Array:
    """Normalised units, 0 outside; 0.5 everywhere inside if the image is constant."""
    brain = values[inside].astype(np.float64)
    scale = intensity.SD / max(float(brain.std()), 1e-9 * abs(float(brain.mean())), 1e-30)
    return np.where(inside, (values - brain.mean()) * scale + intensity.MEAN, 0).astype(np.float32)


def _shell(normal: Array, inside: Mask, deep: NDArray[np.float64]) -> dict[str, float]:
    layers = [inside & (deep > low) & (deep <= low + 4) for low in range(0, 32, 4)]
    means = [float(normal[layer].mean()) for layer in layers if layer.sum() >= FEWEST_VOXELS]
    dips = [min(max(means[:i]), max(means[i + 1 :])) - means[i] for i in range(1, len(means) - 1)]
    far = ndimage.distance_transform_edt(deep <= _CORE, sampling=GRID_MM) > _REACH
    return {"gap": max(dips, default=0.0), "thin": float((inside & far).sum() / inside.sum())}


def _appearance(normal: Array, inside: Mask, deep: NDArray[np.float64]) -> dict[str, float]:
    values = normal[inside]
    quarter, median, most, peak = np.percentile(values, (25, 50, 75, 99.9))
    rim, core, white = normal[inside & (deep <= 5)], normal[inside & (deep > 5)], normal[inside & _beside(inside.shape)]
    within = normal[inside & (deep > 16)]
    low, middle, high, third = _detail(normal, inside)
    return {
        "median": float(median),
        "spread": float(most - quarter),
        "peak": float(peak),
        "white": float(np.median(white)) if white.size else float(median),
        "edge": float(rim.mean() - core.mean()) if rim.size and core.size else 0.0,
        "core": float(within.mean()) if within.size else float(median),
        "detail": (high + low - 2 * middle) / max(high - low, 1e-6),
        "detail_skew": third,
    }


def _beside(shape: Sequence[int]) -> Mask:
    """Where white matter is most of a brain that fills the box: on both sides, above the ventricles."""
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij", sparse=True)
    where: Mask = (abs(x) > 0.2) & (abs(x) < 0.55) & (abs(y) < 0.5) & (z > 0.25) & (z < 0.6)
    return where


def _detail(normal: Array, inside: Mask) -> tuple[float, float, float, float]:
    """Percentiles 5, 50, 95 and the skewness of the difference to the mean of the nearest 27 points of the brain."""
    share = ndimage.uniform_filter(inside.astype(np.float32), 3)
    around = ndimage.uniform_filter(normal, 3) / np.maximum(share, 1 / 54)
    fine = (normal - around)[ndimage.binary_erosion(inside)].astype(np.float64)
    if fine.size == 0:
        return 0.0, 0.0, 0.0, 0.0
    low, middle, high = (float(p) for p in np.percentile(fine, (5, 50, 95)))
    return low, middle, high, float((fine**3).mean() / max(float(fine.std()), 1e-6) ** 3)


def typical(entries: Sequence[Entry]) -> Typical:
    """{contrast: {descriptor: (low, high)}}: between which values each descriptor of an ordinary patient lies.

    Prediction intervals of a normal distribution from the cases given (every second, third ... if they are over 64),
    which fewer cases make wider. Contrasts of fewer than five cases have none.
    """
    found: dict[str, list[dict[str, float]]] = {}
    for entry in entries[:: -(-len(entries) // MOST_CASES) or 1]:
        mask = entry.mask(slice(None)).transpose(1, 2, 0)
        images = entry.images(slice(None)).transpose(1, 2, 3, 0)
        for name, image in zip(entry.contrasts, images, strict=True):
            found.setdefault(name, []).append(describe(image.astype(np.float32), mask, entry.spacing))
    return {name: _ranges(told) for name, told in found.items() if len(told) >= FEWEST_CASES}


def _ranges(told: Sequence[dict[str, float]]) -> dict[str, Range]:
    shared = [key for key in LEAST if all(key in one for one in told)]
    return {key: _range(np.array([one[key] for one in told]), LEAST[key]) for key in shared}


def _range(values: NDArray[np.float64], least: float) -> Range:
    """The interval in which the next value lies, but for a chance of `UNUSUAL`; half of it is at least `least`."""
    middle = float(np.median(values))
    robust = 1.4826 * float(np.median(abs(values - middle)))
    if robust > 0:  # a flawed case among the training's must not hide all others of its kind
        values = values.clip(middle - _OUTLIER * robust, middle + _OUTLIER * robust)
    n = len(values)
    reach = float(stdtrit(n - 1, 1 - UNUSUAL / 2)) * float(values.std(ddof=1)) * (1 + 1 / n) ** 0.5
    centre, half = float(values.mean()), max(reach, least)
    return round(centre - half, 4), round(centre + half, 4)

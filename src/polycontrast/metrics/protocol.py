"""The protocol `polycontrast`: in which units, where and over which range a prediction is judged.

The truth is in its own normalised units (brain mean 0.5, SD 0.25, per volume), the prediction in normalised units as it
comes: a wrong gain or offset is error, and nothing rescales it away. The data range is the truth's 0.5-99.5
percentile span in the brain. Beside these stand two gentler readings, for comparison with papers that used them: the
region *volume*, zero background included, and the columns *_scaled*, after BraSyn's rescaling of each image by itself.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from polycontrast.data import intensity
from polycontrast.data.intensity import Mask
from polycontrast.errors import UserError
from polycontrast.io import formats, labels
from polycontrast.io.checks import check_same_grid
from polycontrast.io.layout import Case
from polycontrast.io.volume import Array, Geometry
from polycontrast.metrics.measures import METRICS, Pair

PERCENTILES = (0.5, 99.5)
REGIONS = ("brain", "tumour", "volume")
COLUMNS = (*METRICS, *(f"{name}_scaled" for name in METRICS))
Values = dict[str, float | None]

DESCRIPTION = {
    "protocol": "polycontrast",
    "normalisation": "truth: per volume, its brain mean -> 0.5 and one SD -> 0.25, background 0, no clipping; "
    "prediction: normalised units as it comes",
    "mask": "brain: voxels non-zero in any real contrast of the case, holes filled; tumour: whole tumour of the "
    "segmentation; volume: every voxel",
    "data_range": "0.5-99.5 percentile span of the truth in the brain, per volume, for every region",
    "scaled": "columns *_scaled: truth and prediction each clipped to its own 0.5-99.5 percentiles over the whole "
    "volume (the lower one not below 0) and scaled to [0, 1]; data range 1",
    "ssim": "3-D, Gaussian window of sigma 1.5 voxels, K1 0.01, K2 0.03, mean of the map in the region",
    "nmae": "mean absolute error in the region / (max - min of the truth there)",
}


@dataclass(frozen=True, eq=False)
class Real:
    """A case's real images, in normalised units on one grid, [X, Y, Z] as stored.

    given: the first given contrast, normalised inside its own brain, as a system sees it (None if the case lacks it).
    images: the other contrasts and it, normalised inside the case's brain. flaws: why a contrast is not among them.
    """

    id: str
    geometry: Geometry
    brain: Mask
    tumour: Mask | None
    given: Array | None
    images: dict[str, Array]
    flaws: dict[str, str]


def load(case: Case, given: str = "") -> Real:
    """Read and normalise a case. Raises UserError for unreadable files and grids that differ."""
    volumes = {name: formats.read(path) for name, path in case.contrasts.items()}
    check_same_grid(volumes)
    brain = intensity.brain_mask([v.array for v in volumes.values()])
    images, flaws = {}, {}
    for name, volume in volumes.items():
        try:
            images[name] = intensity.fit(volume.array, brain).apply(volume.array, brain)
        except UserError as error:
            flaws[name] = error.message
    geometry = next(iter(volumes.values())).geometry
    return Real(
        id=case.id,
        geometry=geometry,
        brain=brain,
        tumour=_tumour(case, geometry),
        given=_own(volumes[given].array) if given in images else None,
        images=images,
        flaws=flaws,
    )


def same_grid(a: Geometry, b: Geometry) -> bool:
    """Whether `check_same_grid` takes them for one grid."""
    try:
        check_same_grid({"one": a, "other": b})
    except UserError:
        return False
    return True


@dataclass(frozen=True, eq=False)
class Reference:
    """One real contrast of one case, ready to judge predictions of it."""

    truth: Array
    scaled: Array
    data_range: float
    regions: dict[str, Mask]


def reference(real: Real, contrast: str) -> Reference:
    """Raises UserError if the case has no such contrast or a constant one."""
    if contrast not in real.images:
        raise UserError(f"no truth: {real.flaws.get(contrast, f'the case has no {contrast}')}")
    truth = real.images[contrast]
    low, high = np.percentile(truth[real.brain], PERCENTILES)
    none = np.zeros(truth.shape, dtype=bool)
    tumour = none if real.tumour is None else real.tumour
    regions = dict(zip(REGIONS, (real.brain, tumour, ~none), strict=True))
    return Reference(truth, rescaled(truth), float(high - low), regions)


def judge(against: Reference, image: Array) -> dict[str, Values]:
    """Every measure of the image in every region, in normalised units and self-scaled: {region: {column: value}}."""
    plain = Pair(against.truth, image, against.data_range)
    scaled = Pair(against.scaled, rescaled(image), 1.0)
    return {
        region: {name: metric.of(plain, mask) for name, metric in METRICS.items()}
        | {f"{name}_scaled": metric.of(scaled, mask) for name, metric in METRICS.items()}
        for region, mask in against.regions.items()
    }


def rescaled(image: Array) -> Array:
    """Clipped to its own 0.5 and 99.5 percentiles over the whole volume and scaled to [0, 1], as BraSyn's judges do.

    The lower percentile is raised to 0 where negative. An image without any spread becomes 0.
    """
    low, high = np.percentile(image, PERCENTILES)
    low = max(float(low), 0.0)
    span = float(high) - low
    if span <= 0:
        return np.zeros_like(image)
    return np.asarray((np.clip(image, low, high) - low) / span, dtype=np.float32)


def read_prediction(path: Path, real: Real) -> Array:
    """A synthetic volume as it was written. Raises UserError if unreadable, off the grid, not finite, or constant."""
    volume = formats.read(path)
    check_same_grid({"the truth": real.geometry, "the prediction": volume}, path)
    if np.ptp(volume.array[real.brain]) == 0:
        raise UserError("the prediction is constant in the brain", hint="synthesise it again", path=path)
    return volume.array


def _own(array: Array) -> Array:
    mask = intensity.brain_mask([array])
    return intensity.fit(array, mask).apply(array, mask)


def _tumour(case: Case, geometry: Geometry) -> Mask | None:
    if case.segmentation is None:
        return None
    values, where = formats.read_labels(case.segmentation)
    check_same_grid({"the images": geometry, "the segmentation": where}, case.segmentation)
    return labels.regions(values, case.labels, case.segmentation)["whole"]

"""The truth: a case's real images, read, normalised and ready to judge predictions against.

All arrays are [X, Y, Z] in canonical orientation (x to the right, y to anterior, z up), so that `array[:, :, k]` is an
axial slice, in normalised units: brain mean 0.5, SD 0.25, per volume; background 0.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from polycontrast.data import grid, intensity
from polycontrast.data.intensity import Intensity, Mask
from polycontrast.errors import UserError
from polycontrast.io import formats, labels
from polycontrast.io.checks import check_same_grid
from polycontrast.io.layout import Case
from polycontrast.io.volume import Array, Geometry
from polycontrast.metrics.regions import regions
from polycontrast.metrics.similarity import check_range

if TYPE_CHECKING:
    from polycontrast.metrics.niqe import NiqeModel

PERCENTILES = (0.5, 99.5)
SEGMENTATION, COPY, BRAIN = "segmentation", "copy", "brain"  # their places among the flaws of a case
HUGE = 1e6  # normalised units: beyond any image, and within what float32 can square
FAR = 50.0  # normalised units, 200 SD from the brain's mean: no brain's median, but a scanner's units
Spacing = tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class Real:
    """A case's real images. geometry: the grid as stored; spacing: mm along the canonical axes.

    given: the first given contrast, normalised inside its own brain, as a system sees it (None if the case lacks it).
    images: every contrast, normalised inside the case's brain, and intensities, the maps that did it. regions: masks by
    name (metrics/regions.py). told: the tumour's regions that the segmentation's values can tell, none without one.
    flaws: why a contrast is not among the images, or the segmentation or the given contrast is not used.
    """

    id: str
    geometry: Geometry
    spacing: Spacing
    regions: dict[str, Mask]
    told: tuple[str, ...]
    given: Array | None
    images: dict[str, Array]
    intensities: dict[str, Intensity]
    flaws: dict[str, str]

    @property
    def brain(self) -> Mask:
        return self.regions["brain"]

    @property
    def tumour(self) -> Mask:
        """The whole tumour; empty where there is none or nobody has said."""
        return self.regions["tumour"]

    @property
    def focus(self) -> Mask:
        """What a picture should go through: the tumour, or the brain if there is none."""
        return self.tumour if self.tumour.any() else self.brain


def load(case: Case, given: str = "") -> Real:
    """Read and normalise a case. Raises UserError for unreadable images, for none, and for grids that differ.

    A segmentation that cannot be used (unknown values, another grid) is a flaw: the brain can be judged without it.
    """
    check_images(case)
    with ThreadPoolExecutor(2) as pool:  # unpacking is most of it, and releases Python's lock
        stored = pool.map(formats.read_real, case.contrasts.values())
        volumes = dict(zip(case.contrasts, map(intensity.zero_background, stored), strict=True))
    check_same_grid(volumes)
    geometry = next(iter(volumes.values())).geometry
    raw = {name: _canonical(volume.array, geometry) for name, volume in volumes.items()}
    brain = intensity.brain_mask(list(raw.values()))
    intensities, flaws = {}, {}
    if full := [name for name, array in raw.items() if intensity.edges_other(array) > intensity.FEW]:
        flaws[BRAIN] = f"the background of {', '.join(full)} is not 0 and counts as brain: strip the skull"
    for name, array in raw.items():
        try:
            intensities[name] = intensity.fit(array, brain)
        except UserError as error:
            flaws[name] = error.message
    spacing, segmented, own = grid.canonical_spacing(geometry.affine), None, None
    try:
        segmented = _segmented(case, geometry)
    except UserError as error:
        flaws[SEGMENTATION] = error.message
    try:
        own = _own(raw[given]) if given in intensities else None
    except UserError as error:
        flaws[COPY] = f"the given {given}: {error.message}"
    return Real(
        id=case.id,
        geometry=geometry,
        spacing=spacing,
        regions=regions(brain, segmented, spacing),
        told=() if segmented is None else labels.told(case.labels),
        given=own,
        images={name: fit.apply(raw[name], brain) for name, fit in intensities.items()},
        intensities=intensities,
        flaws=flaws,
    )


def check_images(case: Case) -> None:
    """UserError if nothing but a segmentation is left of a case."""
    if not case.contrasts:
        raise UserError("the case has no images", hint="add them, or take its segmentation away too")


def same_grid(a: Geometry, b: Geometry) -> bool:
    """Whether `check_same_grid` takes them for one grid."""
    try:
        check_same_grid({"one": a, "other": b})
    except UserError:
        return False
    return True


@dataclass(frozen=True, eq=False)
class Reference:
    """One real contrast of one case, ready to judge predictions of it.

    truth: normalised. data_range: its 0.5-99.5 percentile span in the brain. niqe: a model of real slices of this
    contrast, if one was fitted.
    """

    contrast: str
    truth: Array
    intensity: Intensity
    regions: dict[str, Mask]
    data_range: float
    spacing: Spacing
    niqe: "NiqeModel | None" = None

    @property
    def brain(self) -> Mask:
        return self.regions["brain"]

    @cached_property
    def raw(self) -> Array:
        """The truth in its file's units, 0 outside the brain."""
        return self.as_file(self.truth)

    def as_file(self, image: Array) -> Array:
        """A normalised image in the units of the truth's file, 0 outside the brain."""
        return self.intensity.undo(image, self.brain)


def reference(real: Real, contrast: str, niqe: "NiqeModel | None" = None) -> Reference:
    """Raises UserError if the case has no such contrast, a constant one, or one that is flat but for a few voxels."""
    if contrast not in real.images:
        raise UserError(f"no truth: {real.flaws.get(contrast, f'the case has no {contrast}')}")
    truth = real.images[contrast]
    low, high = np.percentile(truth[real.brain], PERCENTILES)
    check_range(float(high - low))
    return Reference(
        contrast, truth, real.intensities[contrast], real.regions, float(high - low), real.spacing, niqe
    )  # fmt: skip


def read_prediction(path: Path, real: Real) -> Array:
    """A synthetic volume as it was written. Raises UserError as `read_beside`, and if it is constant or in the units
    of a scanner."""
    image = read_beside(path, real)
    if np.ptp(image[real.brain]) == 0:
        raise UserError("the prediction is constant in the brain", hint="synthesise it again", path=path)
    if abs(middle := float(np.median(image[real.brain]))) > FAR:
        found = f"the brain's median is {middle:.4g}, where normalised units have about {intensity.MEAN}"
        raise UserError(found, hint="write it in normalised units: the brain's mean is 0.5, its SD 0.25", path=path)
    return image


def read_beside(path: Path, real: Real) -> Array:
    """A volume made for a case, as it was written. UserError if unreadable, off the grid, not finite, or absurd."""
    volume = formats.read(path)
    check_same_grid({"the truth": real.geometry, "the prediction": volume}, path)
    if (peak := float(np.abs(volume.array).max())) > HUGE:
        hint = "write it as `polycontrast synth` does"
        raise UserError(f"values of up to {peak:.2g}, where the brain's mean should be about 0.5", hint, path)
    return _canonical(volume.array, volume.geometry)


def _canonical(array: Array, geometry: Geometry) -> Array:
    return np.ascontiguousarray(grid.to_canonical(array, geometry.affine))


def _own(array: Array) -> Array:
    mask = intensity.brain_mask([array])
    return intensity.fit(array, mask).apply(array, mask)


def _segmented(case: Case, geometry: Geometry) -> dict[str, Mask] | None:
    if case.segmentation is None:
        return None
    values, where = formats.read_labels(case.segmentation)
    check_same_grid({"the images": geometry, "the segmentation": where}, case.segmentation)
    stored = labels.regions(values, case.labels, case.segmentation)
    return {name: np.ascontiguousarray(grid.to_canonical(mask, geometry.affine)) for name, mask in stored.items()}

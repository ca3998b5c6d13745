"""What a system must beat: predictions that nobody had to learn.

copy: the given contrast itself. mean image: the voxelwise mean of the training patients. constant: the brain's mean
everywhere. Each is in normalised units, with 0 outside the brain.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polycontrast.data.intensity import MEAN, Mask
from polycontrast.errors import UserError
from polycontrast.io import formats
from polycontrast.io.layout import Case
from polycontrast.io.volume import Array, Geometry
from polycontrast.metrics import niqe
from polycontrast.metrics.niqe import NiqeModel
from polycontrast.metrics.reference import Real, check_images, load, same_grid
from polycontrast.metrics.threads import one_blas_thread

CONTROLS = ("copy", "mean image", "constant")
NOTE = "voxels of a judged brain that no averaged brain covers, and cases on another grid, get 0.5"


@dataclass(frozen=True, eq=False)
class MeanImage:
    """The mean of the fitting cases per contrast, on the grid that most of them share; 0.5 where none has brain.

    means: of the contrasts that any of them has; counts: of how many. used: the cases averaged. left_out: case -> why
    it is not among them.
    """

    geometry: Geometry
    means: dict[str, Array]
    counts: dict[str, int]
    used: tuple[str, ...]
    left_out: dict[str, str]

    def predict(self, contrast: str, real: Real) -> Array:
        """The mean image inside this case's brain; the constant if the case is on another grid."""
        if not same_grid(self.geometry, real.geometry):
            return constant(real.brain)
        return np.where(real.brain, self.means[contrast], np.float32(0))


def constant(brain: Mask) -> Array:
    """0.5, the mean of every normalised brain, inside the brain."""
    return np.where(brain, np.float32(MEAN), np.float32(0))


def predictions(contrast: str, real: Real, mean_image: MeanImage | None) -> dict[str, Array]:
    """The controls that this case allows, by name."""
    found = {"constant": constant(real.brain)}
    if mean_image is not None and contrast in mean_image.means:
        found["mean image"] = mean_image.predict(contrast, real)
    if real.given is not None:
        found["copy"] = real.given
    return {name: found[name] for name in CONTROLS if name in found}


@dataclass(frozen=True, eq=False)
class Fitted:
    """What is made of the fitting cases: the mean image, and a NIQE model of each contrast's real slices."""

    mean_image: MeanImage | None
    niqe: dict[str, NiqeModel]


def fit(cases: Sequence[Case], contrasts: Sequence[str]) -> Fitted:
    """Average the contrasts of the cases, and learn what their slices look like; the cases are read one at a time.

    At a voxel the sum is divided by the number of cases that have brain there. No mean image if no case can be read.
    """
    grids, left_out = _grids(cases)
    if not grids:
        return Fitted(None, {})
    geometry = _most_common(list(grids.values()))
    sums: dict[str, NDArray[np.float64]] = {}
    counts: dict[str, NDArray[np.uint16]] = {}
    patches: dict[str, list[NDArray[np.float64]]] = {contrast: [] for contrast in contrasts}
    used = []
    for case in cases:
        if case.id not in grids or not same_grid(grids[case.id], geometry):
            left_out.setdefault(case.id, "on another grid than most cases")
            continue
        try:
            real = load(case)
        except UserError as error:
            left_out[case.id] = error.message
            continue
        used.append(case.id)
        with one_blas_thread():
            for contrast in [c for c in contrasts if c in real.images]:
                image = real.images[contrast]
                sums[contrast] = sums.get(contrast, 0) + image.astype(np.float64)
                counts[contrast] = counts.get(contrast, 0) + real.brain.astype(np.uint16)
                patches[contrast].append(niqe.sharp_features(image, real.brain))
    means = {c: np.where(counts[c] > 0, sums[c] / np.maximum(counts[c], 1), MEAN).astype(np.float32) for c in sums}
    models = {c: niqe.fit(rows, f"{len(rows)} cases") for c, rows in patches.items()}
    known = {c: model for c, model in models.items() if model is not None}
    numbers = {contrast: len(patches[contrast]) for contrast in means}
    return Fitted(MeanImage(geometry, means, numbers, tuple(used), left_out), known)


def describe(
    mean_image: MeanImage | None, role: str | None, missing: Mapping[str, str], off_grid: Sequence[str]
) -> dict[str, Any]:
    """What the mean image was made of, for the summary. role: of the fitting cases, if one was named. missing: those of
    them that are not there, and why. off_grid: judged cases for which it fell back to 0.5."""
    if mean_image is None:
        why = "no role of a split file says of which" if role is None else "no readable case in the fitting role"
        note = f"{why}: this control is not in the table"
        return {"role": role, "cases": 0, "left_out": dict(missing), "constant_instead": [], "note": note}
    number = len(mean_image.used)
    fewer = [f"of {contrast} {n}" for contrast, n in mean_image.counts.items() if n < number]
    return {
        "role": role,
        "cases": number,
        "left_out": {**missing, **mean_image.left_out},
        "constant_instead": list(off_grid),
        "note": "; ".join([*fewer, NOTE]),
    }


def _grids(cases: Sequence[Case]) -> tuple[dict[str, Geometry], dict[str, str]]:
    grids, unreadable = {}, {}
    for case in cases:
        try:
            check_images(case)
            grids[case.id] = formats.read_geometry(next(iter(case.contrasts.values())))
        except UserError as error:
            unreadable[case.id] = error.message
    return grids, unreadable


def _most_common(grids: Sequence[Geometry]) -> Geometry:
    keys = [(g.shape, tuple(g.affine.round(2).ravel())) for g in grids]
    return grids[keys.index(Counter(keys).most_common(1)[0][0])]

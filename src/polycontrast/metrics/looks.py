"""What one judged volume adds to the figures of a report: means in regions, spectra, a joint histogram.

Gathered while a case is in memory, kept small, drawn when all cases are seen.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polycontrast import pictures
from polycontrast.contrasts import slug
from polycontrast.data.grid import bounding_box
from polycontrast.io.volume import Array
from polycontrast.metrics.reference import Reference
from polycontrast.metrics.sharpness import power_spectrum
from polycontrast.metrics.statistics import by_patient
from polycontrast.metrics.tables import write_csv

UNIT = "normalised units"
MEANS = ("tumour", "enhancing", "healthy", "brain")  # the regions whose mean intensities are compared
EDGES = np.linspace(-0.5, 2.0, 101)  # of the joint histogram: tissue lies in about [0, 1], enhancement above
POINTS = 64  # frequencies of a drawn spectrum
SLICES = 48  # axial ones that a spectrum is made of, at most: neighbours say nearly the same
Numbers = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Look:
    """A judged volume of a case beside its truth, in normalised units.

    means: region -> (truth's mean, image's mean), the regions that have voxels. frequencies [F] in cycles/mm and the
    power of both there. joint: voxels of the brain by truth (first axis) and image, in bins of EDGES; values beyond
    them are in the outermost bins.
    """

    case: str
    contrast: str
    means: dict[str, tuple[float, float]]
    frequencies: Numbers
    truth_power: Numbers
    image_power: Numbers
    joint: NDArray[np.uint32]


def look(case: str, against: Reference, image: Array) -> Look:
    """What a prediction [X, Y, Z] in normalised units adds to the figures."""
    masks = {name: against.regions[name] for name in MEANS if against.regions[name].any()}
    box = tuple(slice(*side) for side in bounding_box(against.brain))
    brain, truth, inside = against.brain[box], against.truth[box], image[box]
    some = (..., slice(None, None, -(-brain.shape[2] // SLICES)))
    real, synthetic = (power_spectrum(volume[some], brain[some], against.spacing) for volume in (truth, inside))
    assert real is not None  # a Reference has a brain
    assert synthetic is not None
    return Look(
        case=case,
        contrast=against.contrast,
        means={name: (_mean(against.truth, mask), _mean(image, mask)) for name, mask in masks.items()},
        frequencies=real[0],
        truth_power=real[1],
        image_power=synthetic[1],
        joint=_joint(truth[brain], inside[brain]),
    )


def draw(out: Path, looks: Sequence[Look]) -> dict[str, dict[str, Path]]:
    """The charts of each contrast as PNG, and the numbers of all contrasts as `bland_altman.csv`, `spectrum.csv` and
    `joint_histogram.csv`. Returns {chart: {contrast: file}}."""
    drawn: dict[str, dict[str, Path]] = {"bland_altman": {}, "spectrum": {}, "joint_histogram": {}}
    for contrast in dict.fromkeys(one.contrast for one in looks):
        own = [one for one in looks if one.contrast == contrast]

        def path(chart: str, contrast: str = contrast) -> Path:
            return drawn[chart].setdefault(contrast, out / f"{chart}_{slug(contrast)}.png")

        # The truth's mean in the brain is 0.5 by its units: a plot against it would show nothing.
        agreement = {region: readings(own, region) for region in MEANS if region != "brain"}
        if shown := {region: pair for region, pair in agreement.items() if len(pair[0])}:
            pictures.bland_altman(path("bland_altman"), shown, UNIT)
        if sampled := [one for one in own if one.frequencies.size > 1]:  # a brain of a few voxels has no spectrum
            pictures.spectra(path("spectrum"), *spectra(sampled))
        joint = np.sum([one.joint for one in own], axis=0, dtype=np.float64)
        pictures.joint_histogram(path("joint_histogram"), np.asarray(joint), EDGES)
    _write(out, looks)
    return drawn


def readings(looks: Sequence[Look], region: str) -> tuple[Numbers, Numbers]:
    """(truths' means [n], images' means [n]) of the patients that have the region, over their visits."""
    known = {one.case: one.means[region] for one in looks if region in one.means}
    sides = (by_patient({case: pair[side] for case, pair in known.items()}).values() for side in range(2))
    real, synthetic = (np.array(list(side), dtype=np.float64) for side in sides)
    return real, synthetic


def spectra(looks: Sequence[Look]) -> tuple[Numbers, Numbers, Numbers]:
    """(frequencies [F], truths' power [n, F], images' power [n, F]): all on the frequencies that every volume has,
    interpolated in the logarithm, for brains differ in size and so in the frequencies they are sampled at."""
    low, high = (pick(one.frequencies[side] for one in looks) for pick, side in ((max, 0), (min, -1)))
    at = np.linspace(low, high, POINTS)
    real, synthetic = (
        np.array([_at(at, one.frequencies, power) for one, power in zip(looks, powers, strict=True)])
        for powers in ([one.truth_power for one in looks], [one.image_power for one in looks])
    )
    return at, real, synthetic


def _at(at: Numbers, frequencies: Numbers, power: Numbers) -> Numbers:
    floor = np.finfo(np.float32).tiny  # a constant image has no power, and no logarithm
    return np.exp(np.interp(at, frequencies, np.log(np.maximum(power, floor))))


def _mean(image: Array, mask: NDArray[np.bool_]) -> float:
    return float(image[mask].mean(dtype=np.float64))


def _joint(truth: Array, image: Array) -> NDArray[np.uint32]:
    """Counts [bins, bins]: ten times as fast as numpy's histogram2d, which searches its edges."""
    bins, width = len(EDGES) - 1, EDGES[1] - EDGES[0]
    rows, columns = (np.clip((v - EDGES[0]) / width, 0, bins - 1).astype(np.intp) for v in (truth, image))
    counts = np.bincount(rows * bins + columns, minlength=bins * bins)
    return counts.astype(np.uint32).reshape(bins, bins)


def _write(out: Path, looks: Sequence[Look]) -> None:
    means: list[tuple[Any, ...]] = []
    power: list[tuple[Any, ...]] = []
    joint: dict[str, NDArray[np.int64]] = {}
    for one in looks:
        means += [(one.case, one.contrast, region, *map(_text, pair)) for region, pair in one.means.items()]
        lines = zip(one.frequencies, one.truth_power, one.image_power, strict=True)
        power += [(one.case, one.contrast, *map(_text, line)) for line in lines]
        joint[one.contrast] = joint.get(one.contrast, 0) + one.joint.astype(np.int64)
    write_csv(out / "bland_altman.csv", ("case", "contrast", "region", "real", "synthetic"), means)
    write_csv(out / "spectrum.csv", ("case", "contrast", "cycles_per_mm", "real", "synthetic"), power)
    middle = [_text(value) for value in (EDGES[:-1] + EDGES[1:]) / 2]
    write_csv(
        out / "joint_histogram.csv", ("contrast", "real", "synthetic", "voxels"),
        [(name, middle[i], middle[j], str(counts[i, j]))
         for name, counts in joint.items() for i, j in np.argwhere(counts)],
    )  # fmt: skip


def _text(value: float) -> str:
    return f"{value:.6g}"

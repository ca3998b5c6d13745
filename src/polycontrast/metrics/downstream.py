"""What synthetic contrasts are good for: the tumour, segmented from four inputs and held against the reference.

* *real*: every contrast as it was scanned, the ceiling.
* *synthetic*: the given contrasts as scanned, the others synthetic.
* *T2 only* (or whatever was given): a segmenter trained on the given contrasts alone. What synthesis adds must be above
  this: all that it makes, it makes of them (the control of 3D-MC-SAGAN, arXiv:2604.00070).
* *zero-filled*: the segmenter of all contrasts, with zeros where one is missing.

Inputs are judged case by case; nothing is pooled over slices or patients.
"""

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage, spatial

from polycontrast.contrasts import SPELLINGS, slug
from polycontrast.data.grid import bounding_box, crop
from polycontrast.data.intensity import Mask
from polycontrast.errors import UserError
from polycontrast.io.labels import REGIONS
from polycontrast.io.layout import Case
from polycontrast.io.volume import Array
from polycontrast.metrics import statistics
from polycontrast.metrics.protocols import Values
from polycontrast.metrics.reference import Real, Spacing
from polycontrast.metrics.segmenter import Notify, Segmenter, SegmenterConfig, opened, truth
from polycontrast.metrics.tables import of_others, plain, write_csv

FIXED = REAL, SYNTHETIC, ZERO = "real", "synthetic", "zero-filled"  # beside "<given> only"
FILE = "downstream.csv"
KEYS = ("case", "input", "region")
UNITS = {"dice": "", "hd95": "mm", "slice_dice": "", "false_positive": "ml", "volume": "ml", "true_volume": "ml"}
BETTER = {"dice": True, "hd95": False, "slice_dice": True, "false_positive": False}  # whether higher is
DESCRIPTION = {
    "segmenter": "MONAI's DynUNet (nnU-Net's architecture, made small), trained on real contrasts of another role: "
    "see segmenter.json beside its weights",
    "regions": "whole tumour, core, enhancing part, each within the one before; a region that a case's label map "
    "cannot tell is not judged there",
    "dice": "2 |A and B| / (|A| + |B|) over the volume; no value where the reference is empty",
    "false_positive": "what is segmented where the reference is empty, ml; no value elsewhere",
    "hd95": "the greater of the two directed 95th percentiles of surface distances, mm; no value where the reference "
    "is empty, the grid's diagonal where only the segmentation is (as BraTS does)",
    "slice_dice": "whole tumour: Dice of each axial slice whose reference has tumour, averaged per case (after "
    "TC-MGAN, which adds 1 above and below and sees slices of 128 x 128 pixels; here neither)",
}


@dataclass(frozen=True)
class Outcome:
    """One region of one case, segmented from one input. values: by the names of `UNITS`, None where there is none."""

    case: str
    input: str
    region: str
    values: Values


@dataclass(frozen=True, eq=False)
class Segmenters:
    """One that knows all contrasts and one that knows the given ones alone."""

    full: Segmenter
    alone: Segmenter

    @property
    def only(self) -> str:
        """The name of the second one's input: "T2 only"."""
        return f"{' + '.join(self.alone.config.contrasts)} only"

    @property
    def inputs(self) -> tuple[str, ...]:
        """The names of the four inputs, in the order of the tables."""
        return REAL, SYNTHETIC, self.only, ZERO


def open_segmenters(
    folder: Path, cases: Sequence[Case], have: Sequence[str], want: Sequence[str], notify: Notify = lambda _: None
) -> Segmenters:
    """The two segmenters for these contrasts, kept in `folder`, each under the names of its own ("t2",
    "t1_t1ce_t2_flair"): trained now on these cases, which must not be judged later, unless they are there already.

    Their channels are in the order T1, T1ce, T2, FLAIR, whatever was given. Raises UserError as `segmenter.opened`.
    """
    full, alone = (tuple(sorted(some, key=list(SPELLINGS).index)) for some in ({*have, *want}, {*have}))

    def one(contrasts: tuple[str, ...]) -> Segmenter:
        name = "_".join(map(slug, contrasts))
        return opened(
            folder / name, cases, SegmenterConfig(contrasts), lambda text: notify(f"segmenter {name}: {text}")
        )

    return Segmenters(one(full), one(alone))


def judge_case(
    real: Real, synthetic: Mapping[str, Array], segmenters: Segmenters, known: Sequence[Outcome] = ()
) -> list[Outcome]:
    """Every region from every input for which all images are there; nothing if the case has no segmentation.

    synthetic: normalised volumes [X, Y, Z], canonical, by contrast. known: outcomes of the same cases and segmenters,
    perhaps of another system: inputs that have nothing synthetic are taken from there and not segmented again.
    """
    if not real.told:
        return []
    outcomes = []
    for name, (segmenter, images) in _inputs(real, synthetic, segmenters).items():
        found = [one for one in known if (one.case, one.input) == (real.id, name) and name != SYNTHETIC]
        outcomes += found or _outcomes(real, name, segmenter(images, real.brain, real.spacing))
    return outcomes


def lacking(real: Real, synthetic: Mapping[str, Array], segmenters: Segmenters) -> list[str]:
    """What the synthetic input of a case that can be judged is missing: ["synthetic FLAIR"]; nothing if it is whole."""
    if not real.told:
        return []
    given = segmenters.alone.config.contrasts
    wanted = {name: ("real", real.images) if name in given else (SYNTHETIC, synthetic)
              for name in segmenters.full.config.contrasts}  # fmt: skip
    return [f"{kind} {name}" for name, (kind, images) in wanted.items() if name not in images]


def dice(reference: Mask, mask: Mask) -> float | None:
    """2 |A and B| / (|A| + |B|), in [0, 1] (Dice 1945); None if the reference is empty."""
    if not reference.any():
        return None
    return 2 * float((reference & mask).sum()) / (float(reference.sum()) + float(mask.sum()))


def slice_dice(reference: Mask, mask: Mask) -> float | None:
    """[X, Y, Z], canonical: the mean `dice` of the axial slices whose reference is not empty; None if all are."""
    slices = [dice(reference[:, :, k], mask[:, :, k]) for k in range(mask.shape[2])]
    found = [value for value in slices if value is not None]
    return sum(found) / len(found) if found else None


def hd95(reference: Mask, mask: Mask, spacing: Spacing) -> float | None:
    """The 95th percentile of the distances from each surface voxel of one to the nearest of the other, mm; of the two
    directions the greater, as MONAI and BraTS have it. None if the reference is empty; the grid's diagonal if only the
    mask is. Surface: voxels of which one of the six neighbours is outside.
    """
    if not reference.any():
        return None
    if not mask.any():
        return math.hypot(*(n * mm for n, mm in zip(mask.shape, spacing, strict=True)))
    box = bounding_box(reference | mask)
    inner = [crop(m, box) for m in (reference, mask)]
    points = [np.argwhere(m & ~ndimage.binary_erosion(m)) * spacing for m in inner]
    ways = [spatial.KDTree(b).query(a)[0] for a, b in (points, points[::-1])]
    return float(max(np.percentile(distances, 95) for distances in ways))


def summarise(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Statistics over patients, for summary.json.

    `results` {input: {region: {measure: statistics}}}; `differences`, the same layout, the synthetic input minus each
    other, patient by patient; `significance` {region: {measure: {input: ...}}} tests these: a region and measure is a
    family.
    """
    series = _series(outcomes)
    results: dict[str, Any] = {}
    differences: dict[str, Any] = {}
    significance: dict[str, Any] = {}
    for (region, measure), columns in series.items():
        for name, values in columns.items():
            place = results.setdefault(name, {}).setdefault(region, {})
            place[measure] = plain(asdict(statistics.over_patients(values)))
        if SYNTHETIC not in columns or measure not in BETTER:
            continue
        for name in [other for other in columns if other != SYNTHETIC]:
            place = differences.setdefault(name, {}).setdefault(region, {})
            pair = statistics.by_visit(columns[SYNTHETIC], columns[name])
            place[measure] = plain(asdict(statistics.paired_difference(*pair)))
        significance.setdefault(region, {})[measure] = {
            name: plain(asdict(one.turned())) for name, one in statistics.compare_systems(columns, SYNTHETIC).items()
        }
    return {
        "description": DESCRIPTION, "units": UNITS, "results": results, "differences": differences,
        "significance": significance,
    }  # fmt: skip


def write(out: Path, outcomes: Sequence[Outcome]) -> None:
    """`downstream.csv`: a row per case, input and region; an empty cell where there is no value."""
    cells = [["" if (v := o.values[name]) is None else f"{v:.6g}" for name in UNITS] for o in outcomes]
    lines = [[o.case, o.input, o.region, *row] for o, row in zip(outcomes, cells, strict=True)]
    write_csv(out / FILE, [*KEYS, *UNITS], lines)


def read(out: Path) -> list[Outcome]:
    """The rows of `downstream.csv`; a UserError if it is not such a table."""
    file = out / FILE
    try:
        with file.open(newline="", encoding="utf-8") as lines:
            return [_outcome(line) for line in csv.DictReader(lines)]
    except (OSError, KeyError, ValueError) as error:
        hint = "run `polycontrast eval --downstream`"
        raise UserError(f"not the table of a downstream segmentation: {error!r}", hint, file) from None


def _outcome(line: Mapping[str, str]) -> Outcome:
    values: Values = {name: float(line[name]) if line[name] else None for name in UNITS}
    return Outcome(line["case"], line["input"], line["region"], values)


def markdown(summary: Mapping[str, Any]) -> str:
    """A table of `summarise`'s results and, if there are any, one of its differences."""
    measures = list(BETTER)
    heads = [f"{name} {UNITS[name]}".strip() + (" ↑" if BETTER[name] else " ↓") for name in measures]
    head = f"| region | input | n | {' | '.join(heads)} |\n|---|---|--:|{'--:|' * len(measures)}\n"
    tables = []
    for key, label, spread in (("results", "{}", "sd"), ("differences", "synthetic minus {}", "interval")):
        lines = [
            f"| {region} | {label.format(name)} | {stats['dice']['n']} | "
            + " | ".join(of_others(_cell(stats[m], spread), stats[m], stats["dice"]["n"]) for m in measures) + " |\n"
            for region in REGIONS
            for name, by_region in summary[key].items()
            if (stats := by_region.get(region))
        ]  # fmt: skip
        tables += [head + "".join(lines)] if lines else []
    return "\n".join(tables)


def _cell(stats: Mapping[str, Any], spread: str) -> str:
    """The mean with its "sd" or "interval", where there is one."""
    if stats["mean"] is None:
        return "no value"
    found = stats[spread]
    if found is None:
        return f"{stats['mean']:.3f}"
    return f"{stats['mean']:.3f} " + (f"± {found:.3f}" if spread == "sd" else "[{:.3f}, {:.3f}]".format(*found))


def _inputs(
    real: Real, synthetic: Mapping[str, Array], segmenters: Segmenters
) -> dict[str, tuple[Segmenter, dict[str, Array]]]:
    """By name what is segmented and by whom, of those inputs for which every image is there."""
    full, given = segmenters.full.config.contrasts, segmenters.alone.config.contrasts
    mixed = {name: (real.images if name in given else synthetic).get(name) for name in full}
    wanted = {
        REAL: (segmenters.full, {name: real.images.get(name) for name in full}),
        SYNTHETIC: (segmenters.full, mixed),
        segmenters.only: (segmenters.alone, {name: mixed[name] for name in given}),
        ZERO: (segmenters.full, {name: mixed[name] for name in given}),
    }
    return {
        name: (segmenter, there)
        for name, (segmenter, images) in wanted.items()
        if len(there := {c: image for c, image in images.items() if image is not None}) == len(images)
    }


def _outcomes(real: Real, name: str, masks: Mapping[str, Mask]) -> list[Outcome]:
    """What the masks of one input are worth, a region each."""
    return [
        Outcome(real.id, name, region, _values(reference, masks[region], real.spacing, region))
        for region, reference in truth(real).items()
    ]


def _values(reference: Mask | None, mask: Mask, spacing: Spacing, region: str) -> Values:
    millilitre = math.prod(spacing) / 1000
    values: Values = dict.fromkeys(UNITS) | {"volume": float(mask.sum()) * millilitre}
    if reference is None:
        return values
    return values | {
        "dice": dice(reference, mask),
        "hd95": hd95(reference, mask, spacing),
        "slice_dice": slice_dice(reference, mask) if region == REGIONS[0] else None,
        "false_positive": None if reference.any() else values["volume"],
        "true_volume": float(reference.sum()) * millilitre,
    }


def _series(outcomes: Sequence[Outcome]) -> dict[tuple[str, str], dict[str, dict[str, float | None]]]:
    """{case: value} per (region, measure) and input, in the order of the cases, None where missing."""
    cases, inputs = (list(dict.fromkeys(getattr(o, key) for o in outcomes)) for key in ("case", "input"))
    found = {(o.region, o.input, o.case): o.values for o in outcomes}
    nothing: Values = dict.fromkeys(UNITS)
    return {
        (region, measure): {
            name: {case: found.get((region, name, case), nothing)[measure] for case in cases} for name in inputs
        }
        for region in REGIONS
        for measure in UNITS
    }

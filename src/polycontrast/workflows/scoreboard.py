"""A comparison of systems as files: a row per system, contrast and region; tables for people; a picture."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from polycontrast import config, pictures
from polycontrast.data.configs import PatchConfig
from polycontrast.infer.cohort import volume_file
from polycontrast.io.files import atomic_write, write_json
from polycontrast.io.layout import Case
from polycontrast.metrics import reference
from polycontrast.metrics.classifier import REAL, Shares
from polycontrast.metrics.controls import CONTROLS
from polycontrast.metrics.measures import METRICS
from polycontrast.metrics.protocols import POLYCONTRAST
from polycontrast.metrics.statistics import over_patients
from polycontrast.metrics.tables import MAIN, SYSTEM, digits, heading, of_others
from polycontrast.recipes import Recipe
from polycontrast.workflows import segmented, significance
from polycontrast.workflows.markdown import table

SHOWN = ("psnr", "ssim", "nmae", "vif", "niqe", "niqe_mr")  # by compare.md
Found = Mapping[str, Mapping[str, Any]]  # per system: recipe, runs, sample, leaks, summary (of its evaluation), cost


def sample(recipe: Recipe) -> str:
    """What one image of its training is, in words."""
    if isinstance(recipe.data, PatchConfig):
        return f"a patch of {recipe.data.size}³ voxels in every contrast"
    if recipe.data.labels:
        return "a slice in one contrast"
    return "a slice in every contrast it needs" + ("" if recipe.data.paired else ", no two of one place")


def summarised(
    found: Found, shares: Shares, facts: Mapping[str, Any], failures: Mapping[str, Sequence[str]]
) -> dict[str, Any]:
    """What compare.json holds: the facts; `quality` {system or control: {contrast: {region: {column: statistics}}}};
    `recognised` {system or "real": {contrast: statistics}}; `cost` {system: ...}; `leaks` {system: [judged case that it
    was trained on]}; `downstream` as `segmented.among`; `failures` {system: [reason]}."""
    quality = {name: _of(one["summary"], SYSTEM) for name, one in found.items()}
    summaries: list[dict[str, Any]] = [one["summary"] for one in found.values()]
    most: dict[str, Any] = max(summaries, key=_judged, default={})
    quality |= {control: own for control in CONTROLS if (own := _of(most, control))}
    return {
        **facts,
        "interval": most.get("interval", ""),
        "measures": {n: {"unit": m.unit, "higher_is_better": m.higher_is_better} for n, m in METRICS.items()},
        "quality": quality,
        "recognised": {
            name: {c: config.to_dict(over_patients(v)) for c, v in by_contrast.items()}
            for name, by_contrast in shares.items()
        },
        "downstream": segmented.among({name: one["summary"] for name, one in found.items()}),
        "cost": {
            name: {key: one[key] for key in ("recipe", "runs", "sample")} | one["cost"] for name, one in found.items()
        },
        "leaks": {name: one["leaks"] for name, one in found.items() if one["leaks"]},
        "failures": {name: list(reasons) for name, reasons in failures.items() if reasons},
    }


def _of(summary: Mapping[str, Any], system: str) -> dict[str, Any]:
    """{contrast: {region: {column: statistics}}} of one system or control under the protocol `polycontrast`."""
    results = summary.get("results", {}).get(POLYCONTRAST.name, {})
    return {contrast: by_system[system] for contrast, by_system in results.items() if system in by_system}


def write(out: Path, result: Mapping[str, Any]) -> None:
    """`compare.csv`, `compare.json` and `compare.md`."""
    write_json(out / "compare.json", dict(result))
    with atomic_write(out / "compare.md") as part:
        part.write_text(markdown(result), encoding="utf-8")
    with atomic_write(out / "compare.csv") as part, part.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        spread = [f"{column}{end}" for column in (*METRICS, "recognised") for end in ("", "_low", "_high")]
        table.writerow(("system", "contrast", "region", "n", *spread))
        table.writerows(_lines(result))


def _lines(result: Mapping[str, Any]) -> list[list[Any]]:
    """The share that the classifier names rightly is of whole slices: it stands in the rows of the brain. Its ceiling
    is in rows of its own, of the real images."""
    lines = []
    for name, by_contrast in result["quality"].items():
        for contrast, by_region in by_contrast.items():
            for region in POLYCONTRAST.regions:
                stats = [by_region[region][column] for column in METRICS]
                named = result["recognised"].get(name, {}).get(contrast) if region == MAIN[0] else None
                spread = [x for s in (*stats, named) for x in _spread(s)]
                lines.append([name, contrast, region, stats[0]["n"], *spread])
    nothing = [""] * len(METRICS) * 3
    for contrast, named in result["recognised"][REAL].items():
        lines.append([REAL, contrast, MAIN[0], named["n"], *nothing, *_spread(named)])
    return lines


def _spread(stats: Mapping[str, Any] | None) -> list[Any]:
    if stats is None or stats["mean"] is None:
        return ["", "", ""]
    return [x if isinstance(x, str) else f"{x:.6g}" for x in (stats["mean"], *(stats["interval"] or ("", "")))]


def markdown(result: Mapping[str, Any]) -> str:
    """The comparison for people."""
    have, want = ", ".join(result["have"]), ", ".join(result["want"])
    quality = "".join(_quality(result, contrast, region) for contrast in result["want"] for region in MAIN)
    tests = significance.markdown(result["significance"], result["want"]) + segmented.markdown(result["downstream"])
    failed = "".join(f"* {name}: {reason}\n" for name, reasons in result["failures"].items() for reason in reasons)
    return (
        f"# {want} from {have}: {result['cases']} cases, role {result['role']}\n\n"
        f"Mean [interval]. Interval: {result['interval']}. The best system of each column is bold; copy, mean image "
        f"and constant are controls that nobody had to train.\n\n{quality}{tests}"
        f"## Which contrast it shows\n\n{_recognised(result)}\n## Cost\n\n{_cost(result)}\n"
        f"## How it was done\n\n" + "".join(f"* {text}\n" for text in _notes(result))
        + (f"\n## What failed\n\n{failed}" if failed else "")
    )  # fmt: skip


def _quality(result: Mapping[str, Any], contrast: str, region: str) -> str:
    rows = {name: by[contrast][region] for name, by in result["quality"].items() if contrast in by}
    shown = [m for m in SHOWN if any(stats[m]["n"] for stats in rows.values())]
    best = {m: _best({n: rows[n][m] for n in result["cost"] if n in rows}, result["measures"][m]) for m in shown}
    lines = []
    for name, stats in rows.items():
        n = max((stats[m]["n"] for m in shown), default=0)
        cells = [of_others(_cell(stats[m], digits(m), bold=name == best[m]), stats[m], n) for m in shown]
        lines.append([name, str(n), *cells])
    return f"## {contrast}, {region}\n\n" + table(["system", "n", *map(heading, shown)], lines) + "\n"


def _best(stats: Mapping[str, Mapping[str, Any]], measure: Mapping[str, Any]) -> str:
    """Of the systems that were judged on the most patients: fewer may be the easier ones."""
    most = max((s["n"] for s in stats.values()), default=0)
    known = {name: float(s["mean"]) for name, s in stats.items() if s["mean"] is not None and s["n"] == most}
    choose = max if measure["higher_is_better"] else min
    return choose(known, key=lambda name: known[name]) if known else ""


def _recognised(result: Mapping[str, Any]) -> str:
    told = result["classifier"]
    rows = result["recognised"]
    lines = [
        [f"{name} images" if name == REAL else name, *(_cell(rows[name][c], 0, scale=100.0) for c in result["want"])]
        for name in (REAL, *(n for n in rows if n != REAL))
    ]
    return (
        f"Share of axial slices, in per cent, that a classifier of {', '.join(told['contrasts'])} names as the wanted "
        f"contrast (StarGAN's measure). It was trained on real slices of {told['cases']} cases, role {told['role']}; "
        "its share on the real images of the judged cases is the ceiling.\n\n" + table(["", *result["want"]], lines)
    )


def _cost(result: Mapping[str, Any]) -> str:
    heads = [
        "system", "recipe", "runs", "images seen", "images/s", "s per volume", "parameters, M", "of all players, M",
        "training, GB", "synthesis, GB",
    ]  # fmt: skip
    lines = [
        [
            name, c["recipe"], str(c["runs"]), _number(c["images"], 0), _number(c["images_per_second"], 2),
            _number(c["seconds_per_volume"], 2), _number(c["parameters"] / 1e6, 2),
            _number(c["parameters_of_all_players"] / 1e6, 2), _memory(c, "training"), _memory(c, "synthesis"),
        ]
        for name, c in result["cost"].items()
    ]  # fmt: skip
    return table(heads, lines)


def _notes(result: Mapping[str, Any]) -> list[str]:
    """The budget, the machine, the versions: what the figures depend on."""
    samples: dict[str, list[str]] = {}
    for name, cost in result["cost"].items():
        samples.setdefault(cost["sample"], []).append(name)
    given = result["given_runs"]
    budget = (
        f"{result['images']} images of training for each system that was trained here; a set of runs, one for each "
        "wanted contrast, shares them equally. What comes on top (TC-MGAN's segmenter alone) is among the images seen."
    )
    elsewhere = f"Trained elsewhere, with a budget of their own: {', '.join(given)}."
    parts = [*([budget] if result["images"] is not None else []), *([elsewhere] if given else [])]
    leaks = [
        f"**{name} was trained on judged cases**, of which its figures say nothing: {', '.join(cases)}."
        for name, cases in result["leaks"].items()
    ]
    return [
        *leaks,
        *([_folds(folds)] if (folds := result.get("folds")) else []),
        f"**Budget**: {' '.join(parts)}",
        "**An image** is " + "; ".join(f"{kind} ({', '.join(names)})" for kind, names in samples.items()) + ".",
        "**Time**: images/s of training as its log has it, with previews and checkpoints; seconds per volume over the "
        "judged cases, with reading, writing and the picture of each case.",
        "**Memory**: the most that was resident of a process of its own, libraries included"
        + ("; in brackets, of the device." if "cuda" in result["device"] else "."),
        f"**Machine**: {result['machine']}; polycontrast {result['polycontrast']}.",
        "**Paired differences** of each system to the controls, case by case: `<system>/evaluation/summary.md`, with "
        "the protocol.",
    ]


def _folds(judged: Sequence[int]) -> str:
    """How a comparison by folds was made. judged: how many cases each of them judged."""
    return (
        f"**Folds**: {len(judged)}, of {', '.join(map(str, judged))} judged cases (`folds/`). Each case was judged "
        "once, by systems, a classifier and controls that were made of the other folds. Budgets are those of one fold, "
        "speeds the mean of all, peaks of memory the largest. All statistics are over cases, none over folds; tests "
        "take the cases for independent, although the systems of two folds share training cases."
    )


def _cell(stats: Mapping[str, Any], digits: int, *, bold: bool = False, scale: float = 1.0) -> str:
    if stats["mean"] is None:
        return "–"
    mean = _number(stats["mean"], digits, scale)
    ends = stats["interval"]
    interval = f" [{_number(ends[0], digits, scale)}, {_number(ends[1], digits, scale)}]" if ends else ""
    return f"**{mean}**{interval}" if bold else f"{mean}{interval}"


def _number(value: float | str | None, digits: int, scale: float = 1.0) -> str:
    return "–" if value is None else value if isinstance(value, str) else f"{value * scale:.{digits}f}"


def _memory(cost: Mapping[str, Any], stage: str) -> str:
    own = cost[f"{stage}_device_memory_gb"]
    return _number(cost[f"{stage}_memory_gb"], 2) + (f" ({own:.2f})" if own is not None else "")


def _judged(summary: Mapping[str, Any]) -> int:
    """Of how many volumes a summary tells."""
    return sum(by_region["brain"]["psnr"]["n"] for by_region in _of(summary, SYSTEM).values())


def draw(
    path: Path, cases: Sequence[Case], synthetic: Mapping[str, Path], given: str, want: Sequence[str]
) -> Path | None:
    """One axial slice through the lesion of the first case that has one: a row for the real images and one for each
    system; columns: the given contrast and the wanted ones. None if no system has made all volumes of a case."""
    whole = [case for case in cases if synthetic and all(
        volume_file(folder / case.id, case.id, c).exists() for folder in synthetic.values() for c in want
    ) and {given, *want} <= set(case.contrasts)]  # fmt: skip
    if not whole:
        return None
    case = next((case for case in whole if case.segmentation is not None), whole[0])
    real = reference.load(case, given)
    z = pictures.center(real.focus)[2]
    source = real.images[given][:, :, z]
    rows = [[source, *(real.images[c][:, :, z] for c in want)]]
    for folder in synthetic.values():
        made = [reference.read_prediction(volume_file(folder / case.id, case.id, c), real) for c in want]
        rows.append([source, *(image[:, :, z] for image in made)])
    labels = [f"{given} (given)", *want]
    pictures.preview(
        path, np.array(rows), ["real", *synthetic], labels, f"{case.id}: {', '.join(want)} from {given}",
        synthetic=want, real_rows=("real",),
    )  # fmt: skip
    return path

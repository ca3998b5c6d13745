"""An evaluation as files: a row per case, a summary for programs, a summary for people."""

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from polycontrast import __version__
from polycontrast.io.files import atomic_write
from polycontrast.metrics.controls import CONTROLS
from polycontrast.metrics.measures import METRICS
from polycontrast.metrics.protocol import COLUMNS, DESCRIPTION, REGIONS, Values
from polycontrast.metrics.statistics import LEVEL, RESAMPLES, paired_difference, summarise

SUMMARY = "summary.json"
SYSTEM = "synthetic"  # the row of what is judged, beside those of the controls
SEED = 0


@dataclass(frozen=True)
class Row:
    """One prediction in one region. values: column -> value, None where undefined (an empty region)."""

    case: str
    contrast: str
    system: str
    region: str
    values: Values


@dataclass(frozen=True)
class Failure:
    """What could not be judged, and why."""

    case: str
    contrast: str
    reason: str


def summarise_rows(rows: Sequence[Row], failures: Sequence[Failure], facts: Mapping[str, Any]) -> dict[str, Any]:
    """The protocol, the facts of this evaluation, and per contrast, system and region each column's statistics.

    `differences` holds the system minus each control, case by case.
    """
    series = _series(rows)
    results: dict[str, Any] = {}
    differences: dict[str, Any] = {}
    for (contrast, system, region), columns in series.items():
        stats = {name: _plain(asdict(summarise(values, SEED))) for name, values in columns.items()}
        results.setdefault(contrast, {}).setdefault(system, {})[region] = stats
        if system != SYSTEM:
            own = series[contrast, SYSTEM, region]
            stats = {n: _plain(asdict(paired_difference(own[n], columns[n], SEED))) for n in COLUMNS}
            differences.setdefault(contrast, {}).setdefault(system, {})[region] = stats
    return {
        **DESCRIPTION, "version": __version__, **facts,
        "units": {name: metric.unit for name, metric in METRICS.items()},
        "interval": f"{LEVEL:.0%} percentile bootstrap of the mean over cases, {RESAMPLES} resamples, seed {SEED}",
        "results": results, "differences": differences, "failures": [asdict(f) for f in failures],
    }  # fmt: skip


def write(out: Path, rows: Sequence[Row], failures: Sequence[Failure], summary: Mapping[str, Any]) -> None:
    """`cases.csv`, `summary.md` and, if anything failed, `failures.csv`. `SUMMARY`, which tells that an evaluation is
    whole, is removed: the caller writes it when all else is there."""
    head = ("case", "contrast", "system", "region", *COLUMNS, "flag")
    judged = [(r.case, r.contrast, r.system, r.region, *(_cell(r.values[c]) for c in COLUMNS), "") for r in rows]
    flagged = [(f.case, f.contrast, SYSTEM, "", *([""] * len(COLUMNS)), f.reason) for f in failures]
    _write_csv(out / "cases.csv", head, [*judged, *flagged])
    for old in (SUMMARY, "failures.csv"):  # of an earlier evaluation
        (out / old).unlink(missing_ok=True)
    if failures:
        _write_csv(
            out / "failures.csv", ("case", "contrast", "reason"), [(f.case, f.contrast, f.reason) for f in failures]
        )
    with atomic_write(out / "summary.md") as part:
        part.write_text(markdown(summary), encoding="utf-8")


def markdown(summary: Mapping[str, Any]) -> str:
    """The summary for people: brain and tumour, the paired differences, and the gentler readings of other papers."""
    names = [f"{n.upper()} {m.unit}".strip() + (" ↑" if m.higher_is_better else " ↓") for n, m in METRICS.items()]
    head = f"| contrast | region | system | n | {' | '.join(names)} |\n|---|---|---|--:|{'--:|' * len(names)}\n"
    results, strict = summary["results"], ("brain", "tumour")
    table = _lines(results, strict, [SYSTEM, *CONTROLS], "{mean} ± {sd} {interval}")
    gains = _lines(summary["differences"], strict, list(CONTROLS), "{mean} {interval}", label="minus {}")
    gentle = _lines(results, ("volume",), [SYSTEM], "{mean} ± {sd}")
    scaled = _lines(results, REGIONS, [SYSTEM], "{mean} ± {sd}", suffix="_scaled", label="{}, self-scaled")
    failed = "".join(f"* {f['case']}, {f['contrast']}: {f['reason']}\n" for f in summary["failures"])
    return (
        f"# From {', '.join(summary['have'])}: {summary['cases']} cases, role: {summary['role']}\n\n"
        f"Mean ± SD [interval]. Interval: {summary['interval']}.\n\n{head}{table}\n"
        f"## The system minus each control, case by case\n\n{head}{gains}\n"
        "## As other papers measure\n\n"
        "For comparison only: zero background and scaling each image by itself flatter.\n\n"
        f"{head}{gentle}{scaled}\n"
        "## How it was measured\n\n"
        + "".join(f"* **{key.replace('_', ' ')}**: {text}.\n" for key, text in DESCRIPTION.items())
        + f"* **mean image**: {summary['mean_image']['cases']} cases averaged; {summary['mean_image']['note']}.\n"
        + (f"\n## Not judged\n\n{failed}" if failed else "")
    )


def _lines(
    results: Mapping[str, Any],
    regions: Sequence[str],
    systems: Sequence[str],
    cell: str,
    *,
    suffix: str = "",
    label: str = "{}",
) -> str:
    """Table lines. suffix: "" or "_scaled", which columns; label: how the system is called."""
    lines = []
    for contrast, by_system in results.items():
        for region in regions:
            for system in [s for s in systems if s in by_system]:
                stats = by_system[system][region]
                cells = [_text(stats[name + suffix], cell, 2 if m.unit else 4) for name, m in METRICS.items()]
                count = stats[next(iter(METRICS))]["n"]
                lines.append(f"| {contrast} | {region} | {label.format(system)} | {count} | {' | '.join(cells)} |\n")
    return "".join(lines)


def _text(stats: Mapping[str, Any], cell: str, digits: int) -> str:
    if stats["mean"] is None:
        return "no value"
    interval = "[{}, {}]".format(*(_number(v, digits) for v in stats["interval"])) if stats["interval"] else ""
    return cell.format(mean=_number(stats["mean"], digits), sd=_number(stats["sd"], digits), interval=interval).strip()


def _number(value: float | str | None, digits: int) -> str:
    return "–" if value is None else value if isinstance(value, str) else f"{value:.{digits}f}"


def _series(rows: Sequence[Row]) -> dict[tuple[str, str, str], dict[str, list[float | None]]]:
    """Values per (contrast, system, region) and column, in the order of the system's cases, None where missing."""
    cases = {c: [r.case for r in rows if r.contrast == c and r.system == SYSTEM and r.region == REGIONS[0]]
             for c in dict.fromkeys(r.contrast for r in rows)}  # fmt: skip
    found = {(r.contrast, r.system, r.region, r.case): r.values for r in rows}
    keys = dict.fromkeys((r.contrast, r.system, r.region) for r in rows)
    nothing: Values = dict.fromkeys(COLUMNS)
    return {key: {c: [found.get((*key, case), nothing)[c] for case in cases[key[0]]] for c in COLUMNS} for key in keys}


def _plain(stats: dict[str, Any]) -> dict[str, Any]:
    """JSON knows no infinity: it becomes the text "inf"."""
    return {k: "inf" if isinstance(v, float) and math.isinf(v) else v for k, v in stats.items()}


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"


def _write_csv(path: Path, head: Sequence[str], lines: Sequence[Sequence[str]]) -> None:
    with atomic_write(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(head)
        writer.writerows(lines)

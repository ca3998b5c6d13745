"""An evaluation as files: a row per case, a summary for programs, a summary for people."""

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from polycontrast import __version__
from polycontrast.contrasts import SPELLINGS, slug
from polycontrast.errors import UserError
from polycontrast.io.files import atomic_write
from polycontrast.metrics.controls import CONTROLS
from polycontrast.metrics.measures import METRICS
from polycontrast.metrics.protocols import POLYCONTRAST, PROTOCOLS, Protocol, Values
from polycontrast.metrics.statistics import (
    LEVEL,
    RESAMPLES,
    by_visit,
    compare_systems,
    over_patients,
    paired_difference,
)

SUMMARY, CASES, FAILURES = "summary.json", "cases.csv", "failures.csv"
PICTURES = ("worst", "median", "best", "violins", "bland_altman", "spectrum", "joint_histogram")  # one per contrast
NIQE_MODELS = "niqe_mr.json"
OTHERS = ("report.html", NIQE_MODELS, "downstream.csv", "bland_altman.csv", "spectrum.csv", "joint_histogram.csv")
SYSTEM = "synthetic"  # the row of what is judged, beside those of the controls
SEED = 0
HEADLINE = ("psnr", "ssim", "nmae", "vif")  # these first, in every table
MAIN = ("brain", "tumour")  # the regions of the headline
NAMES = {  # of columns that are not called as they are spelled, in capitals
    "ssim_2d": "2-D SSIM", "niqe_mr": "NIQE (MR)", "gradient": "gradient error", "blur": "blur",
    "ssim_official": "SSIM (official)", "ssim_in_mask": "SSIM (in mask)",
}  # fmt: skip
KEYS = ("case", "contrast", "system", "protocol", "region")


@dataclass(frozen=True)
class Row:
    """One prediction under one protocol in one region. values: column -> value, None where undefined (an empty
    region)."""

    case: str
    contrast: str
    system: str
    protocol: str
    region: str
    values: Values


@dataclass(frozen=True)
class Failure:
    """What could not be judged, and why."""

    case: str
    contrast: str
    reason: str


def summarise_rows(rows: Sequence[Row], failures: Sequence[Failure], facts: Mapping[str, Any]) -> dict[str, Any]:
    """What summary.json holds: the protocols, the facts of this evaluation, and statistics over patients.

    `results` {protocol: {contrast: {system: {region: {column: statistics}}}}}; `differences`, the same layout under the
    protocol `polycontrast`, holds the system minus each control, patient by patient; `significance` {contrast: {region:
    {measure: {control: ...}}}} tests these differences: one contrast, region and measure is one family.
    """
    series = _series(rows)
    results: dict[str, Any] = {}
    differences: dict[str, Any] = {}
    for (protocol, contrast, system, region), columns in series.items():
        place = results.setdefault(protocol, {}).setdefault(contrast, {}).setdefault(system, {})
        place[region] = {name: plain(asdict(over_patients(values, SEED))) for name, values in columns.items()}
        if protocol == POLYCONTRAST.name and system != SYSTEM:
            own = series[protocol, contrast, SYSTEM, region]
            stats = {n: plain(asdict(paired_difference(*by_visit(own[n], columns[n]), SEED))) for n in columns}
            differences.setdefault(contrast, {}).setdefault(system, {})[region] = stats
    return {
        "version": __version__,
        "protocols": {name: dict(PROTOCOLS[name].description) for name in results},
        **facts,
        "units": {name: metric.unit for name, metric in METRICS.items()},
        "interval": f"{LEVEL:.0%} percentile bootstrap of the mean over patients, {RESAMPLES} resamples, seed {SEED}",
        "results": results, "differences": differences, "significance": _significance(series),
        "failures": [asdict(f) for f in failures],
    }  # fmt: skip


def clear(out: Path) -> None:
    """Remove what an earlier evaluation left in `out` and a new one may not write again, the summary first: while it is
    there, an evaluation is whole. Files of other names stay."""
    pictures = (f"{name}_{slug(contrast)}.png" for contrast in SPELLINGS for name in PICTURES)
    try:
        for file in (out / name for name in (SUMMARY, FAILURES, *OTHERS, *pictures)):
            if file.exists():
                file.unlink()
    except OSError as error:
        found = f"a file of an earlier evaluation cannot be removed: {error.strerror}"
        raise UserError(found, hint="choose another output folder", path=error.filename) from error


def write(
    out: Path, rows: Sequence[Row], failures: Sequence[Failure], summary: Mapping[str, Any], more: str = ""
) -> None:
    """`cases.csv`, `summary.md` and, if anything failed, `failures.csv`. more: sections for summary.md."""
    columns = tuple(dict.fromkeys(name for row in rows for name in row.values))
    judged = [(*(getattr(r, key) for key in KEYS), *(_cell(r.values.get(c)) for c in columns), "") for r in rows]
    flagged = [(f.case, f.contrast, SYSTEM, "", "", *([""] * len(columns)), f.reason) for f in failures]
    write_csv(out / CASES, (*KEYS, *columns, "flag"), [*judged, *flagged])
    if failures:
        write_csv(out / FAILURES, ("case", "contrast", "reason"), [(f.case, f.contrast, f.reason) for f in failures])
    with atomic_write(out / "summary.md") as part:
        part.write_text(markdown(summary, more), encoding="utf-8")


def read(out: Path) -> list[Row]:
    """The rows of `cases.csv`, those that were judged; a UserError if it is not an evaluation's."""
    file = out / CASES
    try:
        lines = list(csv.DictReader(file.open(newline="", encoding="utf-8")))
        return [_row(line) for line in lines if not line["flag"]]
    except (OSError, KeyError, ValueError) as error:
        raise UserError(
            f"not the table of an evaluation: {error!r}", hint="run `polycontrast eval`", path=file
        ) from None


def _row(line: Mapping[str, str]) -> Row:
    columns = PROTOCOLS[line["protocol"]].columns
    values: Values = {name: float(line[name]) if line[name] else None for name in columns}
    return Row(line["case"], line["contrast"], line["system"], line["protocol"], line["region"], values)


def markdown(summary: Mapping[str, Any], more: str = "") -> str:
    """The summary for people. more: sections to stand behind the headline's."""
    results, main = summary["results"], POLYCONTRAST.name
    systems = [SYSTEM, *CONTROLS]
    table = _table(results[main], MAIN, systems, HEADLINE, "{mean} ± {sd} {interval}") if main in results else ""
    gains = _table(summary["differences"], MAIN, CONTROLS, HEADLINE, "{mean} {interval}", label="minus {}")
    others = "".join(
        f"### {name}\n\n{_of_protocol(by_contrast, PROTOCOLS[name], systems)}\n"
        for name, by_contrast in results.items() if name != main
    )  # fmt: skip
    failed = "".join(f"* {f['case']}, {f['contrast']}: {f['reason']}\n" for f in summary["failures"])
    given = "all other contrasts" if summary["dropped"] else ", ".join(summary["have"])
    return (
        f"# From {given}: {summary['cases']} cases, role: {summary['role']}\n\n"
        f"Mean ± SD [interval] over patients. Interval: {summary['interval']}.\n\n{table}\n"
        f"## The system minus each control, case by case\n\n{gains}\n"
        + more
        + (f"## As others would have printed it\n\nFor comparison only.\n\n{others}" if others else "")
        + "## Every measure and region\n\n"
        + (_table(results[main], POLYCONTRAST.regions, systems, tuple(METRICS), "{mean}") if main in results else "")
        + "\n## How it was measured\n\n"
        + "".join(_described(name, told) for name, told in summary["protocols"].items())
        + f"* **mean image**: {summary['mean_image']['cases']} cases averaged; {summary['mean_image']['note']}.\n"
        + (f"\n## Not judged\n\n{failed}" if failed else "")
    )


def heading(name: str) -> str:
    """How a measure is called at the head of a column, with its unit and which way is better."""
    metric = METRICS.get(name) or METRICS.get(name.partition("_")[0])  # "ssim_official" is better as "ssim" is
    words = [NAMES.get(name, name.upper().replace("_", "-"))]
    if metric is not None:
        words += [metric.unit, "↑" if metric.higher_is_better else "↓"]
    return " ".join(filter(None, words))


def digits(measure: str) -> int:
    """Decimals worth printing."""
    return 2 if measure in ("psnr", "niqe", "niqe_mr") else 4


def _of_protocol(by_contrast: Mapping[str, Any], protocol: Protocol, systems: Sequence[str]) -> str:
    return _table(by_contrast, protocol.regions, systems, protocol.columns, "{mean} ± {sd}")


def _described(name: str, told: Mapping[str, str]) -> str:
    return "".join(f"* **{name}, {key.replace('_', ' ')}**: {text}.\n" for key, text in told.items())


def _table(
    results: Mapping[str, Any],
    regions: Sequence[str],
    systems: Sequence[str],
    columns: Sequence[str],
    cell: str,
    *,
    label: str = "{}",
) -> str:
    """A Markdown table. label: how a system is called."""
    lines = [
        f"| contrast | region | system | n | {' | '.join(map(heading, columns))} |\n",
        f"|---|---|---|--:|{'--:|' * len(columns)}\n",
    ]
    for contrast, by_system in results.items():
        for region in regions:
            for system in [s for s in systems if s in by_system]:
                stats = by_system[system][region]
                count = max(stats[name]["n"] for name in columns)
                cells = [of_others(_text(stats[name], cell, digits(name)), stats[name], count) for name in columns]
                lines.append(f"| {contrast} | {region} | {label.format(system)} | {count} | {' | '.join(cells)} |\n")
    return "".join(lines)


def of_others(text: str, stats: Mapping[str, Any], count: int) -> str:
    """A cell that says its own number of patients where the row's is another."""
    return text if stats["n"] in (0, count) else f"{text} (n {stats['n']})"


def _text(stats: Mapping[str, Any], cell: str, decimals: int) -> str:
    if stats["mean"] is None:
        return "no value"
    interval = "[{}, {}]".format(*(_number(v, decimals) for v in stats["interval"])) if stats["interval"] else ""
    mean, sd = _number(stats["mean"], decimals), _number(stats["sd"], decimals)
    return cell.format(mean=mean, sd=sd, interval=interval).strip()


def _number(value: float | str | None, decimals: int) -> str:
    return "–" if value is None else value if isinstance(value, str) else f"{value:.{decimals}f}"


Series = dict[tuple[str, str, str, str], dict[str, dict[str, float | None]]]


def _series(rows: Sequence[Row]) -> Series:
    """{case: value} per (protocol, contrast, system, region) and column, in the order of the system's cases; None where
    missing."""
    cases: dict[str, dict[str, None]] = {}
    for row in rows:
        if row.system == SYSTEM:
            cases.setdefault(row.contrast, {})[row.case] = None
    found = {(r.protocol, r.contrast, r.system, r.region, r.case): r.values for r in rows}
    series: Series = {}
    for protocol, contrast, system, region in dict.fromkeys((r.protocol, r.contrast, r.system, r.region) for r in rows):
        place = protocol, contrast, system, region
        lines = {case: found.get((*place, case), {}) for case in cases.get(contrast, {})}
        series[place] = {
            column: {case: line.get(column) for case, line in lines.items()} for column in PROTOCOLS[protocol].columns
        }
    return series


def _significance(series: Series) -> dict[str, Any]:
    """The system minus each control, tested; of the headline's measures and regions."""
    found: dict[str, Any] = {}
    for (protocol, contrast, system, region), columns in series.items():
        if protocol != POLYCONTRAST.name or system != SYSTEM or region not in MAIN:
            continue
        for name in HEADLINE:
            values = {s: series[place][name] for s in CONTROLS if (place := (protocol, contrast, s, region)) in series}
            tested = {
                control: plain(asdict(one.turned()))
                for control, one in compare_systems(values | {SYSTEM: columns[name]}, SYSTEM, SEED).items()
            }
            found.setdefault(contrast, {}).setdefault(region, {})[name] = tested
    return found


def plain(stats: dict[str, Any]) -> dict[str, Any]:
    """JSON knows no infinity: it becomes the text "inf"."""
    return {
        k: plain(v) if isinstance(v, dict) else "inf" if isinstance(v, float) and math.isinf(v) else v
        for k, v in stats.items()
    }


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"


def write_csv(path: Path, head: Sequence[str], lines: Sequence[Sequence[str]]) -> None:
    """A CSV file, whole or not at all."""
    with atomic_write(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(head)
        writer.writerows(lines)

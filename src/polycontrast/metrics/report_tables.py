"""What the tables of a report say: statistics as lines of text.

Results are the nested dictionaries of summary.json, {protocol: {contrast: {system: {region: {column: statistics}}}}}.
"""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from polycontrast.metrics.controls import CONTROLS
from polycontrast.metrics.measures import METRICS
from polycontrast.metrics.protocols import POLYCONTRAST
from polycontrast.metrics.tables import HEADLINE, MAIN, SYSTEM, Failure, Row, digits, heading

if TYPE_CHECKING:
    from polycontrast.metrics.downstream import Outcome

PER_CASE = ("psnr", "ssim", "nmae")  # the columns of the per-case table and the panels of the violins
SYSTEMS = (SYSTEM, *CONTROLS)
SEGMENTED = {  # measures of metrics/downstream.py, which is not imported for its torch: heading and decimals
    "dice": ("Dice ↑", 3),
    "hd95": ("HD95 mm ↓", 1),
    "slice_dice": ("slice-wise Dice ↑", 3),
    "false_positive": ("false positive ml ↓", 1),
}
Nested = Mapping[str, Any]


class Cell(NamedTuple):
    """A statistic as text. notes: small, below the mean. best: of its kind, by more than the intervals leave open."""

    mean: str
    notes: tuple[str, ...] = ()
    best: bool = False


class Line(NamedTuple):
    """A row of a table: its labels, then its cells. own: of the judged system, not of a control."""

    labels: tuple[str, ...]
    cells: tuple[Cell, ...]
    own: bool = False


def context(
    summary: Nested, rows: Sequence[Row], failures: Sequence[Failure], outcomes: "Sequence[Outcome]"
) -> dict[str, Any]:
    """What the template is filled with, but for pictures and versions."""
    return {
        "summary": summary,
        "failures": failures,
        "cards": _cards(summary),
        "headline": _headline(summary),
        "everything": _everything(summary),
        "others": _others(summary),
        "tests": _tests(summary),
        "cases": _cases(summary, rows, failures),
        "downstream": _downstream(summary, outcomes),
        "measures": {"headline": HEADLINE, "case": PER_CASE, "segmented": [label for label, _ in SEGMENTED.values()]},
        "regions": MAIN,
        "systems": SYSTEMS,
        "controls": [f"minus {name}" for name in CONTROLS],
    }


def _cards(summary: Nested) -> list[dict[str, Any]]:
    """Per contrast: the system's headline in the brain and the best control's, in PSNR."""
    cards = []
    for contrast, by_system in _main(summary).items():
        cells = {s: _cell(by_system[s]["brain"]["psnr"], digits("psnr")) for s in SYSTEMS if s in by_system}
        means = {s: _value(by_system[s]["brain"]["psnr"]) for s in CONTROLS if s in by_system}
        known = {s: mean for s, mean in means.items() if mean is not None}
        best = max(known, key=lambda s: known[s], default=None)
        ssim = _cell(by_system[SYSTEM]["brain"]["ssim"], digits("ssim"))
        rival = None if best is None else (best, cells[best].mean)
        cards.append({"contrast": contrast, "psnr": cells[SYSTEM], "ssim": ssim, "rival": rival})
    return cards


def _headline(summary: Nested) -> list[Line]:
    """A line per contrast, region and system; a cell per headline measure."""
    lines = []
    for contrast, by_system in _main(summary).items():
        for region in MAIN:
            compared = {name: _compared(by_system, region, name) for name in HEADLINE}
            for system in [s for s in SYSTEMS if s in by_system]:
                stats = by_system[system][region]
                n = max(stats[name]["n"] for name in HEADLINE)
                cells = tuple(_counted(cells[system], stats[name], n) for name, cells in compared.items())
                lines.append(Line((contrast, region, system, str(n)), cells, system == SYSTEM))
    return lines


def _everything(summary: Nested) -> dict[str, list[Line]]:
    """Per contrast: a line per region and measure that has a value; a cell per system."""
    tables: dict[str, list[Line]] = {}
    for contrast, by_system in _main(summary).items():
        lines = tables.setdefault(contrast, [])
        for region in POLYCONTRAST.regions:
            for name in by_system[SYSTEM][region]:
                cells = _compared(by_system, region, name, bold=False)
                if any(stats[region][name]["n"] for stats in by_system.values()):
                    lines.append(Line((region, heading(name)), tuple(cells.get(s, Cell("")) for s in SYSTEMS)))
    return tables


def _others(summary: Nested) -> dict[str, Any] | None:
    """The system's numbers as each protocol has them, side by side: columns are (protocol, region), a line per contrast
    and measure that other protocols than ours know. None if there is no other."""
    results, ours = summary["results"], POLYCONTRAST.name
    foreign = [by_system[SYSTEM] for name, by in results.items() if name != ours for by_system in by.values()]
    known = dict.fromkeys(name for by_region in foreign for values in by_region.values() for name in values)
    names = [*(name for name in METRICS if name in known), *(name for name in known if name not in METRICS)]
    if not names:
        return None
    columns = dict.fromkeys(
        (protocol, region) for protocol, by_contrast in results.items() for by_system in by_contrast.values()
        for region in by_system[SYSTEM] if protocol != ours or region in MAIN
    )  # fmt: skip
    lines = []
    for contrast in summary["want"]:
        for name in names:
            found = [results[p].get(contrast, {}).get(SYSTEM, {}).get(r, {}).get(name) for p, r in columns]
            cells = tuple(Cell("") if stats is None else _cell(stats, digits(name), spread=True) for stats in found)
            lines.append(Line((contrast, heading(name)), cells))
    protocols = {p: [region for name, region in columns if name == p] for p, _ in columns}
    return {"protocols": protocols, "lines": lines}


def _tests(summary: Nested) -> list[Line]:
    """A line per contrast, region and measure, a cell per control: the system minus it, and the test of that."""
    lines = []
    for contrast, by_region in summary.get("significance", {}).items():
        for region, by_measure in by_region.items():
            for name, by_control in by_measure.items():
                stats = {s: summary["differences"][contrast][s][region][name] for s in by_control}
                if n := max((one["n"] for one in stats.values()), default=0):
                    cells = tuple(_tested(stats.get(s), by_control.get(s), digits(name), n) for s in CONTROLS)
                    lines.append(Line((contrast, region, heading(name), str(n)), cells))
    return lines


def _tested(stats: Nested | None, test: Nested | None, decimals: int, count: int) -> Cell:
    """The difference with its interval; below it p, p after Holm, and the effect."""
    if stats is None or test is None:
        return Cell("")
    cell = _counted(_cell(stats, decimals, sign="+"), stats, count)
    if test["p"] is None:
        return cell
    told = f"p {_p(test['p'])}, Holm {_p(test['p_holm'])}, r {number(test['effect'], 2, '+')}"
    return cell._replace(notes=(*cell.notes, told))


def _cases(summary: Nested, rows: Sequence[Row], failures: Sequence[Failure]) -> dict[str, list[dict[str, Any]]]:
    """Per contrast: what could not be judged, then every case, the lowest PSNR in the brain first."""
    ours = [row for row in rows if row.protocol == POLYCONTRAST.name]
    values = {(r.contrast, r.case, r.system, r.region): r.values for r in ours}
    tables: dict[str, list[dict[str, Any]]] = {}
    for contrast in summary["want"]:
        failed = [{"case": f.case, "reason": f.reason} for f in failures if f.contrast == contrast]
        own = {case: v for (name, case, system, region), v in values.items()
               if (name, system, region) == (contrast, SYSTEM, "brain")}  # fmt: skip
        judged = []
        for case in sorted(own, key=lambda case: (own[case]["psnr"] or 0.0, case)):
            by_region = {region: values.get((contrast, case, SYSTEM, region), {}) for region in (*MAIN, "healthy")}
            cells = [number(by_region[region].get(name), digits(name)) for name in PER_CASE for region in MAIN]
            rivals = {s: values.get((contrast, case, s, "brain"), {}).get("psnr") for s in CONTROLS}
            judged.append({"case": case, "cells": cells, "flags": _flags(by_region, rivals)})
        tables[contrast] = [*failed, *judged]
    return tables


def _flags(by_region: Mapping[str, Mapping[str, float | None]], rivals: Mapping[str, float | None]) -> list[str]:
    own = by_region["brain"].get("psnr")
    beaten = [s for s, value in rivals.items() if own is not None and value is not None and value > own]
    flags = [f"below {', '.join(beaten)}"] if beaten else []
    if by_region["tumour"].get("psnr") is not None:
        return flags
    return [*flags, "no tumour" if by_region["healthy"].get("psnr") is not None else "no segmentation"]


def _downstream(summary: Nested, outcomes: "Sequence[Outcome]") -> dict[str, Any] | None:
    """The segmenter's verdict: a line per region and input, and the Dice of every case. None if there was none."""
    told = summary.get("downstream")
    if not told:
        return None
    results: Nested = told["results"]
    lines = []
    for region in dict.fromkeys(region for by_region in results.values() for region in by_region):
        for source in [s for s in results if region in results[s]]:
            found = results[source][region]
            n = found["dice"]["n"]
            cells = tuple(_counted(_cell(found[m], decimals), found[m], n) for m, (_, decimals) in SEGMENTED.items())
            lines.append(Line((region, source, str(n)), cells, source == SYSTEM))
    dice = {(o.case, o.region, o.input): o.values["dice"] for o in outcomes}
    cases = []
    for key in dict.fromkeys((o.case, o.region) for o in outcomes):
        texts = [number(dice.get((*key, source)), SEGMENTED["dice"][1]) for source in results]
        cases.append(Line(key, tuple(map(Cell, texts))))
    return {"lines": lines, "cases": cases, "inputs": list(results), "description": told["description"]}


def number(value: float | str | None, decimals: int, sign: str = "") -> str:
    """A value as text; infinity, which JSON lacks, is one already. A true minus, as wide as a plus."""
    if value is None or isinstance(value, str):
        return "–" if value is None else value
    return f"{value:{sign}.{decimals}f}".replace("-", "−")


def _compared(by_system: Nested, region: str, name: str, bold: bool = True) -> dict[str, Cell]:
    """A measure of every system; the best is marked if its interval overlaps no other's."""
    stats = {s: by_system[s][region][name] for s in SYSTEMS if s in by_system}
    best = _best(stats, METRICS[name].higher_is_better) if bold else None
    return {s: _cell(one, digits(name))._replace(best=s == best) for s, one in stats.items()}


def _best(stats: Mapping[str, Nested], higher: bool) -> str | None:
    spans = {s: sorted(x if higher else -x for x in one["interval"]) for s, one in stats.items() if one["interval"]}
    if len(spans) < 2 or len(spans) < sum(one["mean"] is not None for one in stats.values()):
        return None
    first = max(spans, key=lambda s: spans[s][1])
    return first if all(spans[first][0] > spans[s][1] for s in spans if s != first) else None


def _cell(stats: Nested, decimals: int, *, spread: bool = False, sign: str = "") -> Cell:
    """Mean and interval, or mean and SD (`spread`)."""
    if stats["mean"] is None:
        return Cell("no value")
    mean = number(stats["mean"], decimals, sign)
    if spread:
        return Cell(mean, () if stats["sd"] is None else (f"± {number(stats['sd'], decimals)}",))
    ends = [number(end, decimals, sign) for end in stats["interval"] or ()]
    return Cell(mean, (f"[{', '.join(ends)}]",) if ends else ("no interval",))


def _counted(cell: Cell, stats: Nested, count: int) -> Cell:
    """The cell, which says its own number of patients where its line's is another."""
    return cell if stats["n"] in (0, count) else cell._replace(notes=(*cell.notes, f"n {stats['n']}"))


def _p(value: float | None) -> str:
    return "–" if value is None else "< 0.001" if value < 0.001 else f"= {value:.3f}"


def _value(stats: Nested) -> float | None:
    mean = stats["mean"]
    return math.inf if mean == "inf" else mean


def _main(summary: Nested) -> dict[str, Any]:
    """{contrast: {system: {region: {column: statistics}}}} of our own protocol; empty if it was not asked for."""
    found: dict[str, Any] = summary["results"].get(POLYCONTRAST.name, {})
    return {contrast: found[contrast] for contrast in summary["want"] if contrast in found}

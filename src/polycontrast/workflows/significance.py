"""Systems against one of them, patient by patient: differences, Wilcoxon's p with Holm's correction, effect size.

Headline measures of the protocol `polycontrast`, in the brain and in the tumour. One contrast, region and measure is
one family of tests. A patient's visits are averaged; a judged patient counts as independent of the others.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from polycontrast import config
from polycontrast.metrics import tables
from polycontrast.metrics.protocols import POLYCONTRAST
from polycontrast.metrics.statistics import MIN_PAIRS, compare_systems, smallest_p
from polycontrast.metrics.tables import HEADLINE, MAIN, SYSTEM, Row, digits, heading
from polycontrast.workflows.markdown import table

EVALUATION = "evaluation"  # the folder of a system's own tables


def among(out: Path, names: Iterable[str], against: str) -> dict[str, Any]:
    """What `compared` finds of systems whose evaluations are in `<out>/<system>/evaluation`."""
    return compared({name: tables.read(out / name / EVALUATION) for name in names}, against)


def compared(rows_by_system: Mapping[str, Sequence[Row]], reference: str) -> dict[str, Any]:
    """{"against": reference, "failed": whether it is not among the systems, "tests": {contrast: {region: {measure:
    {system: statistics.Comparison as a dict}}}}}.

    A measure that no other system shares with the reference in a region is left out; so is all, if the reference has
    failed.
    """
    found = {name: _values(rows) for name, rows in rows_by_system.items()}
    places = dict.fromkeys(key[:3] for one in found.values() for key in one) if reference in found else {}
    cases = sorted({case for one in found.values() for *_, case in one})
    tests: dict[str, Any] = {}
    for contrast, region, measure in places:
        series = {
            name: {case: one.get((contrast, region, measure, case)) for case in cases} for name, one in found.items()
        }
        tested = compare_systems(series, reference)
        if any(one.difference.n for one in tested.values()):
            place = tests.setdefault(contrast, {}).setdefault(region, {})
            place[measure] = {name: config.to_dict(one) for name, one in tested.items()}
    return {"against": reference, "failed": reference not in found, "tests": tests}


def _values(rows: Sequence[Row]) -> dict[tuple[str, str, str, str], float | None]:
    """Of a system, by contrast, region, measure and case."""
    return {
        (row.contrast, row.region, measure, row.case): row.values[measure]
        for row in rows if row.system == SYSTEM and row.protocol == POLYCONTRAST.name and row.region in MAIN
        for measure in HEADLINE
    }  # fmt: skip


def markdown(found: Mapping[str, Any], want: Sequence[str]) -> str:
    """The section of a comparison; nothing if there was nothing to test. found: of `compared`; want: contrasts, in
    order."""
    against, tests = found["against"], found["tests"]
    if found["failed"]:
        return f"## Significance\n\nNo tests: the reference {against} failed.\n\n"
    if not tests:
        return ""
    sections = [
        f"### {contrast}, {region}\n\n{_table(by_measure, against)}\n"
        for contrast in want for region, by_measure in tests.get(contrast, {}).items()
    ]  # fmt: skip
    return (
        f"## Significance\n\nEach system minus {against}, patient by patient: mean difference [95 % interval]; p of "
        "the two-sided paired Wilcoxon test after Holm's correction over the systems of a column; r, the matched-pairs "
        "rank-biserial correlation: 1 where the system's value is greater in every patient, -1 where it is smaller. "
        f"{_limit(tests)}\n\n" + "".join(sections)
    )


def _table(by_measure: Mapping[str, Mapping[str, Any]], against: str) -> str:
    lines = []
    for name in dict.fromkeys(name for tested in by_measure.values() for name in tested):
        one = {measure: tested[name] for measure, tested in by_measure.items()}
        count = max(test["difference"]["n"] for test in one.values())
        lines.append([name, str(count), *(_cell(test, digits(measure)) for measure, test in one.items())])
    return table([f"minus {against}", "n", *map(heading, by_measure)], lines)


def _cell(test: Mapping[str, Any], decimals: int) -> str:
    mean, interval = test["difference"]["mean"], test["difference"]["interval"]
    if mean is None:
        return "–"
    ends = " [{:+.{d}f}, {:+.{d}f}]".format(*interval, d=decimals) if interval else ""
    return f"{mean:+.{decimals}f}{ends}, p {_p(test['p_holm'])}, r {test['effect']:+.2f}"


def _p(value: float | None) -> str:
    return "–" if value is None else "< 0.001" if value < 0.001 else f"{value:.2g}"


def _limit(tests: Mapping[str, Any]) -> str:
    """What the number of patients allows the test to say."""
    families = [one for by_region in tests.values() for by in by_region.values() for one in by.values()]
    n = max(test["difference"]["n"] for family in families for test in family.values())
    if n < MIN_PAIRS:
        return f"With {n} patients no p is told: that takes {MIN_PAIRS}."
    systems = max(sum(test["p"] is not None for test in family.values()) for family in families)
    corrected = f", and {min(1.0, systems * smallest_p(n)):.3g} after the correction for {systems} systems"
    return f"With {n} patients the smallest possible p is {smallest_p(n):.3g}{corrected if systems > 1 else ''}."

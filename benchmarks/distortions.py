"""What each measure sees: known distortions of real volumes (`distort.py`), judged by every measure.

A measure is said to see a distortion by how far it moves from its value for the truth itself, beside how far a blur of
1 mm moves it (`verdict`). Figures are means over cases and contrasts.
"""

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import fmean

from common import machine, table
from distort import DISTORTIONS, ERASED, IDENTITY, YARDSTICK
from polycontrast.contrasts import canonical_set
from polycontrast.data import phantom
from polycontrast.data.split import read_roles, with_role
from polycontrast.io.layout import Case, find_cases
from polycontrast.io.volume import Array
from polycontrast.metrics import controls
from polycontrast.metrics.measures import METRICS
from polycontrast.metrics.niqe import NiqeModel
from polycontrast.metrics.protocols import PROTOCOLS
from polycontrast.metrics.reference import Reference, load, reference
from polycontrast.metrics.tables import digits

HEADLINE = ("psnr", "ssim", "nmae")
QUICK_SHAPE, QUICK_SPACING = (96, 96, 64), 2.2
FIT_ROLE = "gan"  # NIQE's MR models are fitted on these cases, as many as are judged
BLIND = 0.1  # of what the blur of 1 mm moves
WORSE, SEEN, UNSEEN, BETTER = "●", "○", "·", "▲"
LEGEND = (
    f"{WORSE} sees it: moves at least as far as for a blur of 1 mm; {SEEN} sees it less: at least a tenth as far; "
    f"{UNSEEN} blind: less than that; {BETTER} calls it better than the truth; empty: no value. Distances are in the "
    "measure's unit, for PSNR in mean squared error.\n"
)
Column = tuple[str, str, str]  # protocol, region, measure
Values = dict[Column, float | None]
Found = tuple[str, str, Values]  # contrast, distortion
COLUMNS: dict[str, list[Column]] = {
    "the brain": [("polycontrast", "brain", name) for name in METRICS],
    "its parts": [("polycontrast", region, name) for region in ("tumour", "healthy") for name in HEADLINE],
    "as papers print it": [
        *(("polycontrast", "volume", name) for name in HEADLINE[:2]),
        *(("brasyn", region, name) for region in ("tumour", "healthy") for name in ("ssim_official", "ssim_in_mask")),
        *(("dai2020", "volume", name) for name in ("psnr", "ssim_2d", "nmae", "vif")),
        *(("slice-max", "slices", name) for name in ("psnr", "ssim_2d", "nmae")),
    ],
}


def judged(against: Reference, image: Array) -> Values:
    """Every value of every protocol."""
    return {
        (protocol.name, region, measure): value
        for protocol in PROTOCOLS.values()
        for region, values in protocol.judge(against, image).items()
        for measure, value in values.items()
    }


def verdict(measure: str, identity: float | None, yardstick: float | None, value: float | None) -> str:
    """How a measure takes a distortion, by its mean values for the truth, for a blur of 1 mm and for the distortion."""
    if identity is None or yardstick is None or value is None:
        return ""
    start, unit, moved = (_error(measure, v) for v in (identity, yardstick, value))
    share = (moved - start) / max(abs(unit - start), 1e-12)
    return WORSE if share >= 1 else SEEN if share >= BLIND else UNSEEN if share > -BLIND else BETTER


def measured(cases: Sequence[Case], contrasts: Sequence[str], models: Mapping[str, NiqeModel]) -> list[Found]:
    """Every distortion of every contrast of every case: contrast, distortion, values; two at a time."""
    found: list[Found] = []
    for case in cases:
        real = load(case)
        for contrast in [c for c in contrasts if c in real.images]:
            against = reference(real, contrast, models.get(contrast))

            def of(name: str, against: Reference = against) -> Found:
                return against.contrast, name, judged(against, DISTORTIONS[name](against))

            with ThreadPoolExecutor(2) as pool:
                found += pool.map(of, DISTORTIONS)
    return found


def mean(found: Sequence[Found], column: Column, distortion: str, contrast: str | None = None) -> float | None:
    """Over cases and contrasts, or cases alone; of those that have a value."""
    own = [values[column] for c, name, values in found if name == distortion and contrast in (None, c)]
    known = [value for value in own if value is not None]
    return fmean(known) if known else None


def report(found: Sequence[Found]) -> str:
    """Markdown: for every group of columns the mean values and what they tell, then the erased tumour by contrast."""
    text = f"{LEGEND}\n"
    for title, columns in COLUMNS.items():
        means = {name: [mean(found, column, name) for column in columns] for name in DISTORTIONS}
        told = {
            name: [verdict(c[2], *of) for c, *of in zip(columns, means[IDENTITY], means[YARDSTICK], own, strict=True)]
            for name, own in means.items() if name != IDENTITY
        }  # fmt: skip
        shown = {n: [_text(c[2], v) for c, v in zip(columns, own, strict=True)] for n, own in means.items()}
        head = [f"{title}: distortion", *(_title(column) for column in columns)]
        text += "".join(f"{table(head, ([name, *own] for name, own in rows.items()))}\n" for rows in (told, shown))
    return text + by_contrast(found)


def by_contrast(found: Sequence[Found]) -> str:
    """The erased tumour beside the blur of 1 mm, in the brain and in the tumour."""
    columns = [("polycontrast", region, name) for region in ("brain", "tumour") for name in HEADLINE]
    rows = [
        [f"{contrast}: {name}", *(_text(c[2], mean(found, c, name, contrast)) for c in columns)]
        for contrast in dict.fromkeys(c for c, *_ in found) for name in (YARDSTICK, ERASED)
    ]  # fmt: skip
    return table(["contrast: distortion", *(_title(column) for column in columns)], rows)


def _error(measure: str, value: float) -> float:
    """A value as a number that grows with the error and is finite for equal images."""
    if measure == "psnr":
        return float(10 ** (-value / 10))
    return -value if measure not in METRICS or METRICS[measure].higher_is_better else value


def _title(column: Column) -> str:
    protocol, region, measure = column
    place = "" if region == "brain" else region if protocol == "polycontrast" else f"{protocol} {region}"
    return f"{place} {measure}".strip()


def _text(measure: str, value: float | None) -> str:
    return "" if value is None else f"{value:.{digits(measure)}f}"


def _quick(folder: Path) -> tuple[list[Case], list[Case]]:
    """One small phantom, by which nothing can be said, and none to fit on."""
    phantom.write_case(phantom.make(0, QUICK_SHAPE, QUICK_SPACING), folder, "Phantom_00000")
    return find_cases(folder), []


def _of_role(data: Path, split: Path, role: str, count: int) -> tuple[list[Case], list[Case]]:
    """The first cases of a role, and as many to fit on."""
    cases, roles = {case.id: case for case in find_cases(data)}, read_roles(split)
    chosen, fitting = (
        [cases[i] for i in with_role(roles, name, split) if i in cases][:count] for name in (role, FIT_ROLE)
    )
    return chosen, fitting


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="folder of real cases")
    parser.add_argument("--split", type=Path, help="JSON of roles")
    parser.add_argument("--role", default="train")
    parser.add_argument("--cases", type=int, default=8)
    parser.add_argument("--contrasts", default="t1,t1ce,flair")
    parser.add_argument("--quick", action="store_true", help="one small phantom, one contrast: shows that it works")
    a = parser.parse_args()
    if not a.quick and not (a.data and a.split):
        parser.error("--data and --split are needed, or --quick")
    contrasts = canonical_set(("t1ce",) if a.quick else a.contrasts.split(","))
    print(machine())
    with tempfile.TemporaryDirectory() as name:
        cases, fitting = _quick(Path(name)) if a.quick else _of_role(a.data, a.split, a.role, a.cases)
        print(f"{len(cases)} cases, {', '.join(contrasts)}\n")
        print(report(measured(cases, contrasts, controls.fit(fitting, contrasts).niqe)))


if __name__ == "__main__":
    main()

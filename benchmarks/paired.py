"""Runs against each other, patient by patient: quick measures of `judge.py`, and the tumour that a segmenter finds.

    python benchmarks/paired.py judge --runs unet=RUN --runs any2any=any2any --data DATA --split SPLIT -o PAIRED
    python benchmarks/paired.py table --against any2any -o PAIRED

`judge` synthesises every case of the role from T2 and writes PAIRED/<name>.json, {case: {contrast: {measure: value}}};
with --segmenter FOLDER also whole-tumour Dice, as the contrast "whole tumour". `table` prints means over patients with
95 % bootstrap intervals, the differences of --against to every other run, patient by patient, and its cases' tumours.
"""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from common import table
from judge import FREQUENCIES, arguments, interval, values_of
from polycontrast.data import grid
from polycontrast.device import choose, keep_memory
from polycontrast.infer.sets import Model, load
from polycontrast.io.files import read_json, write_json
from polycontrast.io.layout import Case
from polycontrast.metrics import reference
from polycontrast.metrics.downstream import Segmenters, dice, open_segmenters
from polycontrast.metrics.segmenter import truth
from polycontrast.metrics.statistics import paired_difference, summarise
from polycontrast.workflows.cohort import cases_of

HAVE, WANT = ("T2",), ("FLAIR", "T1ce", "T1")
SHOWN = (
    *("psnr", "ssim", "nmae", "tumour psnr", "tumour ssim", "tumour nmae"),
    *(f"{of} {frequency}" for of in ("power", "ring correlation") for frequency in FREQUENCIES),
)
TUMOUR = "whole tumour"


def main() -> None:
    """One of the two steps."""
    parser = arguments(__doc__, ("judge", "table"))
    parser.add_argument("--runs", action="append", default=[], help="name=FOLDER, or name=any2any for the shipped one")
    parser.add_argument("--role", default="test")
    parser.add_argument("--segmenter", type=Path)
    parser.add_argument("--against", default="any2any")
    a = parser.parse_args()
    keep_memory()
    if a.step == "table":
        print(tabled(a.out, a.against))
        return
    device, cases = choose(a.device), cases_of(a.data, a.split, a.role)
    judges = open_segmenters(a.segmenter, cases_of(a.data, a.split, "train"), HAVE, WANT) if a.segmenter else None
    for text in a.runs:
        name, _, folder = text.partition("=")
        model = load(folder, device)
        with ThreadPoolExecutor(a.threads) as pool:
            rows = pool.map(lambda case, model=model: of_case(model, case, judges), cases)
            write_json(a.out / f"{name}.json", {case.id: row for case, row in zip(cases, rows, strict=True)})


def of_case(model: Model, case: Case, judges: Segmenters | None) -> dict[str, dict[str, Any]]:
    """{contrast: {measure: value}} of one patient."""
    real = reference.load(case)
    made = {}
    for name, volume in model({name: case.contrasts[name] for name in HAVE}, WANT).items():
        made[name] = np.where(real.brain, grid.to_canonical(volume.array, volume.geometry.affine), np.float32(0))
    found: dict[str, dict[str, Any]] = {
        name: values_of(real.images[name], image, real.brain, real.tumour, real.spacing) for name, image in made.items()
    }
    whole = truth(real)["whole"]
    if judges is not None and whole is not None:
        given = {name: real.images[name] for name in HAVE}
        inputs = {"synthetic": (judges.full, given | made), "T2 only": (judges.alone, given),
                  "real": (judges.full, real.images)}  # fmt: skip
        found[TUMOUR] = {
            name: dice(whole, judge(images, real.brain, real.spacing)["whole"])
            for name, (judge, images) in inputs.items()
        }
    return found


def tabled(out: Path, against: str) -> str:
    """The means, then the differences, a row per contrast and run."""
    runs = {file.stem: read_json(file) for file in sorted(out.glob("*.json"))}
    means, differences = [], []
    for contrast in (*WANT, TUMOUR):
        for name, rows in runs.items():
            columns = SHOWN if contrast != TUMOUR else ("synthetic", "T2 only", "real")
            values = {
                c: [row[contrast][c] for row in rows.values()] for c in columns if contrast in next(iter(rows.values()))
            }
            means.append([contrast, name, *(interval(summarise(v)) for v in values.values())])
            if name != against and values:
                own = {c: [row[contrast][c] for row in runs[against].values()] for c in values}
                differences.append(
                    [contrast, name, *(interval(paired_difference(own[c], v)) for c, v in values.items())]
                )
    header = ["", "run", *SHOWN]
    padded = [[row + [""] * (len(header) - len(row)) for row in rows] for rows in (means, differences)]
    return "\n".join((
        table(header, padded[0]),
        f"{against} minus each, patient by patient:\n", table(header, padded[1]),
        f"The tumours of {against}:\n", tumours(runs[against]),
    ))  # fmt: skip


def tumours(rows: Mapping[str, Mapping[str, Mapping[str, float | None]]]) -> str:
    """Case by case: the error in the tumour, how far it stands out in synthetic and real images, and Dice."""

    def cell(row: Mapping[str, float | None], forms: Mapping[str, str]) -> str:
        found = [(row.get(measure), form) for measure, form in forms.items()]
        return " / ".join("-" if value is None else format(value, form) for value, form in found)

    error = {"tumour nmae": ".3f", "contrast": "+.2f", "true contrast": "+.2f"}
    columns = {**dict.fromkeys(WANT, error), TUMOUR: dict.fromkeys(("synthetic", "T2 only", "real"), ".2f")}
    return table(
        ["case", *(f"{name}: {', '.join(forms)}" for name, forms in columns.items())],
        [[case, *(cell(row.get(name, {}), forms) for name, forms in columns.items())] for case, row in rows.items()],
    )


if __name__ == "__main__":
    main()

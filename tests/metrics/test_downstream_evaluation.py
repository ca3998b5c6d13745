"""An evaluation with segmenters: what they are shown, what stands in its files, what another evaluation knows."""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from polycontrast.io.files import read_json, write_json
from polycontrast.metrics.evaluate import Evaluation, Known, evaluate

from .. import tiny
from . import drawn_segmenters

GIVEN, WANT = ("T2",), ("FLAIR", "T1")
INPUTS = ("real", "synthetic", "T2 only", "zero-filled")


@pytest.fixture(autouse=True)
def _no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("polycontrast.metrics.evaluate.gallery.draw", lambda *_: None)


@pytest.fixture(name="synthetic", scope="module")
def _synthetic(cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """FLAIR and T1 of two cases, as they are: in normalised units."""
    folder = tmp_path_factory.mktemp("synthetic")
    for seed in (2, 3):
        for contrast in ("flair", "t1"):
            image = tiny.images(seed)[0][contrast]
            brain = image != 0
            units = np.where(brain, (image - image[brain].mean()) / image[brain].std() * 0.25 + 0.5, 0)
            tiny.write(folder / f"Tiny_{seed}_{contrast}_synth.nii.gz", units.astype(np.float32))
    assert cohort.exists()
    return folder


def run(cohort: Path, synthetic: Path, out: Path, cases: Sequence[str], known: Known | None = None) -> Evaluation:
    split = out.with_suffix(".json")
    write_json(split, {"test": list(cases)})
    segmenters = drawn_segmenters.pair(GIVEN, WANT)
    return evaluate(
        synthetic, cohort, out, want=WANT, split=split, protocols=["polycontrast"], segmenters=segmenters, known=known
    )


def test_four_inputs_of_every_case_are_segmented_and_told(cohort: Path, synthetic: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = run(cohort, synthetic, out, ["Tiny_2", "Tiny_3"])
    assert not result.failures
    with (out / "downstream.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    found = {(line["case"], line["input"], line["region"]) for line in lines}
    regions = ("whole", "core", "enhancing")
    assert found == {(case, one, region) for case in ("Tiny_2", "Tiny_3") for one in INPUTS for region in regions}
    told = read_json(out / "summary.json")["downstream"]["results"]
    dice = [float(line["dice"]) for line in lines if (line["input"], line["region"]) == ("synthetic", "whole")]
    assert told["synthetic"]["whole"]["dice"]["mean"] == pytest.approx(np.mean(dice), rel=1e-4)
    assert "## Downstream segmentation" in (out / "summary.md").read_text(encoding="utf-8")
    assert '<section id="downstream">' in (out / "report.html").read_text(encoding="utf-8")


def test_what_another_evaluation_has_segmented_is_not_segmented_again(
    cohort: Path, synthetic: Path, tmp_path: Path
) -> None:
    first = run(cohort, synthetic, tmp_path / "first", ["Tiny_2"])
    segmenters = drawn_segmenters.pair(GIVEN, WANT)
    again = evaluate(
        synthetic, cohort, tmp_path / "again", want=WANT, split=tmp_path / "first.json", protocols=["polycontrast"],
        segmenters=segmenters, known=Known(outcomes=first.outcomes),
    )  # fmt: skip
    full, alone = segmenters.full, segmenters.alone
    assert (full.shown, alone.shown) == ([("T2", "FLAIR", "T1")], [])  # type: ignore[attr-defined]
    assert again.outcomes == first.outcomes

"""compare --folds: every case judged once, by systems that never saw its patient; one table of all cases."""

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from polycontrast.errors import UserError
from polycontrast.io.files import read_json, write_json
from polycontrast.metrics import tables
from polycontrast.metrics.measures import METRICS
from polycontrast.metrics.protocols import POLYCONTRAST
from polycontrast.metrics.statistics import summarise
from polycontrast.metrics.tables import Row
from polycontrast.workflows import folds
from polycontrast.workflows.folds import compare_folds, joined, split_files
from polycontrast.workflows.setting import Setting

from .. import tiny

CASES = [f"Tiny_{number}" for number in range(4)]


@pytest.fixture(name="setting")
def _setting(cohort: Path, tmp_path: Path) -> Setting:
    return Setting(cohort, tmp_path / "out" / "folds", 8, want=("T1",), progress=False)


pytestmark = pytest.mark.usefixtures("here")


def test_every_case_is_judged_once_and_statistics_are_over_cases(setting: Setting, cache: Path, tmp_path: Path) -> None:
    out, told = tmp_path / "out", list[str]()
    result = compare_folds({"first": tiny.pairwise()}, setting, 2, out, cache=cache, tell=told.append)
    assert "fold 2: first: judging" in told
    assert result == read_json(out / "compare.json")
    assert result["failures"] == result["leaks"] == {}
    assert (result["cases"], result["folds"], result["classifier"]["cases"]) == (4, [2, 2], 2)

    rows = [row for row in tables.read(out / "first" / "evaluation") if row.region == "brain"]
    own = [row for row in rows if (row.system, row.protocol) == ("synthetic", "polycontrast")]
    assert sorted(row.case for row in own) == CASES
    stats = result["quality"]["first"]["T1"]["brain"]["nmae"]
    expected = summarise([row.values["nmae"] for row in own])
    assert (stats["n"], stats["sd"], tuple(stats["interval"])) == (4, expected.sd, expected.interval)
    assert result["quality"]["mean image"]["T1"]["brain"]["psnr"]["n"] == 4
    assert result["recognised"]["real"]["T1"]["n"] == 4
    assert result["cost"]["first"]["images"] == 8

    for number in (1, 2):
        judged = read_json(out / "folds" / f"fold_{number}.json")["test"]
        trained_on = read_json(out / f"fold_{number}" / "first" / "run" / "config.json")["cases"]
        assert sorted([*judged, *trained_on]) == CASES
        one = read_json(out / f"fold_{number}" / "compare.json")
        assert one["quality"]["first"]["T1"]["brain"]["nmae"]["n"] == 2

    assert "**Folds**: 2, of 2, 2 judged cases" in (out / "compare.md").read_text(encoding="utf-8")
    with (out / "compare.csv").open() as file:
        assert {row["n"] for row in csv.DictReader(file) if row["region"] == "brain"} == {"4"}


def test_each_fold_has_segmenters_of_its_own(setting: Setting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Path | None] = []
    monkeypatch.setattr(folds, "compare", lambda _, setting, *__, **___: asked.append(setting.segmenter))
    monkeypatch.setattr(folds, "joined", lambda *_: {})
    for folder in (tmp_path / "kept", None):
        compare_folds({"first": tiny.pairwise()}, replace(setting, segmenter=folder), 2, tmp_path / "out")
    assert asked == [tmp_path / "kept" / "fold_1", tmp_path / "kept" / "fold_2", None, None]


def fold(out: Path, number: int, psnr: dict[str, dict[str, float]], **changed: Any) -> dict[str, Any]:
    """The comparison of a fold as files, and its result, told by each system's PSNR of each case."""
    cases = sorted({case for by_case in psnr.values() for case in by_case})
    mean_image = {"role": "gan", "cases": 10 - number, "note": "", "left_out": {}, "constant_instead": []}
    for name, by_case in psnr.items():
        rows = [
            Row(case, "T1", "synthetic", "polycontrast", region, dict.fromkeys(METRICS) | {"psnr": value})
            for case, value in by_case.items()
            for region in POLYCONTRAST.regions
        ]
        facts = {"have": ["T2"], "want": ["T1"], "dropped": False, "role": "test"}
        facts |= {"cases": len(cases), "judged": cases}
        summary = tables.summarise_rows(rows, [], facts | {"mean_image": mean_image})
        folder = out / f"fold_{number}" / name / "evaluation"
        tables.write(folder, rows, [], summary)
        write_json(folder / "summary.json", summary)
    shares = {name: {"T1": dict.fromkeys(cases) | dict.fromkeys(by_case, 0.5)} for name, by_case in psnr.items()}
    write_json(out / f"fold_{number}" / "recognised.json", {"real": {"T1": dict.fromkeys(cases, 1.0)}} | shares)
    cost = {
        "recipe": "unet",
        "runs": 1,
        "sample": "a slice",
        "images": 8,
        "parameters": 9,
        "parameters_of_all_players": 9,
    }
    cost |= {"images_per_second": float(number), "seconds_per_volume": None}
    cost |= {f"{stage}_{key}": None for stage in ("training", "synthesis") for key in ("memory_gb", "device_memory_gb")}
    cost["synthesis_memory_gb"] = 3.0 - number
    return {
        "have": ["T2"], "want": ["T1"], "role": "test", "cases": len(cases), "images": 8, "given_runs": [],
        "device": "cpu", "machine": "", "polycontrast": "0", "failures": {}, "leaks": {},
        "classifier": {"role": "gan", "cases": 10 - number, "contrasts": ["T1", "T2"]},
        "cost": dict.fromkeys(psnr, cost), **changed,
    }  # fmt: skip


def test_the_mean_is_over_cases_and_not_over_folds(tmp_path: Path) -> None:
    first = {"old": {"A": 20.0, "B": 22.0, "C": 24.0}, "new": {"A": 21.0, "B": 23.5, "C": 26.0}}
    second = {"old": {"D": 30.0}, "new": {"D": 32.5}}
    results = [fold(tmp_path, 1, first), fold(tmp_path, 2, second)]
    whole = joined(tmp_path, results, "old")
    assert whole["quality"]["old"]["T1"]["brain"]["psnr"]["mean"] == pytest.approx(24.0)  # not 26, the mean of means
    assert (whole["cases"], whole["folds"]) == (4, [3, 1])
    assert whole["recognised"]["real"]["T1"]["n"] == 4
    tested = whole["significance"]["tests"]["T1"]["brain"]["psnr"]["new"]
    assert (tested["difference"]["n"], tested["difference"]["mean"], tested["effect"]) == (4, pytest.approx(1.75), 1.0)
    cost = whole["cost"]["new"]
    assert (cost["images_per_second"], cost["synthesis_memory_gb"], cost["seconds_per_volume"]) == (1.5, 2.0, None)
    text = (tmp_path / "compare.md").read_text(encoding="utf-8")
    for words in (
        "| old | 4 | 24.00 [",
        "real slices of 8 to 9 cases",
        "**Folds**: 2, of 3, 1 judged cases",
        "minus old",
    ):
        assert words in text
    assert "8 to 9 cases averaged" in (tmp_path / "old" / "evaluation" / "summary.md").read_text(encoding="utf-8")


def test_a_system_that_failed_in_one_fold_is_told_and_the_other_cases_count(tmp_path: Path) -> None:
    results = [
        fold(tmp_path, 1, {"old": {"A": 20.0, "B": 22.0}, "new": {"A": 21.0, "B": 23.0}}),
        fold(tmp_path, 2, {"old": {"C": 30.0}}, failures={"new": ["no luck"]}),
    ]
    whole = joined(tmp_path, results, "old")
    assert whole["failures"] == {"new": ["fold 2: no luck"]}
    assert [whole["quality"][name]["T1"]["brain"]["psnr"]["n"] for name in ("old", "new")] == [3, 2]
    assert whole["significance"]["tests"]["T1"]["brain"]["psnr"]["new"]["difference"]["n"] == 2
    assert "* new: fold 2: no luck" in (tmp_path / "compare.md").read_text(encoding="utf-8")


def test_folds_that_are_there_are_kept_and_others_are_refused(cohort: Path, tmp_path: Path) -> None:
    files = split_files(cohort, tmp_path, 2)
    before = [file.stat().st_mtime_ns for file in files]
    assert split_files(cohort, tmp_path, 2) == files
    assert [file.stat().st_mtime_ns for file in files] == before
    with pytest.raises(UserError, match="not fold 1 of 4"):
        split_files(cohort, tmp_path, 4)


def test_what_folds_cannot_judge_is_refused_before_anything_is_made(setting: Setting, tmp_path: Path) -> None:
    out, recipe = tmp_path / "out", tiny.pairwise()
    with pytest.raises(UserError, match="mine: a finished run has seen one split"):
        compare_folds({"mine": tmp_path / "run"}, setting, 2, out)
    with pytest.raises(UserError, match="cannot be called 'fold_1'"):
        compare_folds({"fold_1": recipe}, setting, 2, out)
    with pytest.raises(UserError, match="judge the role test"):
        compare_folds({"first": recipe}, replace(setting, role="gan"), 2, out)
    with pytest.raises(UserError, match="5 folds are asked for, 4 subjects"):
        compare_folds({"first": recipe}, setting, 5, out)
    assert not out.exists()
    with pytest.raises(UserError, match="no system 'other' to compare with"):
        compare_folds({"first": recipe}, replace(setting, against="other"), 2, out)
    assert [path.name for path in out.iterdir()] == ["folds"]

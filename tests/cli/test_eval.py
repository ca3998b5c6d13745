"""polycontrast eval: protocols by name, BraSyn's drop list and submission, and what does not go together."""

import csv
import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from polycontrast.contrasts import DEFAULT, slug
from polycontrast.errors import UserError
from polycontrast.io.layout import Case
from polycontrast.metrics.brasyn import NAMES, official_drops

from .. import tiny
from .conftest import Call

CASES = [f"BraTS2021_{number:05d}" for number in range(4)]


@pytest.fixture(name="drawn")
def _drawn(tmp_path: Path) -> tuple[Path, Path]:
    """Four cases, and for each contrast of each a "synthetic" volume: the truth, blurred by neighbours."""
    data, synthetic = tmp_path / "data", tmp_path / "synthetic"
    for seed, case in enumerate(CASES):
        tiny.draw_case(data, case, seed)
        for contrast, image in tiny.images(seed)[0].items():
            brain = image != 0
            units = np.where(brain, (image - image[brain].mean()) / image[brain].std() * 0.25 + 0.5, 0)
            near = (units + np.roll(units, 1, axis=0)) / 2 * brain
            tiny.write(synthetic / case / f"{case}_{contrast}_synth.nii.gz", near.astype(np.float32))
    return data, synthetic


@pytest.fixture(autouse=True)
def _no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing takes seconds and is tested elsewhere."""
    monkeypatch.setattr("polycontrast.metrics.evaluate.gallery.draw", lambda *_: None)
    monkeypatch.setattr("polycontrast.metrics.evaluate.report.write", lambda *_: None)


def test_other_protocols_stand_beside_the_honest_one(call: Call, drawn: tuple[Path, Path], tmp_path: Path) -> None:
    data, synthetic = drawn
    answer = call(
        "eval", "-i", synthetic, "--data", data, "-o", tmp_path / "out", "--want", "t1", "--protocol",
        "slice-max, dai2020", "-q",
    )  # fmt: skip
    assert answer.code == 0
    summary = json.loads((tmp_path / "out" / "summary.json").read_text(encoding="utf-8"))
    assert list(summary["protocols"]) == ["polycontrast", "slice-max", "dai2020"]
    assert "### slice-max" in (tmp_path / "out" / "summary.md").read_text(encoding="utf-8")
    assert answer.out.startswith("the report: ")  # and nothing else, for it is quiet
    with (tmp_path / "out" / "cases.csv").open(newline="") as file:
        protocols = {row["protocol"] for row in csv.DictReader(file)}
    assert protocols == {"polycontrast", "slice-max", "dai2020"}


def test_brasyn_hands_out_judges_and_submits_the_dropped_contrast(
    call: Call, drawn: tuple[Path, Path], tmp_path: Path
) -> None:
    data, synthetic = drawn
    out, drops = tmp_path / "out", official_drops(CASES)
    handed = call("eval", "--drop", "official", "--data", data, "-o", out)
    assert handed.code == 0
    for case in CASES:
        there = {path.name for path in (out / "pseudo_validation" / case).iterdir()}
        assert there == {f"{case}-{NAMES[c]}.nii.gz" for c in DEFAULT if c != drops[case]}
    judged = call(
        "eval", "--drop", "official", "-i", synthetic, "--data", data, "-o", out, "--protocol", "brasyn", "-q"
    )
    assert judged.code == 0, judged.err
    assert json.loads((out / "summary.json").read_text(encoding="utf-8"))["want"] == sorted(set(drops.values()))
    with (out / "cases.csv").open(newline="") as file:
        found = {(row["case"], row["contrast"]) for row in csv.DictReader(file)}
    assert found == set(drops.items())
    for case, contrast in drops.items():
        sent = nib.load(out / "submission" / f"{case}-{NAMES[contrast]}.nii.gz").get_fdata()
        made = nib.load(synthetic / case / f"{case}_{slug(contrast)}_synth.nii.gz").get_fdata()
        assert np.array_equal(sent, made)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--protocol", "brats"], "protocols: polycontrast, brasyn, dai2020, slice-max"),
        (["--drop", "mine"], "--drop official"),
        (["--drop", "official", "--downstream"], "choose one"),
        (["--drop", "official", "--have", "t2"], "--have speaks of all cases"),
        (["--drop", "official", "--want", "t1"], "--want speaks of all cases"),
        (["--segmenter", "folder"], "add --downstream"),
        (["--train-role", "train"], "add --downstream"),
        (["--role", "test"], "add --split"),
        (["--fit-role", "gan"], "add --split"),
        (["--downstream"], "--split"),
        (["--split", "split.json", "--role", "gan"], "name another with --fit-role"),
        (["--split", "split.json", "--role", "train", "--downstream"], "name another with --train-role"),
        (["--split", "split.json", "--downstream", "--train-role", "train, test"], "name another with --train-role"),
    ],
)
def test_what_does_not_go_together_is_refused(
    call: Call,
    drawn: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
    words: str,
) -> None:
    data, synthetic = drawn
    monkeypatch.setattr("polycontrast.metrics.measures.find_spec", lambda _: True)
    answer = call("eval", "-i", synthetic, "--data", data, "-o", tmp_path / "out", *options)
    assert answer.code == 2
    assert words in answer.err
    assert not (tmp_path / "out").exists()


def test_nothing_to_judge_is_said(call: Call, drawn: tuple[Path, Path], tmp_path: Path) -> None:
    answer = call("eval", "--data", drawn[0], "-o", tmp_path / "out")
    assert answer.code == 2
    assert "-i" in answer.err


@pytest.mark.parametrize("option", ["--protocol", "--fit-role"])
def test_what_is_of_no_use_to_handing_out_is_refused(
    call: Call, drawn: tuple[Path, Path], tmp_path: Path, option: str
) -> None:
    split = split_file(tmp_path)
    answer = call(
        "eval", "--drop", "official", "--data", drawn[0], "-o", tmp_path / "out", "--split", split, option, "x"
    )
    assert answer.code == 2
    assert f"{option} is of use with -i alone" in answer.err


@pytest.mark.parametrize(("options", "want"), [((), ("FLAIR", "T1", "T1ce")), (("--want", "flair"), ("FLAIR",))])
def test_segmenters_know_the_given_and_the_judged_contrasts_alone(
    call: Call,
    drawn: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, ...],
    want: tuple[str, ...],
) -> None:
    def opened(folder: Path, cases: list[Case], *contrasts: tuple[str, ...]) -> None:
        found = (folder, [case.id for case in cases], contrasts[:2])
        assert found == (tmp_path / "out" / "segmenter", [CASES[1]], (("T2",), want))
        raise UserError("opened as expected")

    monkeypatch.setattr("polycontrast.metrics.measures.find_spec", lambda _: True)
    monkeypatch.setattr("polycontrast.metrics.downstream.open_segmenters", opened)
    tiny.write(drawn[0] / CASES[2] / f"{CASES[2]}_t1n.nii.gz", tiny.images(0)[0]["t1"])  # a flawed case does not matter
    for made_of_others in drawn[1].rglob("*_t2_synth.nii.gz"):
        made_of_others.unlink()
    answer = call(
        "eval", "-i", drawn[1], "--data", drawn[0], "-o", tmp_path / "out", "--split", split_file(tmp_path),
        "--downstream", *options,
    )  # fmt: skip
    assert "opened as expected" in answer.err


def test_without_monai_it_is_said_at_once(
    call: Call, drawn: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("polycontrast.metrics.measures.find_spec", lambda name: name != "monai" or None)
    answer = call(
        "eval", "-i", drawn[1], "--data", drawn[0], "-o", tmp_path / "out", "--split", split_file(tmp_path),
        "--downstream",
    )  # fmt: skip
    assert answer.code == 2
    assert "polycontrast[monai]" in answer.err


def test_a_flawed_case_has_its_place_in_the_draw_and_is_flagged(
    call: Call, drawn: tuple[Path, Path], tmp_path: Path
) -> None:
    data, synthetic = drawn
    out, drops = tmp_path / "out", official_drops(CASES)
    tiny.write(data / CASES[0] / f"{CASES[0]}_t1n.nii.gz", tiny.images(0)[0]["t1"])
    handed = call("eval", "--drop", "official", "--data", data, "-o", out)
    assert handed.code == 3
    assert f"{CASES[0]} is not handed out: " in handed.err
    assert sorted(path.name for path in (out / "pseudo_validation").iterdir()) == CASES[1:]
    judged = call("eval", "--drop", "official", "-i", synthetic, "--data", data, "-o", out, "-q")
    assert judged.code == 3, judged.err
    summary = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    assert [failure["case"] for failure in summary["failures"]] == CASES[:1]
    sent = sorted(path.name for path in (out / "submission").iterdir())
    assert sent == [f"{case}-{NAMES[drops[case]]}.nii.gz" for case in CASES[1:]]


def split_file(folder: Path) -> Path:
    (folder / "split.json").write_text(json.dumps({"gan": CASES[:1], "train": CASES[1:2], "test": CASES[3:]}))
    return folder / "split.json"

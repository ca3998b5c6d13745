"""polycontrast train, synth and eval on a drawn cohort: the three verbs fit together."""

import csv
import json
from pathlib import Path

import pytest

from polycontrast import precision, recipes
from polycontrast.io.files import write_json

from .. import tiny
from .conftest import Answer, Call
from .test_main import refused


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a recipe of a few thousand weights."""
    monkeypatch.setitem(recipes.RECIPES, "tiny", tiny.recipe)
    return "tiny"


@pytest.fixture
def split(tmp_path: Path) -> Path:
    write_json(tmp_path / "split.json", {"gan": ["Tiny_0", "Tiny_1"], "test": ["Tiny_2", "Tiny_3"]})
    return tmp_path / "split.json"


def test_from_a_folder_to_a_table(
    call: Call, small: str, cohort: Path, cache: Path, split: Path, tmp_path: Path, drawn: list[Path]
) -> None:
    run, out, results = tmp_path / "run", tmp_path / "out", tmp_path / "results"
    train = ("train", "--recipe", small, "--data", cohort, "--split", split, "-o", run, "--cache", cache)
    first = call(*train, "--images", 8, "--batch", 4, "--seed", 3, "--device", "cpu")
    assert first.code == 0, first.err
    assert f"run folder: {run}" in first.out
    described = json.loads((run / "config.json").read_text(encoding="utf-8"))
    assert described["cases"] == ["Tiny_0", "Tiny_1"]
    assert (described["recipe"]["train"]["images"], described["recipe"]["train"]["seed"]) == (8, 3)
    refused(call(*train, "--images", 8), "there is a run already", "--resume")
    refused(call(*train, "--images", 12, "--resume"), "started with another recipe (train.images was 8, is 12)")
    unsplit = ("--recipe", small, "--data", cohort, "--role", "gan", "-o", tmp_path / "unsplit")
    refused(call("train", *unsplit), "--role is a role of --split")
    again = call(*train, "-o", tmp_path / "again", "--pretrained", run, "--images", 8, "--batch", 4, "-q")
    assert again.code == 0, again.err
    assert json.loads((tmp_path / "again/config.json").read_text(encoding="utf-8"))["pretrained"]["model"] == "run"

    done = call("synth", "--model", run, "-i", cohort, "--split", split, "-o", out, "--device", "cpu")
    assert done.code == 0, done.err
    judged = call("eval", "-i", out, "--data", cohort, "--split", split, "-o", results)
    assert judged.code == 0, judged.err
    assert "judging Tiny_2" in judged.err
    assert (results / "summary.md").read_text(encoding="utf-8").partition("\n## ")[0].strip() in judged.out
    assert "## " not in judged.out
    with (results / "cases.csv").open() as file:
        rows = list(csv.DictReader(line for line in file if not line.startswith("#")))
    assert {row["case"] for row in rows} == {"Tiny_2", "Tiny_3"}
    assert {row["contrast"] for row in rows} == {"T1", "T1ce", "FLAIR"}
    assert {"worst_t1.png", "best_t1.png"} <= {path.name for path in drawn}

    (out / "Tiny_3/Tiny_3_t1_synth.nii.gz").unlink()
    partly = call("eval", "-i", out, "--data", cohort, "--split", split, "-o", results, "-q")
    assert partly.code == 3
    assert "1 could not be judged" in partly.err
    assert "Tiny_3" in (results / "failures.csv").read_text(encoding="utf-8")


def test_what_cannot_be_trained_is_refused(call: Call, small: str, cohort: Path, cache: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    write_json(tmp_path / "split.json", {"test": ["Tiny_0"]})
    usual = {"--recipe": small, "--data": cohort, "-o": tmp_path / "run", "--cache": cache}
    for changed, words in (
        ({"--recipe": "tiney"}, "no recipe named 'tiney'"),
        ({"--data": tmp_path / "nowhere"}, "found nothing"),
        ({"--split": tmp_path / "absent.json"}, "no such file"),
        ({"--split": tmp_path / "split.json"}, "no case has the role 'gan'"),
        ({"--pretrained": tmp_path / "nothing"}, "no such run folder"),
        ({"--precision": "float16"}, "unknown precision 'float16'"),
        ({"--device": "cuda:99"}, "is not there"),
        ({"-o": tmp_path / "file" / "run"}, "cannot"),
        ({"--cache": tmp_path / "file" / "cache"}, "cannot be written"),
    ):
        arguments = [part for pair in (usual | changed).items() for part in pair]
        refused(call("train", *arguments, "-q"), words)
    assert not (tmp_path / "run").exists()


def test_images_that_are_left_out_for_their_names_are_told_once(
    call: Call, small: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny.draw_case(tmp_path / "in", "P1")
    (tmp_path / "in/P1/P2_t2_n4.nii.gz").touch()
    write_json(tmp_path / "none.json", {"gan": []})
    arguments = ("train", "--recipe", small, "--data", tmp_path / "in", "--split", tmp_path / "none.json")
    told = "1 image is left out, for no convention knows the name: P1/P2_t2_n4.nii.gz"
    assert told in refused_words(call(*arguments, "-o", tmp_path / "run"))
    assert told not in refused_words(call(*arguments, "-o", tmp_path / "run", "-q"))
    monkeypatch.setenv("RANK", "1")  # torchrun's second process
    assert told not in refused_words(call(*arguments, "-o", tmp_path / "run"))


def refused_words(answer: Answer) -> list[str]:
    refused(answer, "no case has the role")
    return answer.err.splitlines()


def test_a_precision_that_the_device_only_imitates_is_refused(
    call: Call, small: str, cohort: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "has_bfloat16", lambda _: False)
    arguments = ("--recipe", small, "--data", cohort, "-o", tmp_path / "run", "--precision", "bfloat16", "-q")
    refused(call("train", *arguments), "cpu only imitates bfloat16")
    monkeypatch.setattr(precision, "has_bfloat16", lambda _: True)
    in_3d = ("--recipe", "dai3d_small", *arguments[2:], "--device", "cpu")
    refused(call("train", *in_3d), "gradients of 3-D convolutions are wrong on a CPU")
    assert not (tmp_path / "run").exists()


def test_what_cannot_be_judged_is_refused(call: Call, cohort: Path, tmp_path: Path) -> None:
    refused(call("eval", "-i", tmp_path, "--data", cohort, "-o", tmp_path / "results"), "polycontrast synth")
    refused(call("eval", "-i", tmp_path, "--data", cohort, "-o", tmp_path / "r", "--want", "t8"), "unknown contrast")

"""polycontrast split: roles drawn once, by subject."""

import json
from pathlib import Path

import pytest

from .. import tiny
from .conftest import Call


@pytest.fixture
def visits(tmp_path: Path) -> Path:
    """Six visits of three subjects, as BraTS 2023 names them; images are not read."""
    for subject in range(3):
        for visit in range(2):
            tiny.draw_case(tmp_path / "cohort", f"BraTS-GLI-{subject:05d}-{visit:03d}", seed=subject)
    return tmp_path / "cohort"


def test_roles_are_drawn_by_subject(call: Call, visits: Path, tmp_path: Path) -> None:
    answer = call("split", visits, "-o", tmp_path / "split.json", "--roles", "test=1, gan=-1")
    assert answer.code == 0
    assert "2 test, 4 gan" in answer.out
    split = json.loads((tmp_path / "split.json").read_text(encoding="utf-8"))
    assert list(split) == ["test", "gan"]
    subjects = {role: {case[:15] for case in cases} for role, cases in split.items()}
    assert len(subjects["test"]) == 1
    assert not subjects["test"] & subjects["gan"]


def test_a_split_is_never_drawn_anew_over_another(call: Call, cohort: Path, tmp_path: Path) -> None:
    file = tmp_path / "split.json"
    file.write_text('{"test": []}')
    answer = call("split", cohort, "-o", file, "--roles", "gan=-1")
    assert answer.code == 2
    assert "must not be drawn anew" in answer.err
    assert file.read_text(encoding="utf-8") == '{"test": []}'


def test_folds_are_a_folder_of_splits(call: Call, visits: Path, tmp_path: Path) -> None:
    out = tmp_path / "folds"
    answer = call("split", visits, "--folds", 3, "-o", out)
    assert answer.code == 0, answer.err
    assert "4 gan, 2 test: " in answer.out
    assert sorted(file.name for file in out.iterdir()) == ["fold_1.json", "fold_2.json", "fold_3.json"]
    folds = [json.loads(file.read_text(encoding="utf-8")) for file in sorted(out.iterdir())]
    assert sorted(case for fold in folds for case in fold["test"]) == sorted(p.name for p in visits.iterdir())
    assert all(len({case[:15] for case in fold["test"]}) == 1 for fold in folds)
    again = call("split", visits, "--folds", 2, "-o", out)
    assert again.code == 2
    assert "must not be drawn anew" in again.err
    assert len(list(out.iterdir())) == 3


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--folds", 3, "--roles", "test=1,gan=-1"), "exclude each other"),
        (("--folds", 1), "at least 2"),
        (("--folds", 4), "4 folds are asked for, 3 subjects are there"),
    ],
)
def test_folds_that_cannot_be_made_are_refused(
    call: Call, visits: Path, tmp_path: Path, options: tuple[object, ...], words: str
) -> None:
    answer = call("split", visits, *options, "-o", tmp_path / "folds")
    assert answer.code == 2
    assert words in answer.err
    assert not (tmp_path / "folds").exists()


@pytest.mark.parametrize(
    "roles", ["", "test", "test=", "=3", "test=a", "test=1.5", "test=--1", "test=²", "test=1,test=2"]
)
def test_roles_that_cannot_be_read_are_refused(call: Call, cohort: Path, tmp_path: Path, roles: str) -> None:
    answer = call("split", cohort, "-o", tmp_path / "split.json", "--roles", roles)
    assert answer.code == 2
    assert "is not role=count" in answer.err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("roles", "words"), [("test=5", "5 subjects are asked for, 4"), ("a=-1,b=-1", "only one")])
def test_roles_that_cannot_be_filled_are_refused(
    call: Call, cohort: Path, tmp_path: Path, roles: str, words: str
) -> None:
    answer = call("split", cohort, "-o", tmp_path / "split.json", "--roles", roles)
    assert answer.code == 2
    assert words in answer.err


def test_a_place_below_a_file_is_refused(call: Call, cohort: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    answer = call("split", cohort, "-o", tmp_path / "file" / "split.json", "--roles", "gan=-1")
    assert answer.code == 2
    assert "cannot write" in answer.err

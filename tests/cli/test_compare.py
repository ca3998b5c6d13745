"""compare: which recipes and runs are meant, and what is told at the end."""

from pathlib import Path
from typing import Any

import pytest

from polycontrast.workflows.setting import Setting

from .conftest import Call

PLACE = ("--data", "cohort", "--split", "split.json", "--images", 12)


@pytest.fixture(name="asked")
def _asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    """What the workflow would be asked for; it writes an empty table and finds the failures given here."""
    asked: dict[str, Any] = {"failures": {}}

    def compare(systems: dict[str, Any], setting: Setting, out: Path, **_: Any) -> dict[str, Any]:
        asked.update(systems=systems, setting=setting)
        (out / "compare.md").write_text("the table")
        return asked

    def compare_folds(systems: dict[str, Any], setting: Setting, k: int, out: Path, **_: Any) -> dict[str, Any]:
        asked.update(folds=k)
        return compare(systems, setting, out)

    monkeypatch.setattr("polycontrast.workflows.compare.compare", compare)
    monkeypatch.setattr("polycontrast.workflows.folds.compare_folds", compare_folds)
    monkeypatch.chdir(tmp_path)
    return asked


@pytest.mark.parametrize(
    ("size", "names", "found"),
    [
        ("small", "unet,pix2pix", ["unet_small", "pix2pix_small"]),
        ("mr", "pix2pix,dai3d", ["pix2pix_mr", "dai3d"]),
        ("paper", "tcmgan", ["tcmgan"]),
        ("small", "tcmgan_report, stargan", ["tcmgan_report", "stargan_small"]),
    ],
)
def test_a_systems_name_stands_for_a_recipe_of_the_size(
    call: Call, asked: dict[str, Any], size: str, names: str, found: list[str]
) -> None:
    answer = call("compare", "--systems", names, "--size", size, *PLACE, "-o", ".", "--device", "cpu")
    assert answer.code == 0, answer.err
    assert [recipe.name for recipe in asked["systems"].values()] == found
    assert list(asked["systems"]) == [name.strip() for name in names.split(",")]
    assert "the table" in answer.out


def test_runs_that_are_there_need_no_systems_and_no_number_of_images(call: Call, asked: dict[str, Any]) -> None:
    answer = call(
        "compare", "--runs", "a=one/run", "--runs", "b=two", *PLACE[:4], "-o", ".", "--have", "t2,t1", "--want", "t1gd"
    )
    assert answer.code == 0, answer.err
    assert asked["systems"] == {"a": Path("one/run"), "b": Path("two")}
    setting = asked["setting"]
    assert (setting.have, setting.want, setting.images, setting.role) == (("T2", "T1"), ("T1ce",), None, "test")


@pytest.mark.usefixtures("asked")
@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), "nothing to compare"),
        (("--systems", "unett"), "no recipe named 'unett'"),
        (("--systems", "unet", "--size", "big"), "no size 'big'"),
        (("--runs", "a=run", "--size", "big"), "no size 'big'"),
        (("--systems", "unet", "--want", ","), "',' names nothing"),
        (("--systems", "unet", "--runs", "unet=run"), "not name=FOLDER"),
        (("--runs", "run"), "not name=FOLDER"),
        (("--systems", "unet", "--segmenter", "folder"), "add --downstream"),
        (("--runs", "a=run"), "--images is of use with --systems alone"),
    ],
)
def test_what_is_not_understood_is_refused(call: Call, options: tuple[str, ...], words: str) -> None:
    answer = call("compare", *options, *PLACE, "-o", ".")
    assert answer.code == 2
    assert words in answer.err


def test_folds_take_the_place_of_a_split(call: Call, asked: dict[str, Any]) -> None:
    options = ("--systems", "unet,pix2pix", "--against", "pix2pix", "--data", "cohort", "--images", 12, "-o", "out")
    Path("out").mkdir()
    answer = call("compare", *options, "--folds", 5)
    assert answer.code == 0, answer.err
    setting = asked["setting"]
    assert (asked["folds"], setting.split, setting.against) == (5, Path("out/folds"), "pix2pix")
    assert f"pictures: {Path('out') / 'fold_*'}" in answer.out
    for wrong in ((), ("--folds", 5, "--split", "split.json")):
        answer = call("compare", *options, *wrong)
        assert answer.code == 2
        assert "either --split or --folds" in answer.err


def test_a_failure_is_told_by_the_exit_code(call: Call, asked: dict[str, Any]) -> None:
    asked["failures"] = {"unet": ["not finite"]}
    answer = call("compare", "--systems", "unet", *PLACE, "-o", ".")
    assert answer.code == 3
    assert "the table" in answer.out

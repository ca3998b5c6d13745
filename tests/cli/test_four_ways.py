"""train and synth by --have and --want: sets of runs, several cohorts, any of several sources."""

import json
from pathlib import Path

import pytest

from polycontrast import recipes, runs
from polycontrast.io.files import read_json, write_json
from polycontrast.recipes import Recipe

from .. import models, photos, tiny
from .conftest import Call
from .test_main import refused

pytestmark = pytest.mark.usefixtures("drawn")
SECOND = ("T1", "T2", "PD")


def two() -> Recipe:
    """Of a cohort with four contrasts, and one with T1, T2 and PD."""
    return tiny.labelled((("T1", "T1ce", "T2", "FLAIR"), SECOND))


@pytest.fixture(autouse=True)
def _tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """Recipes of a few thousand weights; runs draw nothing."""
    for name, recipe in (("pairwise", tiny.pairwise), ("two", two), ("photos", photos.pix2pix)):
        monkeypatch.setitem(recipes.RECIPES, name, recipe)
    for name in ("pictures.curves", "train.loop.preview"):
        monkeypatch.setattr(f"polycontrast.{name}", lambda *_, **__: None)


@pytest.fixture(name="other", scope="module")
def _other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cohort of two cases with T1, T2 and PD."""
    folder = tmp_path_factory.mktemp("other")
    for number in range(2):
        images, _ = tiny.images(10 + number)
        tiny.draw_case(folder, f"Other_{number}", seed=10 + number, pd=images["flair"], t1ce=None, flair=None)
    return folder


def sidecar(out: Path, case: str, contrast: str) -> dict[str, object]:
    told: dict[str, object] = json.loads((out / case / f"{case}_{contrast}_synth.json").read_text(encoding="utf-8"))
    return told


def test_a_set_is_trained_added_to_and_used(call: Call, cohort: Path, cache: Path, tmp_path: Path) -> None:
    model, out = tmp_path / "set", tmp_path / "out"
    train = ("train", "--recipe", "pairwise", "--data", cohort, "--cache", cache, "--device", "cpu", "--images", 4)
    done = call(*train, "-o", model, "--want", "t1,t1gd", "-q")
    assert done.code == 0, done.err
    assert call(*train, "-o", model, "--want", "flair", "-q").code == 0
    assert runs.members(model) == ("t2_to_t1", "t2_to_t1ce", "t2_to_flair")
    synth = ("synth", "--model", model, "-i", cohort / "Tiny_0", "-o", out, "--device", "cpu")
    done = call(*synth)
    assert "made T1, T1ce, FLAIR" in done.out, done.err
    assert sidecar(out, "Tiny_0", "t1ce")["model"]["name"] == "t2_to_t1ce"  # type: ignore[index]
    assert "there already" in call(*synth, "--want", "flair").out
    refused(call(*synth, "--want", "pd"), "not trained to make PD")
    models.make_run(tmp_path / "run", tiny.pairwise())
    refused(call(*train, "-o", tmp_path / "run", "--want", "t1,t1ce"), "a single run already")


def test_two_cohorts_with_their_splits_make_one_model(
    call: Call, cohort: Path, other: Path, cache: Path, tmp_path: Path
) -> None:
    model, out = tmp_path / "run", tmp_path / "out"
    splits = [tmp_path / "a.json", tmp_path / "b.json"]
    write_json(splits[0], {"gan": ["Tiny_0", "Tiny_1"], "test": ["Tiny_2"]})
    write_json(splits[1], {"gan": ["Other_1"], "test": ["Other_0"]})
    train = ("train", "--recipe", "two", "-o", model, "--cache", cache, "--device", "cpu", "--images", 8, "-q")
    data = ("--data", cohort, "--data", other)
    refused(call(*train, *data[:2]), "learns from 2 cohorts, found 1 --data", "one with T1, T2, PD")
    refused(call(*train, *data, "--split", splits[0]), "2 --data and 1 --split", "in order")
    refused(call(*train, *data, "--want", "dir"), "DIR")
    assert not model.exists()
    done = call(*train, *data, "--split", splits[0], "--split", splits[1])
    assert done.code == 0, done.err
    assert read_json(model / "config.json")["cases"] == ["Tiny_0", "Tiny_1", "Other_1"]
    done = call("synth", "--model", model, "-i", cohort / "Tiny_2", "-o", out, "--want", "pd", "--device", "cpu")
    assert "made PD" in done.out, done.err


def test_have_says_which_contrast_is_given(call: Call, cohort: Path, tmp_path: Path) -> None:
    model = models.make_run(tmp_path / "any", tiny.labelled())
    synth = ("synth", "--model", model, "-i", cohort / "Tiny_0", "--device", "cpu")
    for have, given in ((None, "T1"), ("flair", "FLAIR"), ("flair,t2w", "T2")):
        out = tmp_path / f"from_{have}"
        done = call(*synth, "-o", out, "--want", "t1ce", *(["--have", have] if have else []))
        assert done.code == 0, done.err
        assert sidecar(out, "Tiny_0", "t1ce")["have"] == [given]
    out = tmp_path / "none"
    refused(call(*synth, "-o", out, "--have", "t2", "--want", "t2"), "both given and wanted: T2", "--have")
    refused(call(*synth, "-o", out, "--have", "t2", "--want", "t1,t2"), "both given and wanted: T2")
    refused(call(*synth, "-o", out, "--have", ","), "',' names nothing")
    refused(call(*synth, "-o", out, "--have", "pd"), "needs T1 or", "found PD")
    assert not out.exists()


@pytest.mark.parametrize(
    ("recipe", "options", "words"),
    [
        ("stargan_small", ("--want", "pd"), "PD"),
        ("pairwise", ("--have", ""), "'' names nothing"),
        ("pairwise", ("--want", ","), "',' names nothing"),
        ("pairwise", ("--have", "t1", "--want", "t1"), "both given and wanted: T1"),
        ("photos", (), "for patients: --recipe pix2pix_mr"),
        ("photos", ("--split", "split.json"), "for patients: --recipe pix2pix_mr"),
        ("stargan", (), "for patients: --recipe stargan_mr"),
        ("photos", ("--have", "Q", "--want", "Z"), "have no side Q, Z"),
        ("photos", ("--have", "A", "--want", "B,C"), "have no side C"),
    ],
)
def test_what_is_refused_leaves_nothing(
    call: Call, cohort: Path, cache: Path, tmp_path: Path, recipe: str, options: tuple[str, ...], words: str
) -> None:
    out = tmp_path / "run"
    refused(call("train", "--recipe", recipe, "--data", cohort, "-o", out, "--cache", cache, *options), words)
    assert not out.exists()

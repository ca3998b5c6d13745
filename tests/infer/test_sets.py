"""Several runs as one model: who makes what, what is lacking, and which folders are no set."""

from pathlib import Path

import numpy as np
import pytest

from polycontrast import runs
from polycontrast.errors import UserError
from polycontrast.infer.cohort import run_case
from polycontrast.infer.sets import SynthesizerSet, load
from polycontrast.io.files import read_json, write_json
from polycontrast.io.layout import find_cases
from polycontrast.io.volume import Volume

from .. import models, tiny
from .conftest import volume

T2 = {"T2": volume((24, 24, 6), tiny.LPS)}


@pytest.fixture(name="folder")
def _folder(tmp_path: Path) -> Path:
    """T1 and FLAIR from T2; T1ce from T2 and FLAIR; T1 from FLAIR, which the first member makes too."""
    made = [(("T2",), "T1"), (("T2",), "FLAIR"), (("T2", "FLAIR"), "T1ce"), (("FLAIR",), "T1")]
    return models.make_set(tmp_path / "set", [tiny.pairwise(have, want) for have, want in made])


@pytest.fixture(name="model")
def _model(folder: Path) -> SynthesizerSet:
    model = load(folder)
    assert isinstance(model, SynthesizerSet)
    return model


def test_a_set_makes_what_its_members_make(model: SynthesizerSet, folder: Path) -> None:
    assert (model.name, model.have, model.want) == ("set", ("T2", "FLAIR"), ("T1", "FLAIR", "T1ce"))
    made = model(T2, ["flair", "T1"])
    assert list(made) == ["FLAIR", "T1"]
    for name, run in (("FLAIR", "t2_to_flair"), ("T1", "t2_to_t1")):
        alone = load(folder / run)(T2, [name])[name]
        assert isinstance(alone, Volume)
        np.testing.assert_array_equal(made[name].array, alone.array)


def test_a_set_is_loaded_onto_a_device_told_by_its_name(folder: Path) -> None:
    model = load(folder, "cpu")
    assert list(model(T2, ["T1"])) == ["T1"]


def test_the_first_member_that_makes_a_contrast_does(model: SynthesizerSet) -> None:
    told = [(part.name, names) for part, names in model.parts(("T1ce", "T1", "FLAIR"))]
    assert told == [("t2_to_t1", ("T1",)), ("t2_to_flair", ("FLAIR",)), ("t2_flair_to_t1ce", ("T1ce",))]


@pytest.mark.parametrize(
    ("want", "words"),
    [
        (("T1ce",), "t2_flair_to_t1ce needs FLAIR"),
        (None, "t2_flair_to_t1ce needs FLAIR"),
        (("T1", "PD"), "not trained to make PD"),
        ((), "no contrast is wanted"),
        (("T2",), "both given and wanted: T2"),
    ],
)
def test_what_a_set_cannot_make_is_refused(model: SynthesizerSet, want: tuple[str, ...] | None, words: str) -> None:
    with pytest.raises(UserError, match=words):
        model(T2, want)


def test_a_sidecar_names_the_member_that_made_it(model: SynthesizerSet, cohort: Path, tmp_path: Path) -> None:
    (case,) = find_cases(cohort / "Tiny_0")
    done = run_case(case, model, tmp_path / "out", ["T1ce", "T1"])
    assert done.made == ("T1ce", "T1")
    for name, member, have in (("t1", "t2_to_t1", ["T2"]), ("t1ce", "t2_flair_to_t1ce", ["T2", "FLAIR"])):
        told = read_json(tmp_path / "out" / "Tiny_0" / f"Tiny_0_{name}_synth.json")
        assert (told["model"]["name"], told["have"]) == (member, have)
    assert run_case(case, model, tmp_path / "out", ["T1ce", "T1"]).made == ()


def test_images_that_different_members_are_given_must_lie_on_one_grid(tmp_path: Path) -> None:
    model = load(models.make_set(tmp_path / "set", [tiny.pairwise(("T2",), "T1"), tiny.pairwise(("FLAIR",), "T1ce")]))
    tiny.draw_case(tmp_path / "cohort", "P1", t1=None, t1ce=None)
    tiny.write(tmp_path / "cohort/P1/P1_flair.nii.gz", tiny.images(0)[0]["flair"], tiny.LPS + 40 * np.eye(4, k=3))
    (case,) = find_cases(tmp_path / "cohort")
    with pytest.raises(UserError, match="different grids"):
        run_case(case, model, tmp_path / "out")
    assert not list((tmp_path / "out").rglob("*.nii.gz"))


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"runs": []}', '{"runs": "t2_to_t1"}', '{"runs": [1]}'])
def test_a_file_that_lists_no_runs_is_refused(folder: Path, text: str) -> None:
    (folder / runs.SET).write_text(text)
    with pytest.raises(UserError) as caught:
        load(folder)
    assert caught.value.path == folder / runs.SET


def test_a_member_that_is_not_there_is_named(folder: Path) -> None:
    write_json(folder / runs.SET, {"runs": ["t2_to_t1", "gone"]})
    with pytest.raises(UserError, match="no such run folder") as caught:
        load(folder)
    assert caught.value.path == folder / "gone"

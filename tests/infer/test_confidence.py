"""The confidence map beside a synthetic volume: what it holds, that it says what it is, and that it belongs to it."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from polycontrast.errors import UserError
from polycontrast.infer import cohort
from polycontrast.infer.options import Options
from polycontrast.infer.synthesizer import Synthesizer
from polycontrast.io import nifti
from polycontrast.io.files import read_json, write_json
from polycontrast.io.layout import Case, find_cases

from .. import models, tiny
from .conftest import brain
from .test_cohort import PLACE, SHAPE, case_of, contents, fail_at_call

WANT = ("T1", "FLAIR")
FILES = {f"P1/P1_{c}_{end}" for c in ("t1", "flair") for end in ("synth.nii.gz", "confidence.nii.gz", "synth.json")}

pytestmark = pytest.mark.usefixtures("drawn")


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return case_of(tiny.write(tmp_path / "in" / "P1_t2.nii.gz", brain(SHAPE), PLACE))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return models.make_confident(tmp_path_factory.mktemp("runs") / "confident")


@pytest.fixture(scope="module")
def model(run: Path) -> Synthesizer:
    return Synthesizer.load(run)


def test_it_lies_beside_the_volume_on_its_grid_and_says_what_it_is(
    case: Case, model: Synthesizer, tmp_path: Path, drawn: list[list[str]]
) -> None:
    cohort.run_case(case, model, tmp_path / "out", WANT)
    assert contents(tmp_path / "out").keys() == {*FILES, "P1/P1_synth.png"}
    assert drawn == [["T2", "T1 synthetic", "T1 confidence", "FLAIR synthetic", "FLAIR confidence"]]
    image, width = (nib.load(tmp_path / f"out/P1/P1_t1_{kind}.nii.gz") for kind in ("synth", "confidence"))
    assert b"SYNTHETIC T1" in bytes(width.header["descrip"])
    np.testing.assert_array_equal(width.affine, image.affine)
    values, inside = width.get_fdata(), brain(SHAPE) > 0
    assert (values[inside] > 0).all()
    assert (values[~inside] == 0).all()


def test_the_sidecar_tells_how_to_get_the_other_intervals(
    case: Case, run: Path, model: Synthesizer, tmp_path: Path
) -> None:
    cohort.run_case(case, model, tmp_path / "out", ["T1"])
    told = json.loads((tmp_path / "out/P1/P1_t1_synth.json").read_text(encoding="utf-8"))["confidence"]
    assert told["file"] == "P1_t1_confidence.nii.gz"
    assert "half the width of the 80 % interval" in told["means"]
    assert told["levels"] == {"50": 0.4375, "80": 1.0, "95": 1.875}
    config = read_json(run / "config.json")
    other = models.make_run(tmp_path / "other", models.any_subset(), confidence={"t2_to_t1": {"80": 0.8}})
    assert config["confidence"]["t2_to_t1"]["80"] == 2 * 0.8
    half = Synthesizer.load(other)({"T2": case.contrasts["T2"]}, ["T1"])["T1"].confidence
    assert half is not None
    written = nifti.read(tmp_path / "out/P1/P1_t1_confidence.nii.gz")
    np.testing.assert_allclose(written.array, 2 * half.array, rtol=1e-5)


def test_a_model_without_one_leaves_none_and_removes_that_of_the_volume_before(
    case: Case, model: Synthesizer, tmp_path: Path
) -> None:
    cohort.run_case(case, model, tmp_path / "out", ["T1"])
    plain = Synthesizer.load(models.make_run(tmp_path / "plain", models.any_subset()))
    with pytest.raises(UserError, match="another model"):
        cohort.run_case(case, plain, tmp_path / "out", ["T1"])
    cohort.run_case(case, plain, tmp_path / "out", ["T1"], overwrite=True)
    assert not (tmp_path / "out/P1/P1_t1_confidence.nii.gz").exists()
    assert json.loads((tmp_path / "out/P1/P1_t1_synth.json").read_text(encoding="utf-8"))["confidence"] is None


def test_a_volume_whose_map_is_gone_is_made_again(case: Case, model: Synthesizer, tmp_path: Path) -> None:
    cohort.run_case(case, model, tmp_path / "out", WANT)
    whole = contents(tmp_path / "out")
    assert cohort.run_case(case, model, tmp_path / "out", WANT).skipped == WANT
    (tmp_path / "out/P1/P1_flair_confidence.nii.gz").unlink()
    assert cohort.run_case(case, model, tmp_path / "out", WANT).made == ("FLAIR",)
    again = contents(tmp_path / "out")
    volumes = [name for name in whole if name.endswith("gz")]
    assert {name: again[name] for name in volumes} == {name: whole[name] for name in volumes}


@pytest.mark.parametrize("beside", [True, False])
def test_a_map_that_another_tool_left_is_neither_replaced_nor_removed_unless_told(
    case: Case, model: Synthesizer, tmp_path: Path, beside: bool
) -> None:
    """Of a model that makes one itself, and of one that makes none and would leave it beside its volume."""
    one = model if beside else Synthesizer.load(models.make_run(tmp_path / "plain", models.any_subset()))
    theirs = tiny.write(tmp_path / "out/P1/P1_t1_confidence.nii.gz", brain(SHAPE), PLACE)
    before = contents(tmp_path / "out")
    with pytest.raises(UserError, match="not made by polycontrast") as caught:
        cohort.run_case(case, one, tmp_path / "out", ["T1"])
    assert caught.value.path == theirs
    assert contents(tmp_path / "out") == before
    cohort.run_case(case, one, tmp_path / "out", ["T1"], overwrite=True)
    assert theirs.exists() is beside


def test_a_volume_that_was_changed_is_kept_when_its_map_is_gone(case: Case, model: Synthesizer, tmp_path: Path) -> None:
    cohort.run_case(case, model, tmp_path / "out", ["T1"])
    theirs = tiny.write(tmp_path / "out/P1/P1_t1_synth.nii.gz", brain(SHAPE), PLACE)
    (tmp_path / "out/P1/P1_t1_confidence.nii.gz").unlink()
    with pytest.raises(UserError, match="not made by polycontrast") as caught:
        cohort.run_case(case, model, tmp_path / "out", ["T1"])
    assert caught.value.path == theirs


@pytest.mark.parametrize("writer", ["nifti.write", "write_json"])
@pytest.mark.parametrize("which", [1, 2, 3])
def test_a_kill_between_the_writes_leaves_nothing_that_passes_for_done(
    case: Case, model: Synthesizer, tmp_path: Path, writer: str, which: int
) -> None:
    """Over the volumes of another model, of which no sidecar or map may stay beside a new volume."""
    out = tmp_path / "out"
    cohort.run_case(case, Synthesizer.load(models.make_confident(tmp_path / "old", seed=1)), out, WANT)
    with pytest.MonkeyPatch.context() as patch:
        fail_at_call(patch, writer, which)
        if (writer, which) != ("write_json", 3):  # there are two
            with pytest.raises(KeyboardInterrupt):
                cohort.run_case(case, model, out, WANT, overwrite=True)
    cohort.run_case(case, model, out, WANT, overwrite=True)
    cohort.run_case(case, model, tmp_path / "whole", WANT)
    assert contents(out) == contents(tmp_path / "whole")


def test_a_recalibrated_model_does_not_pass_for_the_one_before(case: Case, model: Synthesizer, tmp_path: Path) -> None:
    cohort.run_case(case, model, tmp_path / "out", ["T1"])
    again = models.make_confident(tmp_path / "confident")
    config = read_json(again / "config.json")
    config["confidence"]["t2_to_t1"]["95"] = 4.0
    write_json(again / "config.json", config)
    with pytest.raises(UserError, match="another model"):
        cohort.run_case(case, Synthesizer.load(again), tmp_path / "out", ["T1"])


@pytest.mark.parametrize("options", [Options(fast=True), Options(ensemble=True)])
def test_options_are_told_and_decide_whether_a_volume_is_up_to_date(
    case: Case, run: Path, model: Synthesizer, tmp_path: Path, options: Options
) -> None:
    (name,) = options.chosen
    other = Synthesizer.load(run, options=options)
    for first, second in ((model, other), (other, model)):
        cohort.run_case(case, first, tmp_path / "out", ["T1"], overwrite=True)
        told = json.loads((tmp_path / "out/P1/P1_t1_synth.json").read_text(encoding="utf-8"))["model"]
        assert told.get(name, False) is (first is other)
        with pytest.raises(UserError, match="other options"):
            cohort.run_case(case, second, tmp_path / "out", ["T1"])


def test_maps_are_neither_contrasts_nor_cases(case: Case, model: Synthesizer, tmp_path: Path) -> None:
    cohort.run_case(case, model, tmp_path / "in", WANT)
    assert [(c.id, list(c.contrasts)) for c in find_cases(tmp_path / "in")] == [("P1", ["T2"])]

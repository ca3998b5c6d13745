"""Intervals are as wide as patients that the model has not seen make them."""

from pathlib import Path

import numpy as np
import pytest

from polycontrast import recipes, runs
from polycontrast.data.cache import Entry, cached
from polycontrast.errors import UserError
from polycontrast.infer.synthesizer import Synthesizer
from polycontrast.io.files import read_json, write_json
from polycontrast.io.layout import find_cases
from polycontrast.workflows.calibrate import calibrate, estimates, stored, subsets

from .. import models, tiny


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return models.make_confident(tmp_path / "run")


def test_every_way_is_calibrated_and_the_configuration_completed(run: Path, entries: list[Entry]) -> None:
    before = read_json(run / "config.json")
    told: list[str] = []
    confidence = calibrate(run, entries[:2], tell=told.append)
    assert len(confidence) == 28
    assert [line.split(":")[0] for line in told] == [entry.id for entry in entries[:2]]
    assert all(0 < of["50"] < of["80"] < of["95"] for of in confidence.values())
    after = read_json(run / "config.json")
    assert after.pop("confidence") == confidence
    before.pop("confidence", None)
    assert after == before


def test_the_intervals_hold_what_they_say_of_the_patients_they_were_fitted_on(run: Path, entries: list[Entry]) -> None:
    confidence = calibrate(run, entries[:2])
    model = Synthesizer.load(run)
    ratios = [found[("T2",), "T1"] for _, found in estimates(model, entries[:2], threads=2)]
    within = np.concatenate(ratios) <= confidence["t2_to_t1"]["80"]
    assert within.mean() == pytest.approx(0.8, abs=0.01)


def test_patients_that_were_trained_on_are_refused(run: Path, entries: list[Entry]) -> None:
    write_json(run / "config.json", {**read_json(run / "config.json"), "cases": [entries[0].id]})
    with pytest.raises(UserError, match=f"the model was trained on {entries[0].id}"):
        calibrate(run, entries)


def test_a_model_that_tells_no_scale_cannot_be_calibrated(tmp_path: Path, entries: list[Entry]) -> None:
    plain = models.make_run(tmp_path / "plain", models.in_volume_units(models.tiny.recipe()))
    with pytest.raises(UserError, match="tells no scale"):
        calibrate(plain, entries[:1])


def test_a_model_of_patches_tells_none_either(tmp_path: Path, entries: list[Entry]) -> None:
    with pytest.raises(UserError, match="tells no scale"):
        calibrate(models.make_run(tmp_path / "plain", recipes.recipe("dai3d_small")), entries[:1])


def test_the_shipped_model_is_not_calibrated_in_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shipped = models.make_shipped(tmp_path / "shipped")
    monkeypatch.setattr(runs, "shipped", lambda: shipped)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="calibrated already"):
        calibrate(Path("any2any"), [])


def test_cases_of_a_single_contrast_calibrate_nothing(run: Path, tmp_path: Path) -> None:
    tiny.draw_case(tmp_path / "cohort", "Alone", t1=None, t1ce=None, flair=None)
    before = (run / "config.json").read_bytes()
    alone = cached(find_cases(tmp_path / "cohort"), ("T1", "T1ce", "T2", "FLAIR"), tmp_path / "cache")
    with pytest.raises(UserError, match="none of 1 cases has a contrast"):
        calibrate(run, alone)
    assert (run / "config.json").read_bytes() == before


def test_a_cached_case_is_seen_as_its_volumes_are(run: Path, entries: list[Entry]) -> None:
    images, mask = stored(entries[0])
    assert set(images) == set(entries[0].contrasts)
    assert all(image.shape == mask.shape and not image[~mask].any() for image in images.values())
    assert images["T2"][mask].mean() == pytest.approx(0.5, abs=1e-2)
    assert len(subsets(Synthesizer.load(run), entries[0])) == 14

"""A run in the form of the shipped model: half the bytes, the same images, nothing else touched."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from polycontrast.errors import UserError
from polycontrast.infer.synthesizer import Synthesizer
from polycontrast.io.files import read_json, write_json
from polycontrast.workflows import ship as module
from polycontrast.workflows.ship import ship

from .. import models, tiny


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return models.make_confident(tmp_path / "run")


def test_what_is_shipped_makes_what_the_run_makes(run: Path, tmp_path: Path) -> None:
    out = ship(run, tmp_path / "weights")
    assert {file.name for file in out.iterdir()} == {"any2any.safetensors", "config.json"}
    image = {"T2": tiny.images(0)[0]["t2"]}
    whole, half = (Synthesizer.load(folder)(image, ["T1"])["T1"] for folder in (run, out))
    assert np.abs(whole.array - half.array).max() < 2e-3 * np.ptp(whole.array)  # of random weights, which span much
    assert whole.confidence is not None
    assert half.confidence is not None


def test_the_configuration_is_the_runs_and_tells_the_roles(run: Path, tmp_path: Path) -> None:
    write_json(tmp_path / "split.json", {"gan": ["P1"], "test": ["P2"]})
    out = ship(run, tmp_path / "weights", tmp_path / "split.json")
    assert read_json(out / "config.json") == {
        **read_json(run / "config.json"),
        "roles": {"gan": ["P1"], "test": ["P2"]},
    }
    assert read_json(ship(run, tmp_path / "other") / "config.json") == read_json(run / "config.json")


def test_intervals_may_come_from_a_run_that_left_patients_to_calibrate_on(run: Path, tmp_path: Path) -> None:
    other = models.make_confident(tmp_path / "other")
    intervals = {"t2_to_t1": {"50": 1.0, "80": 2.0, "95": 4.0}}
    losses = read_json(other / "config.json")
    losses["recipe"]["system"]["ssim"] = 0.7  # of no account
    write_json(other / "config.json", {**losses, "confidence": intervals, "typical": {"T2": {"lean": [0.0, 1.0]}}})
    shipped = read_json(ship(run, tmp_path / "weights", calibrated=other) / "config.json")
    assert shipped == {**read_json(run / "config.json"), "confidence": intervals}


def test_what_is_usual_may_come_from_a_run_that_has_seen_patients_alone(run: Path, tmp_path: Path) -> None:
    other = models.make_confident(tmp_path / "other")
    told = read_json(other / "config.json")
    usual = {name: {"volume_ml": [900.0, 1900.0]} for name in told["recipe"]["data"]["contrasts"]}
    write_json(other / "config.json", {**told, "typical": usual})
    shipped = read_json(ship(run, tmp_path / "weights", usual=other) / "config.json")
    assert shipped == {**read_json(run / "config.json"), "typical": usual}
    usual.popitem()
    write_json(other / "config.json", {**told, "typical": usual})
    with pytest.raises(UserError, match="no usual values to lend"):
        ship(run, tmp_path / "none", usual=other)
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("changed", "words"),
    [({"confidence": {}}, "no intervals to lend"), ({"extent": 120.0}, "contrasts or data"),
     ({"want": ["T1"]}, "contrasts or data")],
)  # fmt: skip
def test_intervals_of_a_run_that_has_none_or_of_another_recipe_are_refused(
    run: Path, tmp_path: Path, changed: dict[str, Any], words: str
) -> None:
    other = models.make_confident(tmp_path / "other")
    told = read_json(other / "config.json")
    for part in (told, told["recipe"]["data"], told["recipe"]["system"]):
        part.update({key: value for key, value in changed.items() if key in part})
    write_json(other / "config.json", told)
    with pytest.raises(UserError, match=words):
        ship(run, tmp_path / "weights", calibrated=other)
    assert not (tmp_path / "weights").exists()


def test_the_model_card_is_left_alone_and_old_weights_go(run: Path, tmp_path: Path) -> None:
    out = ship(models.make_confident(tmp_path / "old", seed=1), tmp_path / "weights")
    (out / "README.md").write_text("a card")
    old = (out / "any2any.safetensors").read_bytes()
    ship(run, out)
    assert (out / "README.md").read_text(encoding="utf-8") == "a card"
    assert (out / "any2any.safetensors").read_bytes() != old


def test_weights_that_float16_cannot_hold_are_refused(run: Path, tmp_path: Path) -> None:
    file = run / "checkpoint/weights.safetensors"
    weights = load_file(file)
    next(iter(weights.values()))[0] = 1e6
    save_file(weights, file)
    with pytest.raises(UserError, match="range of float16"):
        ship(run, tmp_path / "weights")
    assert not (tmp_path / "weights").exists()


def test_too_many_weights_are_refused(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LARGEST", 1000)
    with pytest.raises(UserError, match="MB of weights"):
        ship(run, tmp_path / "weights")


def test_the_script_says_what_it_wrote_or_why_not(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["ship", str(run), str(tmp_path / "weights")])
    module.main()
    assert "any2any.safetensors" in capsys.readouterr().out
    assert json.loads((tmp_path / "weights/config.json").read_text(encoding="utf-8"))["confidence"]
    monkeypatch.setattr(sys, "argv", ["ship", str(tmp_path / "nowhere"), str(tmp_path / "weights")])
    with pytest.raises(SystemExit) as ended:
        module.main()
    assert ended.value.code == 2
    assert "no such run folder" in capsys.readouterr().err

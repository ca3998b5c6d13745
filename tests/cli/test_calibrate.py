"""polycontrast calibrate completes a run's configuration from a role that it has not seen."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from polycontrast.cli import app
from polycontrast.errors import UserError
from polycontrast.io.files import read_json, write_json

from .. import models


@pytest.fixture
def split(tmp_path: Path) -> Path:
    write_json(tmp_path / "split.json", {"gan": ["Tiny_0"], "train": ["Tiny_1"]})
    return tmp_path / "split.json"


def test_what_was_trained_on_is_refused_before_it_is_read(tmp_path: Path, cohort: Path, split: Path) -> None:
    run = models.make_run(tmp_path / "run", models.any_subset(), cases=["Tiny_1"])
    arguments = ["calibrate", "--model", run, "--data", cohort, "--split", split, "--cache", tmp_path / "cache"]
    with pytest.raises(UserError, match="trained on Tiny_1"):
        CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=False)
    assert not (tmp_path / "cache").exists()


def test_it_writes_the_intervals_of_every_way(tmp_path: Path, cohort: Path, cache: Path, split: Path) -> None:
    run = models.make_run(tmp_path / "run", models.any_subset())
    arguments = ["calibrate", "--model", run, "--data", cohort, "--split", split, "--cache", cache]
    done = CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=False)
    assert done.exit_code == 0
    assert "Tiny_1: 28 ways" in done.output
    assert len(read_json(run / "config.json")["confidence"]) == 28

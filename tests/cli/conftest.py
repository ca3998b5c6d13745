"""The command line, called in this process as its entry point is, or in one of its own."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from polycontrast import cli

from .. import models


class Answer(NamedTuple):
    code: int
    out: str
    err: str


Call = Callable[..., Answer]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """call("synth", "--model", run ...) -> exit code, output, errors."""
    monkeypatch.setattr("polycontrast.device.keep_memory", lambda: False)  # would change the tests after this one
    monkeypatch.setitem(cli._state, "debug", False)

    def answer(*arguments: object) -> Answer:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["polycontrast", *map(str, arguments)])
        code: Any = 0
        try:
            cli.main()
        except SystemExit as end:
            code = end.code or 0
        return Answer(code, *capsys.readouterr())

    return answer


@pytest.fixture(scope="session")
def process(tmp_path_factory: pytest.TempPathFactory) -> Call:
    """The same by `python -m polycontrast` in an empty folder."""
    folder = tmp_path_factory.mktemp("elsewhere")

    def answer(*arguments: object) -> Answer:
        done = subprocess.run(
            [sys.executable, "-m", "polycontrast", *map(str, arguments)],
            cwd=folder, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, encoding="utf-8", check=False,
        )  # fmt: skip
        return Answer(done.returncode, done.stdout, done.stderr)

    return answer


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder of a model with random weights."""
    return models.make_run(tmp_path_factory.mktemp("runs") / "tiny")


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Mosaics are not drawn, which would take a second each, but noted here."""
    calls: list[Path] = []
    for place in ("polycontrast.infer.cohort", "polycontrast.metrics.gallery"):
        monkeypatch.setattr(f"{place}.pictures.mosaic", lambda path, *_, **__: calls.append(path))
    return calls

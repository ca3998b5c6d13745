"""What `pip install` brings: the shipped model is in the wheel, and works without a network."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from polycontrast import runs

from . import models, tiny

ROOT = Path(__file__).parents[1]
# In a process of its own: no socket can be made, and only the wheel's files are found.
OFFLINE = """
import socket, sys
class Refused(socket.socket):
    def __init__(self, *_, **__):
        raise AssertionError("a socket was asked for")
socket.socket = Refused
import polycontrast
from polycontrast import cli
assert polycontrast.__file__.startswith(sys.argv[1]), polycontrast.__file__
model = polycontrast.Synthesizer.load("any2any")
assert model.name == "any2any" and "T1ce" in model.want
sys.argv = ["polycontrast", "synth", "--t2", sys.argv[2], "-o", "out", "--device", "cpu"]
cli.main()
"""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built of a copy of the sources, with a stand-in for the shipped model where they lack it."""
    copy, out = tmp_path_factory.mktemp("sources"), tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    shutil.copytree(ROOT / "src", copy / "src", ignore=shutil.ignore_patterns("*.egg-info", "__pycache__"))
    weights = copy / "src/polycontrast/weights"
    if not (weights / runs.SHIPPED_WEIGHTS).exists():
        models.make_shipped(weights)
        shutil.rmtree(copy / "src/polycontrast/weights_run")
    pip = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", out, copy]
    done = subprocess.run(pip, capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stderr
    (file,) = out.glob("*.whl")
    return file


def test_the_model_is_in_the_wheel(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        sizes = {info.filename: info.file_size for info in archive.infolist()}
    inside = {name: sizes.get(f"polycontrast/weights/{name}", 0) for name in (runs.SHIPPED_WEIGHTS, runs.CONFIG)}
    assert all(inside.values()), inside
    assert inside[runs.SHIPPED_WEIGHTS] <= 12_000_000
    assert "polycontrast/weights/README.md" in sizes


def test_it_synthesises_without_a_network(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    given = tiny.write(tmp_path / "P1_t2.nii.gz", tiny.images(0)[0]["t2"])
    done = subprocess.run(
        [sys.executable, "-c", OFFLINE, tmp_path / "site", given],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(tmp_path / "site")}, capture_output=True, encoding="utf-8",
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    made = {file.name for file in (tmp_path / "out/P1").iterdir()}
    assert {f"P1_{c}_{kind}.nii.gz" for c in ("t1", "t1ce", "flair") for kind in ("synth", "confidence")} <= made


@pytest.mark.skipif(
    not (ROOT / "src/polycontrast/weights" / runs.SHIPPED_WEIGHTS).exists(),
    reason="the weights of the shipped model are not in this checkout",
)
def test_the_demo_as_a_new_user_calls_it(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "polycontrast", "demo", "-o", "demo"],
        cwd=tmp_path, capture_output=True, encoding="utf-8", check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "What there is now:" in done.stdout
    assert (tmp_path / "demo/evaluation/report.html").is_file()

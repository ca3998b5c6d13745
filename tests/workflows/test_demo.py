"""The demo leaves what it promises, with the shipped model or one it trains, and overwrites nothing."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

from polycontrast import runs
from polycontrast.contrasts import slug
from polycontrast.errors import UserError
from polycontrast.io import nifti
from polycontrast.workflows import demo as module
from polycontrast.workflows.demo import demo

from .. import models, tiny

MADE = (
    "figure.png",
    "phantoms/split.json",
    "phantoms/Phantom_00020/Phantom_00020_t2.nii.gz",
    "synthetic/Phantom_00022/Phantom_00022_synth.png",
)
JUDGED = (
    "evaluation/cases.csv",
    "evaluation/summary.json",
    "evaluation/summary.md",
    "evaluation/worst_t1.png",
    "evaluation/worst_flair.png",
)
TRAINED = ("run/config.json", "run/metrics.jsonl", "run/progress.png", "run/checkpoint/weights.safetensors")


def not_drawn(path: Path, *_: object, **__: object) -> None:
    """Stands for a mosaic, which takes a second to draw; the slow test draws them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (1, 1)).save(path)  # the report shows it


def not_judged(_synthetic: Path, _data: Path, out: Path, **_: object) -> SimpleNamespace:
    """Stands for the evaluation, which takes long; the demo of the shipped model has one."""
    out.mkdir()
    return SimpleNamespace(rows=())


def check(out: Path, *left: str) -> None:
    assert [name for name in (*MADE, *left) if not (out / name).is_file()] == []
    given = nifti.read(out / "phantoms/Phantom_00022/Phantom_00022_t2.nii.gz")
    for contrast in ("FLAIR", "T1ce", "T1"):
        file = out / f"synthetic/Phantom_00022/Phantom_00022_{slug(contrast)}_synth.nii.gz"
        made = nifti.read(file)
        assert made.geometry.header.binaryblock[40:56] == given.geometry.header.binaryblock[40:56]
        assert (made.geometry.affine == given.geometry.affine).all()
        assert (
            json.loads(file.with_name(file.name.replace(".nii.gz", ".json")).read_text(encoding="utf-8"))["synthetic"]
            is True
        )


@pytest.fixture
def coarse(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SHAPE", (48, 48, 32))
    monkeypatch.setattr(module, "SPACING", 5.0)
    monkeypatch.setattr("polycontrast.pictures.mosaic", not_drawn)


@pytest.mark.usefixtures("coarse")
def test_demo_of_coarse_phantoms_and_the_shipped_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = models.make_shipped(tmp_path / "weights")
    monkeypatch.setattr(runs, "shipped", lambda: folder)
    told: list[str] = []
    out = demo(tmp_path / "demo", patients=3, tell=told.append)
    check(out, *JUDGED)
    assert (out / "synthetic/Phantom_00022/Phantom_00022_t1_confidence.nii.gz").is_file()
    assert not (out / "run").exists()
    assert all(Path(line.split("\n")[0].strip()).exists() for line in told[-4:])
    table = next(line for line in told if "PSNR" in line)
    assert all(control in table for control in ("copy", "mean image", "constant"))


@pytest.mark.usefixtures("coarse")
def test_demo_of_coarse_phantoms_and_a_tiny_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "evaluate", not_judged)
    told: list[str] = []
    out = demo(tmp_path / "demo", recipe=tiny.recipe(images=8), patients=3, tell=told.append, progress=False)
    check(out, *TRAINED)
    assert list(out.glob("run/preview/*.png"))
    places = [line.split("\n")[0].strip() for line in told[-4:]]
    assert all(Path(place).is_dir() for place in places)
    assert any("PSNR" in line for line in told)
    split = json.loads((out / "phantoms/split.json").read_text(encoding="utf-8"))
    trained = json.loads((out / "run/config.json").read_text(encoding="utf-8"))["cases"]
    assert trained == split["gan"]
    assert split["test"] == ["Phantom_00022"]


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_a_place_that_is_taken_is_refused_before_anything_is_made(tmp_path: Path, kind: str) -> None:
    out = tmp_path / "demo"
    mine = out / "mine.txt" if kind == "folder" else out
    mine.parent.mkdir(exist_ok=True)
    mine.write_text("mine")
    with pytest.raises(UserError, match="not an empty folder") as caught:
        demo(out, patients=3, tell=lambda _: None)
    assert caught.value.path == out
    assert [p.name for p in tmp_path.rglob("*") if p.is_file()] == [mine.name]


@pytest.mark.slow
def test_demo_that_trains_as_a_new_user_calls_it(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "polycontrast", "demo", "--train", "--images", "16", "--patients", "3"]
    done = subprocess.run(
        command, cwd=tmp_path, env=dict(os.environ), capture_output=True, encoding="utf-8", check=False
    )
    assert done.returncode == 0, done.stderr
    check(tmp_path / "demo", *TRAINED, *JUDGED)
    assert "What there is now:" in done.stdout


def test_the_shipped_model_has_seen_none_of_the_demos_phantoms() -> None:
    shown = {f"Phantom_{module.SEED + i:05d}" for i in range(4)}
    assert not shown & set(runs.read_config("any2any").cases)

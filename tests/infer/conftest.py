"""Models with random weights, small volumes, and a stand-in for the mosaic, which takes a second to draw."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from polycontrast.infer.synthesizer import Synthesizer
from polycontrast.io.volume import Geometry, Volume

from .. import models, tiny

Draw = Callable[..., Volume]


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder: from T2 to FLAIR, T1ce and T1, in the paper's units."""
    return models.make_run(tmp_path_factory.mktemp("runs") / "tiny")


@pytest.fixture(scope="session")
def synthesizer(run: Path) -> Synthesizer:
    return Synthesizer.load(run)


@pytest.fixture(scope="session")
def volume_units(tmp_path_factory: pytest.TempPathFactory) -> Synthesizer:
    """The same with per-volume normalisation."""
    recipe = models.in_volume_units(tiny.recipe())
    return Synthesizer.load(models.make_run(tmp_path_factory.mktemp("runs") / "native", recipe))


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Mosaics are not drawn but noted here, by their panels; an empty file stands for each."""
    calls: list[list[str]] = []

    def note(path: Path, panels: dict[str, Any], **_: Any) -> None:
        calls.append(list(panels))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()

    monkeypatch.setattr("polycontrast.infer.cohort.pictures.mosaic", note)
    return calls


def brain(shape: tuple[int, int, int], seed: int = 0) -> np.ndarray:
    """Positive noise in an ellipsoid that fills most of the array, one corner of it cut off; zeros around."""
    axes = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    inside = (sum(a * a for a in axes) < 0.9) & (axes[0] + axes[1] + axes[2] < 0.8)
    if not inside.any():
        inside[:] = True
    values = np.random.default_rng(seed).uniform(50, 500, shape).astype(np.float32)
    return np.where(inside, values, np.float32(0))


def volume(shape: tuple[int, int, int], affine: np.ndarray, seed: int = 0) -> Volume:
    return Volume(brain(shape, seed), Geometry.from_affine(shape, affine))

"""Patients of a few kilobytes and a recipe of a few thousand weights."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from polycontrast import config
from polycontrast.contrasts import DEFAULT
from polycontrast.data.configs import DataConfig
from polycontrast.recipes import Recipe, TrainConfig
from polycontrast.systems.base import OptimiserConfig
from polycontrast.systems.pix2pix import Pix2pixConfig
from polycontrast.systems.stargan import StarganConfig
from polycontrast.systems.tcmgan import TcmganConfig

CONTRASTS = ("t1", "t1ce", "t2", "flair")
SPACING = 5.0
LPS = np.diag([-SPACING, -SPACING, SPACING, 1.0])


def images(
    seed: int, shape: tuple[int, int, int] = (48, 48, 12)
) -> tuple[dict[str, NDArray[np.float32]], NDArray[np.uint8]]:
    """Four contrasts of one ellipsoid "brain", each its own mixture of one smooth tissue and a lesion; BraTS labels."""
    rng = np.random.default_rng(seed)
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    brain = (x / 0.7) ** 2 + (y / 0.8) ** 2 + (z / 0.9) ** 2 < 1
    waves = rng.normal(0, 3, (4, 3))
    tissue = sum(np.cos(a * x + b * y + c * z + i) for i, (a, b, c) in enumerate(waves)) / 4
    off = rng.uniform(-0.25, 0.25, 3)
    far = np.sqrt((x - off[0]) ** 2 + (y - off[1]) ** 2 + (z - off[2]) ** 2)
    labels = np.select([far < 0.12, far < 0.2, far < 0.3], [1, 4, 2], 0).astype(np.uint8) * brain
    mixtures = {"t1": (1.0, -0.3), "t1ce": (0.9, 0.9), "t2": (-0.8, 0.5), "flair": (-0.3, 0.8)}
    return {
        name: (brain * 300 * (2 + a * tissue + b * (labels > 0) * (1 + 0.2 * (labels == 4)))).astype(np.float32)
        for name, (a, b) in mixtures.items()
    }, labels


def draw_case(folder: Path, case: str, seed: int = 0, **changed: NDArray[Any] | None) -> Path:
    """Write a case with BraTS 2021's names; `changed` replaces an image or "seg", or leaves it out (None)."""
    contrasts, labels = images(seed)
    for name, array in ({**contrasts, "seg": labels} | changed).items():
        if array is not None:
            write(folder / case / f"{case}_{name}.nii.gz", array)
    return folder / case


def write(path: Path, array: NDArray[Any], affine: NDArray[np.float64] = LPS) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array, affine), path)
    return path


def recipe(**train: Any) -> Recipe:
    """TC-MGAN with a few thousand weights at 32 x 32, three turns after a pre-training; float32."""
    adam = OptimiserConfig(((0.0, 2e-3), (0.5, 1e-3)))
    system = TcmganConfig(
        rec=1.0, cls=1.0, seg=20.0, gp=10.0, pretrain=0.25, levels=5, base=4, critic_base=4, seg_base=4,
        generator=adam, discriminator=OptimiserConfig(((0.0, 2e-4),)), segmenter=OptimiserConfig(((0.0, 1e-3),)),
    )  # fmt: skip
    settings = TrainConfig(batch=4, images=32, bfloat16=(), log_every=8, checkpoint_every=16, preview_every=10**9)
    return Recipe("tiny", system, DataConfig(size=32, min_area=2000.0), replace(settings, **train))


def pairwise(have: tuple[str, ...] = ("T2",), want: str = "T1") -> Recipe:
    """pix2pix, made for one wanted contrast, in a few thousand weights."""
    system = Pix2pixConfig(have=have, want=(want,), levels=5, base=4, critic_base=4, tanh=False)
    data = DataConfig(contrasts=(want, *have), size=32, units="volume", lesion=False)
    return Recipe("pairwise", system, data, replace(recipe().train, batch=2))


def labelled(cohorts: Sequence[Sequence[str]] = (DEFAULT,)) -> Recipe:
    """StarGAN, which takes any of the contrasts of these cohorts as source."""
    labels = tuple(map(tuple, cohorts))
    names = tuple(dict.fromkeys(name for some in labels for name in some))
    system = StarganConfig(
        have=names, want=names, exclusive=(True,) * len(labels), blocks=1, base=4, critic_levels=4, critic_base=4,
        critics=2, tanh=False,
    )  # fmt: skip
    data = DataConfig(contrasts=names, size=32, min_area=2000.0, units="volume", lesion=False, labels=labels)
    return Recipe("labelled", system, data, replace(recipe().train, batch=2))


def as_file(recipe: Recipe, path: Path) -> Path:
    """The recipe as JSON, for a script."""
    path.write_text(json.dumps(config.to_dict(recipe)))
    return path


def start(script: Path, *arguments: object, env: dict[str, str] | None = None) -> subprocess.Popen[str]:
    """Start a script of the tests in a Python of its own."""
    command: Sequence[str] = [sys.executable, str(script), *map(str, arguments)]
    surroundings = {**os.environ, "OMP_NUM_THREADS": "1", **(env or {})}
    return subprocess.Popen(command, env=surroundings, encoding="utf-8", stderr=subprocess.PIPE)


def finish(process: subprocess.Popen[str]) -> None:
    """Wait for its end, which must be a good one."""
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors

"""A synthetic patient in several contrasts: anatomy by seed, seen through the MR signal equations.

    phantom = make(seed=3)                      # BraTS grid, skull-stripped, with a glioma
    write_case(phantom, folder, "Phantom_00003")
    write_cohort(folder, 10, shape=(64, 64, 48), spacing=3.5)

A phantom tests code and teaches; it says nothing about patients.
"""

import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from polycontrast.contrasts import DEFAULT, canonical_set, slug
from polycontrast.data import anatomy
from polycontrast.data.anatomy import Patient, Tissue
from polycontrast.data.sequences import RELAXATION, SEQUENCES, Sequence
from polycontrast.data.shapes import Array, Points, waves
from polycontrast.errors import UserError
from polycontrast.io import files, nifti
from polycontrast.io.volume import Affine, Geometry

SEGMENTATION = {Tissue.NECROSIS: 1, Tissue.OEDEMA: 2, Tissue.ENHANCING: 4}  # the labels of BraTS 2012-2021
_FINEST_NEEDED = 1.75  # mm; coarser grids average voxels of about this size, else sulci would alias
_SLAB = 16  # layers of fine voxels painted at a time: keeps temporary arrays small


@dataclass(frozen=True, eq=False)
class Phantom:
    """A synthetic patient, all arrays [X, Y, Z] on one grid, axes to the patient's left, back and top as in BraTS.

    contrasts: name -> float32 in arbitrary scanner units, whole numbers, at least 1 in the brain; 0 outside it unless
    the head is shown. segmentation: 1 necrosis, 2 oedema, 4 enhancing. tissue: the `Tissue` that fills most of a voxel.
    affine: voxel index -> mm (RAS+), [4, 4]. sequences: what each contrast was made with.
    """

    contrasts: dict[str, Array]
    segmentation: NDArray[np.uint8]
    brain: NDArray[np.bool_]
    tissue: NDArray[np.uint8]
    affine: Affine
    seed: int
    sequences: dict[str, Sequence]


def make(
    seed: int,
    shape: tuple[int, int, int] = (240, 240, 155),
    spacing: float = 1.0,
    *,
    lesion: bool = True,
    skull: bool = False,
    contrasts: Iterable[str] = DEFAULT,
    jitter: float = 0.0,
) -> Phantom:
    """The patient of a seed: the same anatomy on any grid, with or without lesion; the same call gives the same bytes.

    spacing: mm, isotropic; a grid smaller than the brain shows its middle. jitter: TR, TE and flip angle are
    multiplied by exp(u), u uniform within +-jitter. UserError for a contrast without a sequence or impossible numbers.
    """
    names = canonical_set(contrasts)
    unknown = [name for name in names if name not in SEQUENCES]
    if unknown:
        raise UserError(f"no phantom of contrast {unknown[0]}", hint=f"there are {', '.join(SEQUENCES)}")
    if len(shape) != 3 or min(shape) < 2 or not 0 < spacing < math.inf or not 0 <= jitter <= 1 or seed < 0:
        found = f"seed {seed}, shape {shape}, spacing {spacing}, jitter {jitter}"
        raise UserError(
            f"no phantom with {found}", hint="three sizes of 2 or more, spacing above 0, jitter 0 to 1, seed from 0"
        )
    sequences = {name: SEQUENCES[name].jittered(_stream(seed, "sequence", name), jitter) for name in names}
    signals, tissue = _painted(anatomy.draw_patient(seed, lesion), list(sequences.items()), shape, spacing, skull)
    brain = (tissue > Tissue.AIR) & (tissue < Tissue.MENINGES)
    where = np.ones_like(brain) if skull else brain
    images = {
        name: _scanned(signal, brain, where, spacing, _stream(seed, "scan", name))
        for name, signal in zip(names, signals, strict=True)
    }
    segmentation = np.zeros_like(tissue)
    for kind, label in SEGMENTATION.items():
        segmentation[tissue == kind] = label
    affine = np.diag([-spacing, -spacing, spacing, 1.0])
    affine[1, 3] = (shape[1] - 1) * spacing
    return Phantom(images, segmentation, brain, tissue, affine, seed, sequences)


def write_case(phantom: Phantom, folder: Path, case_id: str) -> Path:
    """Writes `<case_id>/<case_id>_{t1,t1ce,t2,flair,seg}.nii.gz` as BraTS 2021 does; returns the case's folder."""
    case = Path(folder) / case_id
    geometry = Geometry.from_affine(phantom.segmentation.shape, phantom.affine)
    text = f"SYNTHETIC phantom, seed {phantom.seed}"
    for name, image in phantom.contrasts.items():
        nifti.write(case / f"{case_id}_{slug(name)}.nii.gz", image, geometry, description=text)
    nifti.write(case / f"{case_id}_seg.nii.gz", phantom.segmentation, geometry, description=text)
    return case


def write_cohort(
    folder: Path,
    count: int,
    *,
    seed: int = 0,
    shape: tuple[int, int, int] = (240, 240, 155),
    spacing: float = 1.0,
    jitter: float = 0.1,
    contrasts: tuple[str, ...] = DEFAULT,
) -> Path:
    """Writes cases of seeds seed, seed + 1 ..., called by them (Phantom_00000 ...), and `split.json`; returns `folder`.

    The split names each case's role: a fifth *train*, a fifth *test*, at least one each, the others *gan*.
    """
    if count < 3:
        raise UserError(f"a cohort of {count} cannot fill three roles", hint="ask for 3 phantoms or more")
    names = [f"Phantom_{seed + i:05d}" for i in range(count)]
    for i, name in enumerate(names):
        write_case(make(seed + i, shape, spacing, contrasts=contrasts, jitter=jitter), folder, name)
    few = max(1, count // 5)
    split = {
        "gan": names[: count - 2 * few],
        "train": names[count - 2 * few : count - few],
        "test": names[count - few :],
    }
    files.write_json(Path(folder) / "split.json", split)
    return Path(folder)


def _stream(seed: int, *purpose: str) -> np.random.Generator:
    """Random numbers of their own for each purpose, so that asking for one contrast more changes no other."""
    return np.random.default_rng([seed, 2, crc32(" ".join(purpose).encode())])


def _parts(spacing: float) -> int:
    """Into how many parts a voxel's edge is divided for painting."""
    return max(1, round(spacing / _FINEST_NEEDED))


def _painted(
    patient: Patient, sequences: list[tuple[str, Sequence]], shape: tuple[int, int, int], spacing: float, skull: bool
) -> tuple[Array, NDArray[np.uint8]]:
    """(noise-free signals [C, X, Y, Z], tissue [X, Y, Z]), painted slab by slab where there is anything to paint."""
    palette = np.zeros((len(Tissue), len(sequences)), dtype=np.float32)
    for kind, relaxation in RELAXATION.items():
        for i, (name, sequence) in enumerate(sequences):
            palette[kind, i] = sequence.signal(relaxation.enhanced() if name == "T1ce" else relaxation)
    signals = np.zeros((len(sequences), *shape), dtype=np.float32)
    tissue = np.zeros(shape, dtype=np.uint8)
    extent = anatomy.HEAD_MM if skull else anatomy.BRAIN_MM
    low = [max(0, math.floor(n / 2 - mm / spacing)) for n, mm in zip(shape, extent, strict=True)]
    high = [min(n, math.ceil(n / 2 + mm / spacing)) for n, mm in zip(shape, extent, strict=True)]
    thick = max(1, _SLAB // _parts(spacing))
    for bottom in range(low[2], high[2], thick):
        spans = [(low[0], high[0]), (low[1], high[1]), (bottom, min(bottom + thick, high[2]))]
        box = tuple(slice(a, b) for a, b in spans)
        signals[:, *box], tissue[box] = _slab(patient, palette, spans, shape, spacing, skull)
    return signals, tissue


def _slab(
    patient: Patient,
    palette: Array,
    spans: list[tuple[int, int]],
    shape: tuple[int, int, int],
    spacing: float,
    skull: bool,
) -> tuple[Array, NDArray[np.uint8]]:
    """The voxels within spans, painted on a finer grid if they are large; one more all around serves the gradients."""
    parts = _parts(spacing)
    axes = [
        (((np.arange(a * parts - 1, b * parts + 1) + 0.5) / parts - n / 2) * spacing).astype(np.float32)
        for (a, b), n in zip(spans, shape, strict=True)
    ]
    points = Points(axes[0][:, None, None], axes[1][None, :, None], axes[2][None, None, :], spacing / parts)
    size = [len(axis) - 2 for axis in axes]
    signals = np.zeros((palette.shape[1], *size), dtype=np.float32)
    tissue = np.zeros(size, dtype=np.uint8)
    for kind, share in anatomy.layers(patient, points, skull):
        inner = share[1:-1, 1:-1, 1:-1]
        if inner.any():
            for signal, level in zip(signals, palette[kind], strict=True):
                signal += inner * (level - signal)
            tissue[inner > 0.5] = kind
    if parts == 1:
        return signals, tissue
    present = np.unique(tissue)
    most = np.argmax([_pooled(tissue == kind, parts) for kind in present], axis=0)
    return np.stack([_pooled(signal, parts) for signal in signals]), present[most]


def _pooled(fine: NDArray[Any], parts: int) -> Array:
    """Mean over blocks of parts x parts x parts voxels."""
    offsets = itertools.product(range(parts), repeat=3)
    total = sum(fine[i::parts, j::parts, k::parts].astype(np.float32) for i, j, k in offsets)
    return np.asarray(total / parts**3, dtype=np.float32)


def _scanned(
    signal: Array, brain: NDArray[np.bool_], where: NDArray[np.bool_], spacing: float, rng: np.random.Generator
) -> Array:
    """What a scanner delivers within `where`: smooth coil bias, Rician noise, arbitrary units, whole numbers.

    Bias about +-10 %; noise of 1.5 to 3 % of the mean brain (Gudbjartsson and Patz, MRM 1995); mean brain 300 to 1000.
    """
    axes = [((np.arange(n) + 0.5 - n / 2) * spacing).astype(np.float32) for n in signal.shape]
    bias = waves(rng, 300, 5)(axes[0][:, None, None], axes[1][None, :, None], axes[2][None, None, :])
    mean = float(signal[brain].mean()) if brain.any() else 1.0
    gain = math.exp(float(rng.uniform(math.log(300), math.log(1000)))) / mean
    spread = float(rng.uniform(0.015, 0.03)) * mean
    true = signal[where] * np.exp(0.06 * bias[where])
    real, imaginary = rng.standard_normal((2, true.size), dtype=np.float32) * np.float32(spread)
    image = np.zeros_like(signal)
    image[where] = np.rint(gain * np.hypot(true + real, imaginary))
    np.maximum(image, 1, out=image, where=brain)
    return image

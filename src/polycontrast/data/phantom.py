"""A synthetic patient in several contrasts: anatomy by seed, seen through the MR signal equations.

    phantom = make(seed=3)                      # BraTS grid, skull-stripped, with a glioma
    write_case(phantom, folder, "Phantom_00003")
    write_cohort(folder, 10, shape=(64, 64, 48), spacing=3.5)

A phantom tests code and teaches; it says nothing about patients.
"""

import itertools
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from polycontrast.contrasts import DEFAULT, canonical_set, slug
from polycontrast.data import anatomy
from polycontrast.data.anatomy import Patient, Tissue
from polycontrast.data.shapes import Array, Points, waves
from polycontrast.errors import UserError
from polycontrast.io import files, nifti
from polycontrast.io.volume import Affine, Geometry

SEGMENTATION = {Tissue.NECROSIS: 1, Tissue.OEDEMA: 2, Tissue.ENHANCING: 4}  # the labels of BraTS 2012-2021
_RELAXIVITY = (4.1e-3, 4.6e-3)  # r1, r2 of Gd-DTPA in plasma at 1.5 T, per mM and ms (Rohrer et al., Invest Radiol 2005)
_FINEST_NEEDED = 1.75  # mm; coarser grids average voxels of about this size, else sulci would alias
_SLAB = 16  # voxels painted at a time: temporary arrays stay in the processor's cache


@dataclass(frozen=True)
class Relaxation:
    """T1 and T2 in ms, proton density (water = 1), gadolinium in mmol/l some minutes after a standard dose."""

    t1: float
    t2: float
    density: float
    gadolinium: float = 0.0

    def enhanced(self) -> "Relaxation":
        """After gadolinium: relaxation rates rise in proportion to its concentration."""
        r1, r2 = (r * self.gadolinium for r in _RELAXIVITY)
        return replace(self, t1=1 / (1 / self.t1 + r1), t2=1 / (1 / self.t2 + r2))


# At 1.5 T. White and grey matter, fat and muscle: BrainWeb (Kwan et al., IEEE TMI 1999). CSF: T1 of Rooney et al., MRM 2007.
# The rest lies in the ranges that Bottomley et al., Med Phys 1987, and Just and Thelen, Radiology 1988 (tumours) report.
RELAXATION: Mapping[Tissue, Relaxation] = {
    Tissue.AIR: Relaxation(1000, 50, 0),
    Tissue.CSF: Relaxation(4300, 1500, 1.0),
    Tissue.WHITE: Relaxation(500, 70, 0.77, 0.01),
    Tissue.GREY: Relaxation(833, 83, 0.86, 0.015),
    Tissue.DEEP_GREY: Relaxation(740, 78, 0.85, 0.015),
    Tissue.PALLIDUM: Relaxation(620, 62, 0.80, 0.01),
    Tissue.BLOOD: Relaxation(1400, 40, 0.8, 1.0),
    Tissue.CHOROID: Relaxation(1200, 110, 0.9, 0.6),
    Tissue.GLIOSIS: Relaxation(850, 110, 0.86, 0.01),
    Tissue.OEDEMA: Relaxation(1100, 140, 0.90, 0.01),
    Tissue.ENHANCING: Relaxation(1200, 115, 0.90, 0.8),
    Tissue.NECROSIS: Relaxation(2000, 220, 0.95, 0.03),
    Tissue.MENINGES: Relaxation(2000, 150, 0.9, 0.3),
    Tissue.BONE: Relaxation(1000, 1, 0.05),
    Tissue.MARROW: Relaxation(350, 60, 0.6),
    Tissue.FAT: Relaxation(350, 70, 1.0),
    Tissue.MUSCLE: Relaxation(900, 47, 1.0, 0.1),
}


class Sequence(Protocol):
    """A pulse sequence: the signal of a tissue, 0..1."""

    def signal(self, tissue: Relaxation) -> float: ...

    def jittered(self, rng: np.random.Generator, jitter: float) -> "Sequence": ...


def _factor(rng: np.random.Generator, jitter: float) -> float:
    return math.exp(jitter * float(rng.uniform(-1, 1)))


@dataclass(frozen=True)
class SpinEcho:
    """S = density (1 - exp(-TR/T1)) exp(-TE/T2); times in ms (Bernstein et al., Handbook of MRI Pulse Sequences, 2004)."""

    tr: float
    te: float

    def signal(self, tissue: Relaxation) -> float:
        return tissue.density * (1 - math.exp(-self.tr / tissue.t1)) * math.exp(-self.te / tissue.t2)

    def jittered(self, rng: np.random.Generator, jitter: float) -> "SpinEcho":
        return SpinEcho(self.tr * _factor(rng, jitter), self.te * _factor(rng, jitter))


@dataclass(frozen=True)
class InversionRecovery:
    """S = density |1 - 2 exp(-TI/T1) + exp(-TR/T1)| exp(-TE/T2), with TI where a tissue of T1 `nulled` gives nothing."""

    tr: float
    te: float
    nulled: float

    @property
    def ti(self) -> float:
        return self.nulled * (math.log(2) - math.log1p(math.exp(-self.tr / self.nulled)))

    def signal(self, tissue: Relaxation) -> float:
        recovered = 1 - 2 * math.exp(-self.ti / tissue.t1) + math.exp(-self.tr / tissue.t1)
        return tissue.density * abs(recovered) * math.exp(-self.te / tissue.t2)

    def jittered(self, rng: np.random.Generator, jitter: float) -> "InversionRecovery":
        """TI follows TR, as on a scanner."""
        return InversionRecovery(self.tr * _factor(rng, jitter), self.te * _factor(rng, jitter), self.nulled)


@dataclass(frozen=True)
class SpoiledGradientEcho:
    """S = density sin a (1 - E) / (1 - E cos a) exp(-TE/T2), E = exp(-TR/T1), flip angle a in degrees (ibid.).

    T2 stands for T2*, which an echo of a few ms hardly feels.
    """

    tr: float
    te: float
    flip: float

    def signal(self, tissue: Relaxation) -> float:
        left, angle = math.exp(-self.tr / tissue.t1), math.radians(self.flip)
        steady = math.sin(angle) * (1 - left) / (1 - left * math.cos(angle))
        return tissue.density * steady * math.exp(-self.te / tissue.t2)

    def jittered(self, rng: np.random.Generator, jitter: float) -> "SpoiledGradientEcho":
        tr, te, flip = (v * _factor(rng, jitter) for v in (self.tr, self.te, self.flip))
        return SpoiledGradientEcho(tr, te, flip)


SEQUENCES: Mapping[str, Sequence] = {
    "T1": SpinEcho(tr=500, te=12),
    "T1ce": SpoiledGradientEcho(tr=10, te=3, flip=15),
    "T2": SpinEcho(tr=5000, te=100),
    "FLAIR": InversionRecovery(tr=9000, te=110, nulled=4300),
    "PD": SpinEcho(tr=4000, te=15),
}


@dataclass(frozen=True, eq=False)
class Phantom:
    """A synthetic patient, all arrays [X, Y, Z] on one grid, axes to the patient's left, back and top as in BraTS.

    contrasts: name -> float32 in arbitrary scanner units, whole numbers, at least 1 in the brain; 0 outside it unless
    the head is shown. segmentation: 1 necrosis, 2 oedema, 4 enhancing. tissue: the `Tissue` that fills most of the voxel.
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

    spacing: mm, isotropic; a grid smaller than the brain shows its middle. jitter: TR, TE and flip angle are multiplied by
    exp(u), u uniform within +-jitter. UserError for a contrast without a sequence.
    """
    names = canonical_set(contrasts)
    unknown = [name for name in names if name not in SEQUENCES]
    if unknown:
        raise UserError(f"no phantom of contrast {unknown[0]}", hint=f"there are {', '.join(SEQUENCES)}")
    if len(shape) != 3 or min(shape) < 2 or not 0 < spacing < math.inf or not 0 <= jitter <= 1 or seed < 0:
        found = f"seed {seed}, shape {shape}, spacing {spacing}, jitter {jitter}"
        raise UserError(f"no phantom with {found}", hint="three sizes of 2 or more, spacing above 0, jitter 0 to 1, seed from 0")
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
    """Writes `<folder>/<case_id>/<case_id>_{t1,t1ce,t2,flair,seg}.nii.gz`, the names of BraTS 2021; returns that folder."""
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
) -> Path:
    """Writes cases Phantom_00000 ... of seeds seed, seed + 1 ... and `split.json`; returns the folder.

    The split names each case's role: a fifth *train*, a fifth *test*, at least one each, the others *gan*.
    """
    if count < 3:
        raise UserError(f"a cohort of {count} cannot fill three roles", hint="ask for 3 phantoms or more")
    names = [f"Phantom_{i:05d}" for i in range(count)]
    for i, name in enumerate(names):
        write_case(make(seed + i, shape, spacing, jitter=jitter), folder, name)
    few = max(1, count // 5)
    split = {"gan": names[: count - 2 * few], "train": names[count - 2 * few : count - few], "test": names[count - few :]}
    files.write_json(Path(folder) / "split.json", split)
    return Path(folder)


def _stream(seed: int, *purpose: str) -> np.random.Generator:
    """Random numbers of their own for each purpose, so that asking for one contrast more changes no other."""
    return np.random.default_rng([seed, 2, crc32(" ".join(purpose).encode())])


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
    for bottom in range(low[2], high[2], _SLAB):
        spans = [(low[0], high[0]), (low[1], high[1]), (bottom, min(bottom + _SLAB, high[2]))]
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
    """The voxels within spans: painted on a finer grid if the voxels are large, with one more all around for gradients."""
    parts = max(1, round(spacing / _FINEST_NEEDED))
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

"""MR signal equations, and the relaxation times of the phantom's tissues."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from polycontrast.data.anatomy import Tissue

_RELAXIVITY = (
    4.1e-3,
    4.6e-3,
)  # r1, r2 of Gd-DTPA in plasma at 1.5 T, per mM and ms (Rohrer et al., Invest Radiol 2005)


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


# At 1.5 T. White and grey matter, fat and muscle: BrainWeb (Kwan et al., IEEE TMI 1999). T1 of CSF: Rooney et al., MRM
# 2007. The others are round numbers in the ranges of Bottomley et al., Med Phys 1987, and (tumours) Just and Thelen,
# Radiology 1988; the gadolinium is chosen so that rim and veins are about twice as bright as white matter on T1ce.
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
    """S = density (1 - exp(-TR/T1)) exp(-TE/T2), times in ms.

    This and the two below: Bernstein, King, Zhou, Handbook of MRI Pulse Sequences, 2004.
    """

    tr: float
    te: float

    def signal(self, tissue: Relaxation) -> float:
        return tissue.density * (1 - math.exp(-self.tr / tissue.t1)) * math.exp(-self.te / tissue.t2)

    def jittered(self, rng: np.random.Generator, jitter: float) -> "SpinEcho":
        return SpinEcho(self.tr * _factor(rng, jitter), self.te * _factor(rng, jitter))


@dataclass(frozen=True)
class InversionRecovery:
    """S = density |1 - 2 exp(-TI/T1) + exp(-TR/T1)| exp(-TE/T2), TI such that a tissue of T1 `nulled` gives nothing."""

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
    """S = density sin a (1 - E) / (1 - E cos a) exp(-TE/T2), E = exp(-TR/T1), flip angle a in degrees.

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

"""The phantom's anatomy: which tissue lies where, as functions of millimetres, random by seed.

One patient is the same on every grid. Coordinates are in mm, x to the patient's left, y to the back, z to the top, 0
at the centre of the brain. Positions are those of an average adult; they are symmetric in |x| before the deformation.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from polycontrast.data.shapes import (
    Array,
    Points,
    Triple,
    Waves,
    both,
    either,
    ellipsoid,
    fold,
    sheet,
    soft,
    tube,
    waves,
)

BRAIN_MM = (80, 102, 90)  # no brain reaches farther from the centre than this along x, y, z
HEAD_MM = (100, 125, 125)


class Tissue(IntEnum):
    """What a voxel is made of."""

    AIR = 0
    CSF = 1
    WHITE = 2
    GREY = 3
    DEEP_GREY = 4
    PALLIDUM = 5
    BLOOD = 6
    CHOROID = 7
    GLIOSIS = 8
    OEDEMA = 9
    ENHANCING = 10
    NECROSIS = 11
    MENINGES = 12  # from here on: outside the brain
    BONE = 13
    MARROW = 14
    FAT = 15
    MUSCLE = 16


@dataclass(frozen=True, eq=False)
class Lesion:
    """A glioma: centre, radius of its core, depth of the enhancing rim and reach of the oedema, in mm."""

    centre: Triple
    radius: float
    rim: float
    reach: float
    coarse: Waves
    fine: Waves


@dataclass(frozen=True, eq=False)
class Patient:
    """All that is random in one anatomy."""

    size: Triple  # of the brain, 1 = average
    bend: tuple[Waves, Waves, Waves]  # the smooth deformation
    gyri: Waves
    twigs: Waves  # the secondary sulci
    sway: Waves  # how deep sulci go and how they bend
    folia: Waves
    vessels: Waves
    sulcus: float  # half the width of a sulcus, mm
    ribbon: float  # thickness of the cortex, mm
    wide: float  # ventricles wider than average by, mm
    caps: float  # gliosis along the ventricles, 0..1
    lesion: Lesion | None


def draw_patient(seed: int, lesion: bool) -> Patient:
    """The patient of a seed; with and without lesion it is the same patient."""
    rng = np.random.default_rng([seed, 0])
    size = [float(s) for s in rng.normal(1, (0.03, 0.035, 0.03)).clip(0.94, 1.06)]
    age = float(rng.uniform())  # of the brain, 0..1: wider sulci and ventricles
    return Patient(
        size=(size[0], size[1], size[2]),
        bend=(waves(rng, 110, 5), waves(rng, 110, 5), waves(rng, 110, 5)),
        gyri=waves(rng, 23, 24),
        twigs=waves(rng, 17, 24),
        sway=waves(rng, 40, 10),
        folia=waves(rng, 7, 12, stretch=(6, 1.5, 1)),
        vessels=waves(rng, 60, 10),
        sulcus=0.35 + 0.4 * age + float(rng.uniform(0, 0.2)),
        ribbon=float(rng.uniform(2.4, 3.1)),
        wide=3 * age**2 + float(rng.uniform(-0.6, 1)),
        caps=0.4 * age + float(rng.uniform(0, 0.3)),
        lesion=_draw_lesion(np.random.default_rng([seed, 1])) if lesion else None,
    )


def _draw_lesion(rng: np.random.Generator) -> Lesion:
    """Somewhere in the white matter of one hemisphere."""
    angle, out = float(rng.uniform(0, 2 * np.pi)), float(np.sqrt(rng.uniform()))
    radius = float(np.exp(rng.uniform(np.log(10), np.log(20))))
    return Lesion(
        centre=(
            float(rng.choice([-1.0, 1.0]) * rng.uniform(26, 40)),
            5 + 48 * out * float(np.cos(angle)),
            18 + 24 * out * float(np.sin(angle)),
        ),
        radius=radius,
        rim=max(3.0, float(rng.uniform(0.2, 0.4)) * radius),
        reach=float(rng.uniform(8, 20)),
        coarse=waves(rng, 40, 10),
        fine=waves(rng, 14, 12),
    )


def layers(patient: Patient, p: Points, skull: bool) -> Iterator[tuple[Tissue, Array]]:
    """The tissues from back to front; each covers what came before by its share of a voxel, [X, Y, Z] in 0..1."""
    q = _deformed(patient, p)
    hull = _cerebrum(q)
    small_hull = _cerebellum(q)
    stem = _brainstem(q)
    brain = either(either(hull, small_hull, 10), np.minimum(stem, q.z + 80), 12) + 0.6
    if skull:
        yield from _head(q, brain)
    inside = soft(brain, p)
    yield Tissue.CSF, inside
    folded, ribbon = _cortex(patient, q, hull, stem)
    folia = fold(q, small_hull, np.zeros_like(hull), patient.folia, np.full_like(hull, 11), 0.25)
    tissue = np.maximum(np.maximum(folded, folia), stem)
    share = soft(tissue, p) * inside
    yield Tissue.WHITE, share
    yield Tissue.GREY, share * np.clip(0.05 + 0.05 * patient.sway(p.x, p.y, p.z), 0, 0.15)  # myelin varies
    nuclei, pallidum = _nuclei(q)
    fluid = _ventricles(patient, q, nuclei)
    yield Tissue.GLIOSIS, patient.caps * soft(fluid + 3, p, 4)
    if patient.lesion is not None:
        core, necrosis, oedema = _lesion(patient.lesion, p)
        # not across the tentorium or down the brainstem
        yield Tissue.OEDEMA, soft(oedema, p, 5) * share * soft(folded - np.maximum(folia, stem), p, 3)
    yield Tissue.GREY, share * _grey(p, folded, ribbon, folia, stem)
    yield Tissue.DEEP_GREY, soft(nuclei, p, 1.5)
    yield Tissue.PALLIDUM, soft(pallidum, p, 1.5)
    yield Tissue.CSF, soft(fluid, p)
    yield Tissue.CHOROID, soft(tube(q, (8, 4, 18, 0.8), (16, 24, 15, 1.2), (25, 36, 6, 2.2)), p)
    yield Tissue.BLOOD, soft(_vessels(patient, q, hull, folded), p) * inside
    if patient.lesion is not None:
        inside = soft(brain - 2, p)
        yield Tissue.ENHANCING, soft(core, p, 1.5) * inside
        yield Tissue.NECROSIS, soft(necrosis, p, 1.5) * inside


def _deformed(patient: Patient, p: Points) -> Points:
    """Grid points -> points of the average head: size, smooth bending, and the pressure of the lesion around it."""
    at = [p.x, p.y, p.z]
    if patient.lesion is not None:
        off = [c - centre for c, centre in zip(at, patient.lesion.centre, strict=True)]
        far = (off[0] ** 2 + off[1] ** 2 + off[2] ** 2) / (1.4 * patient.lesion.radius) ** 2
        pull = 0.3 * np.exp(-far)
        at = [c - pull * o for c, o in zip(at, off, strict=True)]
    x, y, z = (
        np.asarray(c / size + 1.8 * bend(p.x, p.y, p.z), dtype=np.float32)
        for c, size, bend in zip(at, patient.size, patient.bend, strict=True)
    )
    return Points(x, y, z, p.spacing)


def _cerebrum(p: Points) -> Array:
    """The smooth hull of both hemispheres, the fissure between them filled."""
    upper = either(ellipsoid(p, (13, -26, 0), (46, 58, 54)), ellipsoid(p, (13, 16, 3), (53, 70, 66)), 20)
    upper = both(upper, p.z - _floor(p), 8)
    return either(upper, ellipsoid(p, (42, -4, -22), (22, 43, 24), tilt=0.15), 6)


def _floor(p: Points) -> Array:
    """Height of the cerebrum's underside, mm: flat in front, behind the tentorium, which rises towards the midline."""
    behind = np.clip(p.y / 30, 0, 1)
    return np.asarray(-24 + behind * (10 - 0.22 * np.abs(p.x)), dtype=np.float32)


def _core(p: Points) -> Array:
    """The middle that the fissure does not cut, bounded by the corpus callosum: an ellipse in y and z."""
    return ellipsoid(Points(np.zeros_like(p.x), p.y, p.z, p.spacing), (0, 3, 5), (1000, 39, 23))


def _cortex(patient: Patient, p: Points, hull: Array, stem: Array) -> tuple[Array, Array]:
    """(the folded cerebrum, the thickness of the grey ribbon there), in mm."""
    core = _core(p)
    # next to the corpus callosum and the basal nuclei there are no folds and no ribbon
    lateral = np.clip((np.abs(p.x) - 1.5 * core) / 12, 0, 1)
    hemisphere = both(hull, np.hypot(p.x, np.maximum(core, 0)) - 0.4, 8)
    sway = patient.sway(p.x, p.y, p.z)
    cisterns = either(stem + 1.8 + 0.8 * sway, ellipsoid(p, (0, -10, -20), (15, 9, 7)), 6)
    hemisphere = both(hemisphere, -both(cisterns, -10 - p.z, 6), 4)
    lateral, medial = lateral * patient.ribbon, lateral * np.clip(0.4 + np.abs(p.x) / 40, 0, 1)
    deep, shallow = np.clip(15 + 6 * sway, 8, 22) * medial, np.clip(8 - 4 * sway, 2, 13) * medial
    unlike = Points(p.x, p.y + 8 * np.sign(p.x), p.z, p.spacing)  # else the two medial faces would mirror each other
    folded = fold(unlike, hemisphere, 2.5 * sway, patient.gyri, deep, patient.sulcus)
    folded = np.minimum(folded, fold(unlike, hemisphere, -2.5 * sway, patient.twigs, shallow, patient.sulcus))
    folded = np.minimum(folded, _sylvian(p, sway) - 0.3 - patient.sulcus)
    return folded, np.asarray(lateral, dtype=np.float32)


def _sylvian(p: Points, sway: Array) -> Array:
    """Distance to the lateral fissure: a rising cleft, and the insula's wall at its end."""
    above = 0.9 * (p.z + 7 - 0.5 * (p.y + 15)) + 2 * sway
    side = np.abs(p.x) + 1.5 * sway
    cleft = np.hypot(above, np.maximum(38 - side, 0))
    insula = np.hypot(side - 38, np.maximum(np.abs(above) - 10, 0))
    return np.asarray(np.hypot(np.minimum(cleft, insula), np.maximum(np.abs(p.y - 2) - 28, 0)), dtype=np.float32)


def _cerebellum(p: Points) -> Array:
    """The smooth hull of the cerebellum: two hemispheres and the vermis, under the tentorium."""
    hull = either(ellipsoid(p, (22, 45, -37), (30, 33, 26)), ellipsoid(p, (0, 44, -34), (14, 27, 26)), 6)
    return both(hull, _floor(p) - 0.5 - p.z, 4)


def _brainstem(p: Points) -> Array:
    """Midbrain, pons and medulla."""
    column = tube(p, (0, 6, -4, 13), (0, 8, -18, 12), (0, 12, -34, 12), (0, 18, -52, 8), (0, 24, -90, 6.5))
    return either(column, ellipsoid(p, (0, 4, -33), (16, 12, 13)), 5)


def _grey(p: Points, folded: Array, ribbon: Array, folia: Array, stem: Array) -> Array:
    """The share of grey in tissue: the cortical ribbon, the cerebellum's, and some throughout the brainstem."""
    in_cerebrum = folded >= np.maximum(folia, stem)
    share = np.where(in_cerebrum, soft(ribbon - folded, p), soft(1.6 - folia, p))
    return np.asarray(np.where(stem > np.maximum(folded, folia), 0.3, share), dtype=np.float32)


def _nuclei(p: Points) -> tuple[Array, Array]:
    """(caudate, putamen, thalamus and hippocampus, the pallidum)."""
    caudate = tube(p, (13, -28, 3, 6.5), (14, -16, 10, 6.5), (17, 0, 14, 5), (22, 18, 17, 2.5))
    putamen = ellipsoid(p, (27, -6, 3), (5.5, 17, 11), tilt=-0.25)
    thalamus = ellipsoid(p, (11, 9, 6), (8.5, 15, 9.5), tilt=-0.4)
    hippocampus = tube(p, (25, -2, -22, 4), (26, 12, -18, 3.5), (22, 26, -6, 2.5))
    grey = np.maximum(np.maximum(caudate, putamen), np.maximum(thalamus, hippocampus))
    return grey, ellipsoid(p, (20, -4, 1), (4, 10, 7), tilt=-0.5)


def _ventricles(patient: Patient, p: Points, nuclei: Array) -> Array:
    """All ventricles; callosum, septum and nuclei press the lateral ones into their horned shape."""
    body = tube(
        p, (6, -32, 3, 3.5), (8, -25, 10, 7.5), (8, -12, 16, 7.5), (9, 6, 17, 7), (15, 22, 17, 6), (24, 36, 9, 6)
    )
    horns = tube(p, (22, 58, 4, 1.5), (24, 36, 9, 6), (29, 26, -4, 3.2), (32, 8, -16, 1.8), (31, -4, -19, 1.2))
    roof = np.minimum(np.abs(p.x) - 0.9, _core(p) - 5 + 0.25 * np.abs(p.x))
    lateral = both(both(np.maximum(body, horns) + patient.wide, roof, 3), 0.5 * patient.wide - nuclei, 2)
    third = ellipsoid(p, (0, -2, -1), (1.8 + 0.5 * max(patient.wide, 0), 13, 11))
    fourth = ellipsoid(p, (0, 26, -36), (8, 5, 11))
    aqueduct = tube(p, (0, 12, -4, 1), (0, 18, -20, 1.2), (0, 24, -30, 2))
    return np.maximum(np.maximum(lateral, third), np.maximum(fourth, aqueduct))


def _vessels(patient: Patient, p: Points, hull: Array, folded: Array) -> Array:
    """Venous sinuses, middle cerebral arteries, and small vessels where a smooth sheet meets the cortex's surface."""
    sagittal = np.minimum(2.8 - np.hypot(p.x, hull - 0.5), p.z + 8)
    transverse = tube(p, (0, 82, -12, 3.2), (25, 76, -16, 3), (48, 50, -22, 3), (52, 30, -34, 2.5))
    straight = tube(p, (0, 82, -12, 2.2), (0, 48, 6, 1.8), (0, 36, 12, 1.8))
    middle = tube(p, (2, -14, -26, 1.6), (10, -14, -22, 1.6), (26, -16, -14, 1.4), (36, -12, -6, 1.2))
    near = np.abs(folded + 0.6) < 3
    values = np.full_like(hull, 10)
    values[near] = patient.vessels(p.x[near], p.y[near], p.z[near])
    small = 0.9 - np.hypot(sheet(values, p.spacing), np.maximum(np.abs(folded + 0.6) - 0.4, 0))
    small = np.minimum(small, 6 - hull)
    large = np.maximum(np.maximum(sagittal, transverse), np.maximum(straight, middle))
    return np.asarray(np.maximum(large, small), dtype=np.float32)


def _lesion(lesion: Lesion, p: Points) -> tuple[Array, Array, Array]:
    """(the core, the necrosis within, the oedema around), irregular; oedema shows where white matter lets it."""
    x, y, z = (c - centre for c, centre in zip((p.x, p.y, p.z), lesion.centre, strict=True))
    coarse, fine, other = lesion.coarse(p.x, p.y, p.z), lesion.fine(p.x, p.y, p.z), lesion.coarse(p.y, p.z, p.x)
    core = lesion.radius * np.clip(1 + 0.18 * coarse + 0.07 * fine, 0.75, 1.4) - np.sqrt(x * x + y * y + z * z)
    necrosis = core - lesion.rim * np.clip(1 + 0.45 * other, 0.4, 1.4)
    oedema = core + lesion.reach * np.clip(1 + 0.5 * other + 0.2 * fine, 0.2, 2)
    return core, necrosis, oedema


def _head(p: Points, brain: Array) -> Iterator[tuple[Tissue, Array]]:
    """Scalp, skull with marrow, and the meninges around the brain."""
    outside = either(brain + 15, ellipsoid(p, (0, -22, -62), (58, 66, 62)), 20)
    yield Tissue.FAT, soft(outside, p)
    yield Tissue.MUSCLE, soft(outside - 4, p)
    yield Tissue.BONE, soft(brain + 8, p)
    yield Tissue.MARROW, soft(1.3 - np.abs(brain + 5.2), p)
    yield Tissue.MENINGES, soft(brain + 2, p)

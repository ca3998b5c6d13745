"""Known distortions of a real volume, for `distortions.py` and the tests of the measures.

Each takes a `Reference` and returns [X, Y, Z] float32 in normalised units (brain mean 0.5, SD 0.25), 0 outside the
brain unless the background is what is distorted.
"""

from collections.abc import Callable
from functools import partial
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from polycontrast.data.grid import bounding_box
from polycontrast.data.intensity import MEAN, Mask
from polycontrast.io.volume import Array
from polycontrast.metrics.reference import Reference

IDENTITY, YARDSTICK, ERASED = "none", "blur, sigma 1 mm", "tumour erased"
EDGE = 3.0  # mm over which a graft fades into what surrounds it
Distortion = Callable[[Reference], Array]
T = TypeVar("T", bound=np.generic)


def blurred(against: Reference, mm: float) -> Array:
    """Gaussian blur of this sigma that does not draw the background into the brain."""
    sigma = [mm / edge for edge in against.spacing]
    return _inside(against, _smoothed(against, lambda image: ndimage.gaussian_filter(image, sigma)))


def thick(against: Reference, mm: float) -> Array:
    """Every run of axial slices of this thickness shows its mean."""
    count, slices = max(1, round(mm / against.spacing[2])), against.truth.shape[2]
    starts = np.arange(0, slices, count)

    def summed(image: Array) -> Array:
        return np.repeat(np.add.reduceat(image, starts, axis=2), count, axis=2)[:, :, :slices]

    return _inside(against, _smoothed(against, summed))


def noisy(against: Reference, sd: float) -> Array:
    """White Gaussian noise added."""
    return _inside(against, against.truth + np.random.default_rng(0).normal(0, sd, against.truth.shape))


def banded(against: Reference, sd: float) -> Array:
    """Every axial slice with a gain of its own, drawn around 1: what normalising slice by slice leaves."""
    return _inside(against, against.truth * np.random.default_rng(0).normal(1, sd, against.truth.shape[2]))


def shifted(against: Reference, mm: float) -> Array:
    """Moved to the right; 0 moves in."""
    return _inside(against, ndimage.shift(against.truth, (mm / against.spacing[0], 0, 0), order=1))


def rotated(against: Reference, degrees: float) -> Array:
    """Turned in the axial plane about the middle of the volume, by cubic splines, which blur little."""
    return _inside(against, ndimage.rotate(against.truth, degrees, axes=(0, 1), reshape=False, order=3))


def mapped(against: Reference, of: Callable[[Array], NDArray[np.floating]]) -> Array:
    """Other grey levels, voxel by voxel."""
    return _inside(against, of(against.truth))


def mirrored(against: Reference) -> Array:
    """Left and right exchanged about the middle of the brain's box; as it was where the mirror shows no brain."""
    other, known = _mirror(against)
    return np.where(known, other, against.truth)


def erased(against: Reference) -> Array:
    """The whole tumour replaced by what lies opposite, or by healthy brain's mean where that is tumour or no brain."""
    other, known = _mirror(against)
    tumour, healthy = against.regions["tumour"], against.regions["healthy"]
    mean = against.truth[healthy].mean() if healthy.any() else np.float32(MEAN)
    graft = np.where(known & ~_flipped(against, tumour), other, mean)
    return _grafted(against, graft, _fading(against, tumour))


def invented(against: Reference) -> Array:
    """A copy of the tumour on the other side; the tumour itself stays as it is."""
    other, known = _mirror(against)
    tumour = against.regions["tumour"]
    share = _flipped(against, _fading(against, tumour))
    return _grafted(against, other, np.where(known & ~tumour, share, 0))


def outside(against: Reference, value: float) -> Array:
    """This value all over the background."""
    return np.where(against.brain, against.truth, np.float32(value))


DISTORTIONS: dict[str, Distortion] = {
    IDENTITY: lambda against: against.truth,
    YARDSTICK: partial(blurred, mm=1.0),
    "blur, sigma 2 mm": partial(blurred, mm=2.0),
    "slices of 5 mm": partial(thick, mm=5.0),
    "noise, SD 0.1": partial(noisy, sd=0.1),
    "slices' gains, SD 0.1": partial(banded, sd=0.1),
    "shift by 2 mm": partial(shifted, mm=2.0),
    "rotation by 2°": partial(rotated, degrees=2.0),
    "gain 1.2": partial(mapped, of=lambda image: 1.2 * image),
    "offset +0.1": partial(mapped, of=lambda image: image + 0.1),
    "gamma 0.7": partial(mapped, of=lambda image: np.copysign(np.abs(image) ** 0.7, image)),
    "negative": partial(mapped, of=lambda image: 2 * MEAN - image),
    "hemispheres swapped": mirrored,
    ERASED: erased,
    "tumour invented": invented,
    "background 0.2": partial(outside, value=0.2),
}


def _inside(against: Reference, image: NDArray[np.floating]) -> Array:
    return np.where(against.brain, image, 0).astype(np.float32)


def _smoothed(against: Reference, linear: Callable[[Array], Array]) -> Array:
    """A linear filter for which only the brain exists."""
    weight = linear(against.brain.astype(np.float32))
    return np.asarray(linear(against.truth) / np.maximum(weight, 1e-6), dtype=np.float32)


def _flipped(against: Reference, array: NDArray[T]) -> NDArray[T]:
    """Mirrored about the middle of the brain's box, along x."""
    (start, stop), _, _ = bounding_box(against.brain)
    turned = array.copy()
    turned[start:stop] = array[start:stop][::-1]
    return turned


def _mirror(against: Reference) -> tuple[Array, Mask]:
    """The mirrored truth, and where in the brain it shows brain."""
    return _flipped(against, against.truth), against.brain & _flipped(against, against.brain)


def _fading(against: Reference, mask: Mask) -> Array:
    """1 in the mask, falling to 0 within EDGE mm around it."""
    if not mask.any():
        return np.zeros(mask.shape, dtype=np.float32)
    away = ndimage.distance_transform_edt(~mask, sampling=against.spacing)
    return np.asarray(np.clip(1 - away / EDGE, 0, 1), dtype=np.float32)


def _grafted(against: Reference, graft: Array, share: NDArray[np.floating]) -> Array:
    return _inside(against, against.truth + share * (graft - against.truth))

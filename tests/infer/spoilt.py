"""Ways in which an image may be unlike those known, made from a patient's good ones."""

from collections.abc import Iterator, Mapping

import numpy as np
from scipy import ndimage

Way = tuple[str, str, np.ndarray, tuple[float, float, float]]  # what was done, the contrast said, array, mm
ONE = (1.0, 1.0, 1.0)
AXES = ((0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0))


def ways(given: Mapping[str, np.ndarray], *, further: bool) -> Iterator[Way]:
    """given: stripped images of 1 mm, canonical axes. further: also those that take a while."""
    for said, array in given.items():
        yield "as it is", said, array, ONE
        yield from ((f"{shown} offered as {said}", said, given[shown], ONE) for shown in given if shown != said)
        mask = ndimage.binary_fill_holes(array != 0)
        yield f"{said} inverted", said, np.where(mask, array[mask].max() - array, 0), ONE
    if further:
        for said in ("T1", "T2"):
            yield from _placed(said, given[said])
            yield from _skulls(said, given[said])
            yield from _parts(said, given[said])


def _placed(said: str, array: np.ndarray) -> Iterator[Way]:
    yield "every 5th slice kept (5 mm)", said, array[:, :, ::5], (1.0, 1.0, 5.0)
    for axes in AXES:
        yield "axes exchanged or turned by 90 degrees", said, array.transpose(axes), ONE
    yield "upside down", said, array[:, :, ::-1], ONE
    yield "back to front", said, array[:, ::-1], ONE
    yield "both (turned by 180 degrees)", said, array[:, ::-1, ::-1], ONE
    yield "left and right exchanged", said, array[::-1], ONE
    yield "voxels said to be 0.7 mm", said, array, (0.7, 0.7, 0.7)


def _skulls(said: str, array: np.ndarray) -> Iterator[Way]:
    brain = np.pad(array, 14)
    mask = ndimage.binary_fill_holes(brain != 0)
    far = ndimage.distance_transform_edt(~mask)
    scalp = np.where((far > 4) & (far <= 10), np.float32(1.3 * np.percentile(brain[mask], 90)), brain)
    yield "skull: a shell of 6 mm after a gap of 4 mm", said, scalp, ONE
    bottom = int(np.flatnonzero(mask.any(axis=(0, 1)))[0])
    opened = scalp.copy()
    opened[:, :, : bottom + 16] = brain[:, :, : bottom + 16]
    yield "skull: the same, open below", said, opened, ONE


def _parts(said: str, array: np.ndarray) -> Iterator[Way]:
    """Other bodies: tissue is a piece of the real one, so that only the shape is wrong."""
    middle = array.shape[2] // 2
    yield "lower half missing", said, np.where(np.arange(array.shape[2]) < middle, 0, array), ONE
    x, y, z = np.meshgrid(*(np.arange(n) - n / 2 for n in (200, 200, 155)), indexing="ij", sparse=True)
    values = np.random.default_rng(0).normal(300, 60, (200, 200, 155)).astype(np.float32)
    shapes = {
        "a limb": (x * x + y * y < 45**2) & (z > -200),
        "an ellipsoid of a brain's size": (x / 68) ** 2 + (y / 84) ** 2 + (z / 70) ** 2 < 1,
        "a pelvis": ((x / 98) ** 2 + (y / 70) ** 2 < 1) & (z > -200),
    }
    for name, where in shapes.items():
        yield f"body part: {name}", said, np.where(where, values, 0).astype(np.float32), ONE

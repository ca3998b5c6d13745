"""What is unlike the training images is told; what is like them is not."""

import numpy as np
import pytest

from polycontrast.data import phantom
from polycontrast.infer.flags import flags
from polycontrast.io.volume import Geometry, Volume

from .conftest import volume


def of(made: phantom.Phantom) -> Volume:
    image = made.contrasts["T2"]
    return Volume(image, Geometry.from_affine(image.shape, made.affine))


def test_a_skull_stripped_phantom_is_not_flagged() -> None:
    assert flags(of(phantom.make(1, (60, 60, 40), 3.0))) == []


def test_a_phantom_with_its_skull_is() -> None:
    (told,) = flags(of(phantom.make(1, (60, 60, 40), 3.0, skull=True)))
    assert "strip the skull" in told


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_thick_slices_are_told_with_their_thickness_along_any_axis(axis: int) -> None:
    spacing = np.insert([1.0, 1.0], axis, 5.5)
    (told,) = flags(volume((20, 20, 20), np.diag([*spacing, 1.0])))
    assert "5.5 mm" in told


def test_both_are_told_at_once() -> None:
    given = volume((6, 6, 6), np.diag([1.0, 1.0, 6.0, 1.0]))
    assert len(flags(given.with_array(given.array + 1))) == 2


def test_a_brain_that_touches_the_edge_of_a_tight_crop_is_not_flagged() -> None:
    given = volume((20, 20, 20), np.eye(4))
    touching = np.zeros((20, 20, 20), np.float32)
    touching[5:15, 5:15, :15] = 1
    assert flags(given.with_array(touching)) == []

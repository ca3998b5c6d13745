from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polycontrast.data import intensity
from polycontrast.errors import UserError
from polycontrast.io.volume import Geometry, Volume


def brain(gain: float = 1.0, offset: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """An image whose background is zero, and its mask."""
    rng = np.random.default_rng(0)
    mask = np.zeros((12, 10, 8), dtype=bool)
    mask[2:10, 2:8, 1:7] = True
    return (np.where(mask, rng.gamma(4, 100, mask.shape), 0) * gain + offset * mask).astype(np.float32), mask


@given(gain=st.floats(1e-6, 1e6), offset=st.floats(0, 1000))
def test_the_brain_gets_mean_a_half_and_sd_a_quarter_whatever_its_units(gain: float, offset: float) -> None:
    image, mask = brain(gain, offset * gain)
    values = intensity.fit(image, mask).apply(image, mask)[mask].astype(np.float64)
    assert values.mean() == pytest.approx(0.5, abs=1e-4)
    assert values.std() == pytest.approx(0.25, abs=1e-4)


@given(gain=st.floats(1e-6, 1e6), offset=st.floats(0, 1000))
def test_undo_is_the_inverse_of_apply(gain: float, offset: float) -> None:
    image, mask = brain(gain, offset * gain)
    fit = intensity.fit(image, mask)
    back = fit.undo(fit.apply(image, mask), mask)
    np.testing.assert_allclose(back, image, rtol=0, atol=2e-6 * float(image.max()))


def test_nothing_is_clipped_and_the_background_is_zero_both_ways() -> None:
    image, mask = brain()
    image[5, 5, 5] = 1e4
    fit = intensity.fit(image, mask)
    normalised = fit.apply(image, mask)
    assert normalised[5, 5, 5] > 3
    assert not normalised[~mask].any()
    assert not fit.undo(np.ones_like(image), mask)[~mask].any()
    assert normalised.dtype == np.float32


@pytest.mark.parametrize("brain_of_others", [False, True])
def test_an_empty_image_is_refused_in_these_words_beside_others_too(brain_of_others: bool) -> None:
    with pytest.raises(UserError, match="every voxel is zero") as caught:
        intensity.fit(np.zeros((3, 3, 3), np.float32), np.full((3, 3, 3), brain_of_others))
    assert "leave it out" in caught.value.hint


@pytest.mark.parametrize("value", [1.0, 1e-7, 12345.678])
def test_an_image_constant_inside_the_brain_is_refused(value: float) -> None:
    with pytest.raises(UserError, match="constant"):
        intensity.fit(np.full((9, 9, 9), value, np.float32), np.ones((9, 9, 9), bool))


def test_the_brain_mask_joins_all_images_and_fills_their_holes() -> None:
    shell = np.zeros((9, 9, 9), np.float32)
    shell[1:8, 1:8, 1:8] = 5
    shell[3:6, 3:6, 3:6] = 0  # fluid that is exactly zero
    other = np.zeros_like(shell)
    other[8, 4, 4] = -1
    mask = intensity.brain_mask([shell, other])
    expected = np.zeros(shell.shape, bool)
    expected[1:8, 1:8, 1:8] = True
    expected[8, 4, 4] = True
    np.testing.assert_array_equal(mask, expected)


def test_the_brain_mask_of_nothing_is_empty() -> None:
    assert not intensity.brain_mask([np.zeros((3, 3, 3), np.float32)]).any()


def placed(array: np.ndarray) -> Volume:
    return Volume(array, Geometry.from_affine(array.shape, np.eye(4)))


@pytest.mark.parametrize("value", [2.6e-5, -1.0, -1024.0])
def test_a_background_of_one_value_everywhere_becomes_zero_and_the_brain_stays(value: float) -> None:
    image, mask = brain()
    filled = np.where(mask, image, np.float32(value))
    filled[5, 5, 4] = value  # fluid as dark as the background
    found = intensity.zero_background(placed(filled)).array
    np.testing.assert_array_equal(intensity.brain_mask([found]), mask)
    np.testing.assert_array_equal(found[mask], filled[mask])
    assert not found[~mask].any()


def test_so_it_does_where_the_brain_touches_edges_but_not_where_many_of_their_voxels_differ() -> None:
    image = np.full((8, 8, 8), -1, np.float32)
    image[3:5, 3:, :5] = 7  # an edge cuts through it, and another one begins at it
    assert not intensity.zero_background(placed(image)).array[0, 0].any()
    image[1:7, 7, 7] = image[1:7, 0, 0] = image[0, 1:7, 0] = image[0, 0, 1:7] = 3
    other = placed(image)
    assert intensity.zero_background(other) is other


@pytest.mark.parametrize("kind", ["zero background", "noise", "constant"])
def test_other_volumes_stay_what_they_are(kind: str) -> None:
    noise = np.random.default_rng(0).uniform(1, 5, (6, 6, 6)).astype(np.float32)
    array = {"zero background": brain()[0], "noise": noise, "constant": np.full((6, 6, 6), 3, np.float32)}[kind]
    volume = placed(array)
    assert intensity.zero_background(volume) is volume


def test_of_several_images_the_one_that_cannot_be_used_is_named() -> None:
    image, mask = brain()
    with pytest.raises(UserError, match="constant") as caught:
        intensity.fits([image, np.ones_like(image)], mask, [Path("t1.nii.gz"), Path("t2.nii.gz")])
    assert caught.value.path == Path("t2.nii.gz")
    assert intensity.fits([image], mask, [None]) == [intensity.fit(image, mask)]


def test_slice_max_is_each_slices_own_and_one_where_it_is_empty() -> None:
    slices = np.zeros((2, 3, 4, 4), np.float32)
    slices[0, 1, 2, 2], slices[1, 2, 0, 0] = 7, 0.5
    np.testing.assert_array_equal(intensity.slice_max(slices)[..., 0, 0], [[1, 7, 1], [1, 1, 0.5]])

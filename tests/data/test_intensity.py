import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polycontrast.data import intensity
from polycontrast.errors import UserError


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


def test_an_empty_image_is_refused() -> None:
    with pytest.raises(UserError, match="no brain"):
        intensity.fit(np.zeros((3, 3, 3), np.float32), np.zeros((3, 3, 3), bool))


@pytest.mark.parametrize("value", [0.0, 1.0, 1e-7, 12345.678])
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


def test_slice_max_is_each_slices_own_and_one_where_it_is_empty() -> None:
    slices = np.zeros((2, 3, 4, 4), np.float32)
    slices[0, 1, 2, 2], slices[1, 2, 0, 0] = 7, 0.5
    np.testing.assert_array_equal(intensity.slice_max(slices)[..., 0, 0], [[1, 7, 1], [1, 1, 0.5]])

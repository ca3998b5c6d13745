"""Blur, edges and power: they see what smoothing takes, and not the edge of the brain."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage
from skimage.measure import blur_effect

from polycontrast.metrics.sharpness import blur, gradient, gradient_error, interior, power_spectrum, ring_correlation

Image = NDArray[np.float32]
Mask = NDArray[np.bool_]

SHAPE = (64, 72, 6)


@pytest.fixture(name="noise")
def _noise() -> Image:
    """White, everywhere, of SD 0.25 about 0.5."""
    return np.random.default_rng(0).normal(0.5, 0.25, SHAPE).astype(np.float32)


@pytest.fixture(name="brain")
def _brain() -> Mask:
    x, y, _ = np.meshgrid(*(np.linspace(-1, 1, n) for n in SHAPE), indexing="ij")
    return np.hypot(x, y) < 0.9


def smoothed(image: Image, sigma: float) -> Image:
    return ndimage.gaussian_filter(image, (sigma, sigma, 0))


def test_blur_equals_scikit_image_where_nothing_lies_at_the_edge(noise) -> None:
    """It sums all but the outermost pixels, here only those that see no edge are summed: the same if these hold all."""
    slice_ = np.zeros(SHAPE[:2])
    slice_[20:-20, 20:-20] = smoothed(noise, 1.0)[20:-20, 20:-20, 0]
    expected = blur_effect(slice_)
    for axis in (0, 1):  # the larger of two directions, whichever that is
        turned = np.moveaxis(slice_, 0, axis)[:, :, None]
        assert blur(turned, np.ones(turned.shape, bool)) == pytest.approx(expected, abs=1e-6)


def test_blur_rises_with_smoothing_and_falls_with_noise(noise, brain) -> None:
    values = [blur(smoothed(noise, sigma), brain) for sigma in (0, 0.5, 1, 2, 4)]
    assert values == sorted(values)
    assert values[0] < 0.2
    assert values[-1] > 0.6


def test_blur_does_not_look_at_the_brains_edge(noise, brain) -> None:
    smooth = smoothed(noise, 4.0)
    stripped = np.where(brain, smooth, np.float32(0))
    assert blur(stripped, brain) == pytest.approx(blur(smooth, brain), abs=1e-6)
    assert blur_effect(stripped[:, :, 0]) < blur(stripped, brain) - 0.2  # it takes the edge for detail


def test_an_image_without_edges_is_wholly_blurred_and_a_sliver_of_brain_has_no_value(brain) -> None:
    assert blur(np.full(SHAPE, 0.5, np.float32), brain) == 1
    sliver = np.zeros(SHAPE, bool)
    sliver[30:34, 30:34] = True
    assert blur(np.full(SHAPE, 0.5, np.float32), sliver) is None


def test_gradient_equals_numpys_central_differences(noise) -> None:
    expected = np.sqrt(sum(part**2 for part in np.gradient(noise)))
    inside = np.s_[1:-1, 1:-1, 1:-1]
    np.testing.assert_allclose(gradient(noise)[inside], expected[inside], rtol=1e-5)


def test_gradient_error_by_hand() -> None:
    truth = np.zeros((8, 8, 8), np.float32) + 3 * np.arange(8, dtype=np.float32)[:, None, None]
    image = np.zeros((8, 8, 8), np.float32) + 2 * np.arange(8, dtype=np.float32)[None, :, None]
    all_of_it = np.ones(truth.shape, bool)
    inner = interior(np.pad(np.ones((6, 6, 6), bool), 1))
    assert inner.sum() == 4**3
    assert gradient_error(truth, image, inner, all_of_it) == pytest.approx(1 / 3)
    assert gradient_error(truth, truth, all_of_it, all_of_it) == 0
    assert gradient_error(truth, 0 * truth, all_of_it, all_of_it) == pytest.approx(1)


def test_gradient_error_sees_blur_and_is_blind_to_an_offset(noise, brain) -> None:
    truth = smoothed(noise, 1.0)
    errors = [gradient_error(truth, smoothed(truth, sigma), brain, brain) for sigma in (0, 0.5, 1, 2)]
    assert errors == sorted(errors)
    assert errors[-1] > 0.5
    assert gradient_error(truth, truth + np.float32(0.2), brain, brain) == pytest.approx(0, abs=1e-4)


def test_gradient_error_does_not_see_the_brains_edge(noise, brain) -> None:
    truth = np.where(brain, noise, np.float32(0))
    other = np.where(brain, noise, np.float32(9))
    assert gradient_error(truth, other, brain, brain) == 0


def test_gradient_error_has_no_value_without_voxels_or_gradients(noise, brain) -> None:
    assert gradient_error(noise, noise, np.zeros(SHAPE, bool), brain) is None
    assert gradient_error(np.ones(SHAPE, np.float32), noise, brain, brain) is None
    rim = brain & ~interior(brain)
    assert gradient_error(noise, noise, rim, brain) is None


def test_a_waves_power_lies_at_its_frequency_in_cycles_per_mm() -> None:
    spacing = (0.5, 1.5, 5.0)
    x = np.arange(160) * spacing[0]
    image = np.zeros((160, 60, 3)) + np.sin(2 * np.pi * 0.2 * x)[:, None, None]
    frequencies, power = power_spectrum(image.astype(np.float32), np.ones(image.shape, bool), spacing)
    assert frequencies[power.argmax()] == pytest.approx(0.2, abs=0.02)
    assert frequencies[0] == pytest.approx(1 / 80)
    assert frequencies[-1] == pytest.approx(0.5 / 1.5, abs=1 / 80)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 99), sd=st.floats(0.05, 2), edge=st.floats(0.8, 3), radius=st.floats(0.5, 0.9))
def test_white_noise_has_its_variance_times_a_pixel_at_every_frequency_in_any_mask(seed, sd, edge, radius) -> None:
    x, y, _ = np.meshgrid(*(np.linspace(-1, 1, n) for n in SHAPE), indexing="ij")
    image = np.random.default_rng(seed).normal(3, sd, SHAPE).astype(np.float32)
    _, power = power_spectrum(image, np.hypot(x, y) < radius, (edge, edge, 1.0))
    high = power[len(power) // 4 :] / (sd * sd * edge * edge)
    assert high.mean() == pytest.approx(1, abs=0.15)
    assert 0.4 < high.min() < high.max() < 2


def test_the_masks_edge_hides_no_blur(noise, brain) -> None:
    """A sharp cut would leave power that falls with the square of the frequency, whatever the image."""
    bright = noise + np.float32(5)
    _, sharp = power_spectrum(np.where(brain, bright, np.float32(0)), brain, (1, 1, 1))
    _, soft = power_spectrum(np.where(brain, smoothed(bright, 1.5), np.float32(0)), brain, (1, 1, 1))
    loss = soft[-1] / sharp[-1]
    assert loss == pytest.approx(math.exp(-2 * (1.5 * math.pi) ** 2 * 0.5), abs=1e-3)
    assert soft[0] > 0.5 * sharp[0]


def test_what_lies_outside_the_mask_has_no_power(noise, brain) -> None:
    other = np.where(brain, noise, np.float32(7))
    np.testing.assert_allclose(power_spectrum(other, brain, (1, 1, 1)), power_spectrum(noise, brain, (1, 1, 1)))


def test_no_mask_has_no_spectrum(noise) -> None:
    assert power_spectrum(noise, np.zeros(SHAPE, bool), (1, 1, 1)) is None


def test_detail_that_is_weaker_correlates_and_detail_that_is_made_up_does_not(noise, brain) -> None:
    """Blur takes power, not agreement; other noise of the same power has none."""
    _, blurred = ring_correlation(noise, smoothed(noise, 1.0), brain, (1, 1, 1))
    _, other = ring_correlation(noise, noise[::-1].copy(), brain & brain[::-1], (1, 1, 1))
    assert blurred[: len(blurred) // 2].min() > 0.9
    assert abs(other[len(other) // 4 :].mean()) < 0.1


def test_an_image_correlates_with_itself_fully_and_with_its_negative_as_fully(noise, brain) -> None:
    frequencies, same = ring_correlation(noise, noise, brain, (1, 1, 1))
    _, opposite = ring_correlation(noise, -noise, brain, (1, 1, 1))
    np.testing.assert_allclose(frequencies, power_spectrum(noise, brain, (1, 1, 1))[0])
    np.testing.assert_allclose(same, 1)
    np.testing.assert_allclose(opposite, -1)


def test_a_constant_image_correlates_with_nothing(noise, brain) -> None:
    assert np.all(ring_correlation(noise, np.full_like(noise, 3), brain, (1, 1, 1))[1] == 0)
    assert ring_correlation(noise, noise, np.zeros(SHAPE, bool), (1, 1, 1)) is None

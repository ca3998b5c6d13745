"""Measures agree with scikit-image, know their ideal value, and say "no value" where there is none."""

import math

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from polycontrast.errors import UserError
from polycontrast.metrics.measures import METRICS, Pair, nmae, psnr, ssim, ssim_map

SHAPE = (24, 30, 26)


@pytest.fixture(name="truth")
def _truth():
    """A smooth ball of tissue in zero background, float32."""
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, n) for n in SHAPE), indexing="ij")
    values = 0.5 + 0.3 * np.sin(5 * x) * np.cos(4 * y) + 0.1 * z
    return np.where(x**2 + y**2 + z**2 < 0.5, values, 0).astype(np.float32)


@pytest.fixture(name="noisy")
def _noisy(truth):
    noise = np.random.default_rng(1).normal(scale=0.1, size=SHAPE)
    return np.where(truth != 0, truth + noise, 0).astype(np.float32)


def test_psnr_equals_scikit_image_over_the_mask(truth, noisy):
    mask = truth != 0
    expected = peak_signal_noise_ratio(truth[mask].astype(float), noisy[mask].astype(float), data_range=1.1)
    assert psnr(truth, noisy, mask, 1.1) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("background", [0.0, 0.05])
def test_ssim_equals_scikit_image_in_float64_though_only_a_box_is_computed(truth, noisy, background):
    mask = truth != 0
    image = np.where(mask, noisy, np.float32(background))
    _, expected = structural_similarity(
        truth.astype(float), image.astype(float), data_range=1.1, gaussian_weights=True, sigma=1.5,
        use_sample_covariance=False, full=True,
    )  # fmt: skip
    assert ssim(truth, image, mask, 1.1) == pytest.approx(expected[mask].mean(), abs=1e-6)
    assert ssim_map(truth, image, 1.1).mean(dtype=float) == pytest.approx(expected.mean(), abs=1e-6)


def test_ssim_map_is_right_for_a_small_object_at_the_corner():
    truth, image = np.zeros(SHAPE, np.float32), np.zeros(SHAPE, np.float32)
    truth[:3, -2:, :2], image[:2, -3:, :2] = 1, 0.5
    _, expected = structural_similarity(
        truth.astype(float), image.astype(float), data_range=1.0, gaussian_weights=True, sigma=1.5,
        use_sample_covariance=False, full=True,
    )  # fmt: skip
    np.testing.assert_allclose(ssim_map(truth, image, 1.0), expected, atol=1e-4)


def test_nmae_by_hand():
    truth = np.array([[[0.0, 2.0, 4.0, 100.0]]], np.float32)
    image = np.array([[[1.0, 2.0, 2.0, 0.0]]], np.float32)
    assert nmae(truth, image, np.array([[[True, True, True, False]]])) == pytest.approx((1 + 0 + 2) / 3 / 4)


def test_identity_is_the_ideal_value(truth):
    mask = truth != 0
    assert psnr(truth, truth, mask, 1.0) == math.inf
    assert ssim(truth, truth, mask, 1.0) == pytest.approx(1.0, abs=1e-6)
    assert nmae(truth, truth, mask) == 0


@pytest.mark.parametrize("name", list(METRICS))
def test_more_distortion_is_worse_in_the_stated_direction(name, truth, noisy):
    mask = truth != 0
    values = [METRICS[name].of(Pair(truth, truth + k * (noisy - truth), 1.0), mask) for k in (0.5, 1, 2)]
    assert values == sorted(values, reverse=METRICS[name].higher_is_better)
    assert len(set(values)) == 3


@pytest.mark.parametrize("name", list(METRICS))
def test_an_empty_region_has_no_value(name, truth, noisy):
    assert METRICS[name].of(Pair(truth, noisy, 1.0), np.zeros(SHAPE, bool)) is None


def test_what_lies_outside_the_mask_does_not_count(truth, noisy):
    mask = np.zeros(SHAPE, bool)
    mask[10:14, 12:16, 10:14] = True
    far = noisy.copy()
    far[0, 0, 0] = 99
    for metric in METRICS.values():
        assert metric.of(Pair(truth, far, 1.0), mask) == pytest.approx(
            metric.of(Pair(truth, noisy, 1.0), mask), abs=1e-6
        )


def test_a_constant_truth_is_refused_not_scored(noisy):
    flat = np.full(SHAPE, 0.5, np.float32)
    mask = np.ones(SHAPE, bool)
    for measure in (psnr, ssim):
        with pytest.raises(UserError, match="constant"):
            measure(flat, noisy, mask, 0.0)
    assert nmae(flat, noisy, mask) is None


def test_a_volume_thinner_than_the_window_is_refused():
    with pytest.raises(UserError, match="window"):
        ssim_map(np.ones((30, 30, 5), np.float32), np.ones((30, 30, 5), np.float32), 1.0)

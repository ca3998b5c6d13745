"""The protocol of Dai et al. equals scikit-image on the grey levels that it states."""

import math

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from polycontrast.metrics import niqe
from polycontrast.metrics.protocols.dai2020 import DAI2020, judge
from polycontrast.metrics.vif import vif

from . import drawn


@pytest.fixture(name="against", scope="module")
def _against():
    return drawn.reference()


@pytest.fixture(name="image", scope="module")
def _image(against):
    return drawn.prediction(against)


@pytest.fixture(name="grey", scope="module")
def _grey(against, image):
    """Truth and prediction on 0..255 by the truth's extremes, in float64."""
    truth, made = (drawn.in_file_units(a, against) for a in (against.truth, image))
    return tuple((a - truth.min()) / np.ptp(truth) * 255 for a in (truth, made))


def values(against, image):
    return judge(against, image)["volume"]


def test_psnr_is_scikit_images_over_every_voxel_of_the_volume(against, image, grey):
    expected = peak_signal_noise_ratio(*grey, data_range=255)
    assert values(against, image)["psnr"] == pytest.approx(expected, abs=1e-6)


def test_ssim_is_the_mean_of_scikit_images_whole_slices_that_hold_brain(against, image, grey):
    held = np.flatnonzero(against.brain.any(axis=(0, 1)))
    assert 0 < len(held) < drawn.SHAPE[2]
    maps = [
        structural_similarity(
            grey[0][:, :, k], grey[1][:, :, k], data_range=255, gaussian_weights=True, sigma=1.5,
            use_sample_covariance=False, full=True,
        )[1]
        for k in held
    ]  # fmt: skip
    assert values(against, image)["ssim_2d"] == pytest.approx(np.mean(maps), abs=1e-6)


def test_nmae_is_of_the_brain_and_by_the_truths_range_there(against, image):
    truth, made = (drawn.in_file_units(a, against)[against.brain] for a in (against.truth, image))
    assert values(against, image)["nmae"] == pytest.approx(np.abs(truth - made).mean() / np.ptp(truth), rel=1e-5)


def test_vif_is_that_of_the_whole_slices_in_grey_levels():
    against = drawn.reference(shape=(96, 104, 12))
    one = np.zeros_like(against.brain)
    one[20:76, 20:84, 4] = True  # one slice, and every window that sees the brain lies in it
    against.regions["brain"] = one
    image = drawn.prediction(against)
    truth, made = (drawn.in_file_units(a, against)[:, :, 4] for a in (against.truth, image))
    expected = vif(truth / truth.max() * 255, made / truth.max() * 255)
    assert values(against, image)["vif"] == pytest.approx(expected, abs=1e-4)


def test_niqe_is_the_mean_of_the_predictions_slices_in_grey_levels():
    against = drawn.reference(shape=(192, 100, 12))
    rng = np.random.default_rng(0)
    image = np.where(against.brain, drawn.prediction(against) + rng.normal(0, 0.2, against.brain.shape), 0)
    truth, made = (drawn.in_file_units(a, against) for a in (against.truth, image))
    held = np.flatnonzero(against.brain.any(axis=(0, 1)))
    scores = [niqe.score(made[:, :, k] / truth.max() * 255, niqe.natural()) for k in held]
    assert values(against, image.astype(np.float32))["niqe"] == pytest.approx(np.mean(scores), rel=1e-3)


def test_slices_smaller_than_a_patch_have_no_niqe(against, image):
    assert values(against, image)["niqe"] is None


def test_identity_is_perfect_in_every_measure_that_compares():
    against = drawn.reference(shape=(64, 72, 26))
    found = values(against, against.truth)
    assert (found["nmae"], found["psnr"]) == (0, math.inf)
    assert found["ssim_2d"] == pytest.approx(1, abs=1e-6)
    assert found["vif"] == pytest.approx(1, abs=1e-6)


def test_a_global_gain_is_error(against):
    brighter = drawn.from_file_units(1.4 * drawn.in_file_units(against.truth, against), against)
    assert values(against, brighter)["nmae"] > 0.1


def test_the_protocol_says_what_it_does_and_does_what_it_says(against, image):
    found = judge(against, image)
    assert DAI2020.name == "dai2020"
    assert tuple(found) == DAI2020.regions
    assert all(tuple(row) == DAI2020.columns for row in found.values())
    assert {"normalisation", "mask", "data_range", "per", "nmae", "niqe"} <= set(DAI2020.description)
    assert "not public" in DAI2020.description["nmae"]

"""Scaling every slice by its own maximum: what 2-D papers print, and what it hides."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from polycontrast.metrics.protocols.slice_max import MIN_AREA, SLICE_MAX, judge

from . import drawn

AGAINST = drawn.reference()
IMAGE = drawn.prediction(AGAINST)
AREA = AGAINST.brain.sum(axis=(0, 1)) * 9.0  # mm^2, voxels of 3 mm
JUDGED = np.flatnonzero(AREA > MIN_AREA)


def values(image):
    return judge(AGAINST, image)["slices"]


def test_some_slices_hold_too_little_brain():
    assert 0 < len(JUDGED) < np.count_nonzero(AREA)


def test_every_measure_is_the_mean_of_scikit_images_over_the_slices():
    truth, made = (drawn.in_file_units(a, AGAINST) for a in (AGAINST.truth, IMAGE))
    expected: dict[str, list[float]] = {"psnr": [], "ssim_2d": [], "nmae": [], "mse": []}
    for k in JUDGED:
        a, b = truth[:, :, k] / truth[:, :, k].max(), made[:, :, k] / made[:, :, k].max()
        _, similarity = structural_similarity(
            a, b, data_range=1.0, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, full=True
        )
        expected["psnr"].append(peak_signal_noise_ratio(a, b, data_range=1.0))
        expected["ssim_2d"].append(similarity.mean())
        expected["nmae"].append(np.abs(a - b).mean())  # the true slice goes from 0 to 1
        expected["mse"].append(((a - b) ** 2).mean())
    found = values(IMAGE)
    assert tuple(found) == SLICE_MAX.columns
    for name, of_slices in expected.items():
        assert found[name] == pytest.approx(np.mean(of_slices), abs=1e-6)


def test_identity_is_perfect():
    found = values(AGAINST.truth)
    assert (found["psnr"], found["nmae"], found["mse"]) == (math.inf, 0, 0)
    assert found["ssim_2d"] == pytest.approx(1, abs=1e-6)


@settings(max_examples=20)
@given(st.lists(st.floats(0.2, 5), min_size=drawn.SHAPE[2], max_size=drawn.SHAPE[2]))
def test_a_gain_of_each_slice_is_hidden(gains):
    image = drawn.from_file_units(np.array(gains) * drawn.in_file_units(AGAINST.truth, AGAINST), AGAINST)
    found = values(image)
    assert found["mse"] < 1e-10
    assert found["ssim_2d"] == pytest.approx(1, abs=1e-5)


def test_slices_with_little_brain_do_not_count():
    image = IMAGE.copy()
    image[:, :, np.flatnonzero(AREA <= MIN_AREA)] *= 3
    assert values(image) == values(IMAGE)


def test_slices_that_this_contrast_does_not_show_do_not_count():
    cut = drawn.reference()
    cut.truth[:, :, JUDGED[:3]] = np.where(cut.brain, 0.5 - drawn.MEAN / drawn.SD / 4, 0)[
        :, :, JUDGED[:3]
    ]  # 0 in the file
    image = IMAGE.copy()
    image[:, :, JUDGED[:3]] *= 2
    assert judge(cut, image) == judge(cut, IMAGE)
    assert all(math.isfinite(value) for value in judge(cut, IMAGE)["slices"].values())


def test_a_prediction_without_a_positive_voxel_is_judged_as_it_is():
    black = drawn.from_file_units(np.zeros(drawn.SHAPE), AGAINST)
    truth = drawn.in_file_units(AGAINST.truth, AGAINST)[:, :, JUDGED]
    expected = np.mean((truth / truth.max(axis=(0, 1))) ** 2)
    assert values(black)["mse"] == pytest.approx(expected, rel=1e-4)


def test_a_slice_without_a_positive_value_is_on_the_truths_scale():
    dark = AGAINST.truth.copy()
    dark[:, :, JUDGED[0]] = AGAINST.intensity.apply(np.full(dark.shape[:2], -1.0), AGAINST.brain[:, :, JUDGED[0]])
    assert values(dark)["nmae"] < 1.1 / len(JUDGED)  # one slice is off by about its maximum


def test_without_enough_brain_in_any_slice_there_is_no_value():
    small = drawn.reference(shape=(12, 14, 12))
    assert judge(small, small.truth) == {"slices": dict.fromkeys(SLICE_MAX.columns)}


def test_the_protocol_says_what_it_does():
    assert SLICE_MAX.name == "slice-max"
    assert tuple(judge(AGAINST, IMAGE)) == SLICE_MAX.regions
    assert {"normalisation", "mask", "data_range", "per"} <= set(SLICE_MAX.description)
    assert "hidden" in SLICE_MAX.description["normalisation"]

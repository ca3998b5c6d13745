"""BraSyn's SSIM is its public formula, flatters as it does, and has no value where it has none."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from skimage.metrics import structural_similarity

from polycontrast.metrics.protocols.brasyn import BRASYN, judge

from . import drawn

TUMOUR, HEALTHY = 0.996427928, 0.988900409  # torchmetrics 1.8.2 in float64, of the drawn pair


@pytest.fixture(name="against", scope="module")
def _against():
    return drawn.reference()


@pytest.fixture(name="image", scope="module")
def _image(against):
    return drawn.prediction(against)


def percentile_clip(image):
    low, high = np.percentile(image, [0.5, 99.5])
    low = max(low, 0)
    return (np.clip(image, low, high) - low) / (high - low)


def public_ssim(preds, target):
    """torchmetrics' defaults in float64: the data range guessed, the image mirrored, the whole map averaged."""
    data_range = max(np.ptp(preds), np.ptp(target))
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    line = torch.exp(-((torch.arange(11, dtype=torch.float64) - 5) ** 2) / (2 * 1.5**2))
    line /= line.sum()
    x, y = (F.pad(torch.from_numpy(a)[None, None], (5,) * 6, mode="reflect") for a in (preds, target))
    mx, my, xx, yy, xy = x, y, x * x, y * y, x * y
    for shape in ((11, 1, 1), (1, 11, 1), (1, 1, 11)):
        mx, my, xx, yy, xy = (F.conv3d(a, line.reshape(1, 1, *shape)) for a in (mx, my, xx, yy, xy))
    upper = (2 * mx * my + c1) * (2 * (xy - mx * my) + c2)
    lower = (mx**2 + my**2 + c1) * ((xx - mx**2).clamp(min=0) + (yy - my**2).clamp(min=0) + c2)
    return float((upper / lower).mean())


def public_pair(truth, image, tumour):
    """The script's two values, of images in file units."""
    truth, image = percentile_clip(truth), percentile_clip(image)
    return public_ssim(image * tumour, truth * tumour), public_ssim(image * ~tumour, truth * ~tumour)


def test_the_official_pair_equals_the_public_formula(against, image):
    truth, made = (drawn.in_file_units(a, against) for a in (against.truth, image))
    tumour, healthy = public_pair(truth, made, against.regions["tumour"])
    found = judge(against, image)
    assert found["tumour"]["ssim_official"] == pytest.approx(tumour, abs=1e-6)
    assert found["healthy"]["ssim_official"] == pytest.approx(healthy, abs=1e-6)
    assert tumour < 0.999
    assert healthy < 0.99


def test_the_official_pair_is_what_torchmetrics_1_8_2_gave_for_these_images(against, image):
    found = judge(against, image)
    assert found["tumour"]["ssim_official"] == pytest.approx(TUMOUR, abs=1e-6)
    assert found["healthy"]["ssim_official"] == pytest.approx(HEALTHY, abs=1e-6)


def test_the_strict_one_is_the_maps_mean_in_the_mask_after_the_truths_percentiles(against, image):
    truth, made = (drawn.in_file_units(a, against) for a in (against.truth, image))
    low, high = np.percentile(truth, [0.5, 99.5])
    scaled = [(np.clip(a, low, high) - low) / (high - low) for a in (truth, made)]
    _, expected = structural_similarity(
        *scaled, data_range=1.0, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, full=True
    )
    found, tumour = judge(against, image), against.regions["tumour"]
    assert found["tumour"]["ssim_in_mask"] == pytest.approx(expected[tumour].mean(), abs=1e-6)
    assert found["healthy"]["ssim_in_mask"] == pytest.approx(expected[against.brain & ~tumour].mean(), abs=1e-6)


def test_identity_is_perfect(against):
    for values in judge(against, against.truth).values():
        assert list(values.values()) == pytest.approx([1, 1], abs=1e-6)


def test_a_global_gain_is_hidden_from_the_official_one_alone(against):
    brighter = drawn.from_file_units(1.4 * drawn.in_file_units(against.truth, against), against)
    for values in judge(against, brighter).values():
        assert values["ssim_official"] == pytest.approx(1, abs=1e-5)
        assert values["ssim_in_mask"] < 0.9


def test_the_official_one_crowds_near_1_for_an_image_that_shows_nothing(against):
    tumour = judge(against, np.where(against.brain, np.float32(0.5), np.float32(0)))["tumour"]
    assert tumour["ssim_official"] > 0.97
    assert tumour["ssim_in_mask"] < 0.5


def test_without_a_tumour_there_is_no_value_for_it_and_the_rest_is_the_volume(image):
    against = drawn.reference(tumour=False)
    found = judge(against, image)
    assert found["tumour"] == {"ssim_official": None, "ssim_in_mask": None}
    truth, made = (percentile_clip(drawn.in_file_units(a, against)) for a in (against.truth, image))
    assert found["healthy"]["ssim_official"] == pytest.approx(public_ssim(made, truth), abs=1e-6)


def test_without_a_segmentation_nothing_is_known_to_be_healthy(image):
    found = judge(drawn.reference(segmented=False), image)
    assert all(value is None for values in found.values() for value in values.values())


def test_a_prediction_without_any_spread_has_no_official_value(against):
    black = drawn.from_file_units(np.zeros(drawn.SHAPE), against)
    for values in judge(against, black).values():
        assert values["ssim_official"] is None
        assert values["ssim_in_mask"] < 0.5


def test_a_volume_thinner_than_the_window_has_no_value():
    against = drawn.reference(shape=(36, 40, 9))
    found = judge(against, against.truth)
    assert all(value is None for values in found.values() for value in values.values())


def test_the_protocol_says_what_it_does_and_does_what_it_says(against, image):
    found = judge(against, image)
    assert BRASYN.name == "brasyn"
    assert tuple(found) == BRASYN.regions
    assert all(tuple(values) == BRASYN.columns for values in found.values())
    assert {"normalisation", "mask", "data_range", "per", *BRASYN.columns} <= set(BRASYN.description)

"""What each measure sees of known distortions of a phantom, and what it is blind to (docs/explanation/measures.md)."""

import importlib
import math
from functools import cache
from pathlib import Path

import pytest

from polycontrast.data import phantom
from polycontrast.io.layout import find_cases
from polycontrast.metrics import niqe
from polycontrast.metrics.measures import METRICS
from polycontrast.metrics.protocols import PROTOCOLS
from polycontrast.metrics.reference import load, reference

SEED, SHAPE, SPACING = 2, (104, 124, 16), 1.5  # the middle of a brain, wide enough for five scales, with a tumour
PERFECT = {"psnr": math.inf, "nmae": 0, "mae": 0, "mse": 0, "gradient": 0, "nmi": 2}  # of every other: 1
ALONE = {name for name, metric in METRICS.items() if not metric.reference}  # they never see the truth


@pytest.fixture(name="scripts", scope="module")
def _scripts():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
        return importlib.import_module("distort"), importlib.import_module("distortions")


@pytest.fixture(name="against", scope="module")
def _against(tmp_path_factory):
    folder = tmp_path_factory.mktemp("phantom")
    phantom.write_case(phantom.make(SEED, SHAPE, SPACING), folder, "Phantom")
    (case,) = find_cases(folder)
    real = load(case)
    return reference(real, "FLAIR", niqe.fit([niqe.sharp_features(real.images["FLAIR"], real.brain)], "a phantom"))


@pytest.fixture(name="value", scope="module")
def _value(scripts, against):
    """value(distortion, measure, region, protocol)"""
    made = cache(lambda name: scripts[0].DISTORTIONS[name](against))
    judged = cache(lambda name, protocol: PROTOCOLS[protocol].judge(against, made(name)))
    return lambda name, measure, region="brain", protocol="polycontrast": judged(name, protocol)[region][measure]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_truth_itself_has_the_perfect_value_of_every_full_reference_measure(protocol, against):
    for region, values in PROTOCOLS[protocol].judge(against, against.truth.copy()).items():
        for name in values.keys() - ALONE:
            if values[name] is None:  # measures of whole slices, in a part of the brain
                assert region != "brain"
            else:
                assert values[name] == pytest.approx(PERFECT.get(name, 1), abs=2e-6), (region, name)


def test_every_measure_has_a_value_in_the_brain_and_the_headline_in_the_tumour(value):
    for name in METRICS:
        assert value("none", name) is not None or name == "niqe", name  # its patches are too large for this phantom
    for name in ("psnr", "ssim", "nmae"):
        assert value("none", name, "tumour") is not None


def test_blur_is_worse_by_every_full_reference_measure_and_the_wider_the_worse(value):
    for name, metric in METRICS.items():
        if metric.reference:
            one, two = (value(f"blur, sigma {mm} mm", name) for mm in (1, 2))
            assert (value("none", name) > one > two) == metric.higher_is_better, name
            assert (value("none", name) < one < two) != metric.higher_is_better, name


def test_blur_is_what_the_blur_measure_sees_and_noise_and_gain_are_not(value):
    sharp = value("none", "blur")
    blurred = value("blur, sigma 1 mm", "blur") - sharp
    assert blurred > 0.03
    assert value("noise, SD 0.1", "blur") < sharp
    for name in ("gain 1.2", "offset +0.1", "negative", "background 0.2"):
        assert abs(value(name, "blur") - sharp) < 0.1 * blurred, name


@pytest.mark.parametrize("name", ["noise, SD 0.1", "shift by 2 mm", "rotation by 2°", "slices of 5 mm"])
def test_noise_movement_and_thick_slices_are_worse_by_every_full_reference_measure(name, value):
    for measure, metric in METRICS.items():
        if metric.reference:
            assert (value(name, measure) < value("none", measure)) == metric.higher_is_better, measure


@pytest.mark.parametrize("name", ["gain 1.2", "offset +0.1"])
def test_a_global_error_is_seen_by_point_wise_measures_not_by_mutual_information(name, value):
    assert value(name, "psnr") < 25
    assert value(name, "nmae") > 0.05
    assert value(name, "nmi") > 1.98


def test_a_gain_is_hidden_by_scaling_each_image_by_itself(value):
    assert value("gain 1.2", "ssim_official", "healthy", "brasyn") > 0.999
    assert value("gain 1.2", "psnr", "slices", "slice-max") > value("gain 1.2", "psnr") + 15
    assert value("gain 1.2", "ssim_in_mask", "healthy", "brasyn") < 0.98


def test_gains_of_single_slices_are_hidden_by_the_slices_own_maxima_alone(value):
    name = "slices' gains, SD 0.1"
    assert value(name, "psnr", "slices", "slice-max") > value(name, "psnr") + 15


def test_vif_is_more_than_1_where_contrast_is_added(value):
    assert value("gain 1.2", "vif") > 1


def test_a_negative_is_wrong_by_all_but_mutual_information_and_gradients(value):
    assert value("negative", "ssim") < 0
    assert value("negative", "nmi") > 1.98
    assert value("negative", "gradient") < 1e-3


def test_swapped_hemispheres_are_seen_with_the_truth_and_never_without_it(value):
    assert value("hemispheres swapped", "ssim") < 0.3
    assert value("hemispheres swapped", "psnr") < value("blur, sigma 2 mm", "psnr") - 3
    assert value("hemispheres swapped", "blur") == pytest.approx(value("none", "blur"), abs=0.01)
    assert value("hemispheres swapped", "niqe_mr") == pytest.approx(value("none", "niqe_mr"), abs=0.5)


def test_an_erased_tumour_is_caught_in_the_tumour_by_each_headline_measure(value):
    psnr, ssim, nmae = (
        [value(name, measure, "tumour") for name in ("blur, sigma 1 mm", "tumour erased")]
        for measure in ("psnr", "ssim", "nmae")
    )
    assert psnr[1] < psnr[0] - 6
    assert ssim[1] < ssim[0] - 0.5
    assert nmae[1] > 3 * nmae[0]


def test_an_erased_tumour_moves_the_whole_brain_less_than_a_blur_that_nobody_would_mind(value):
    assert value("tumour erased", "ssim") > value("blur, sigma 1 mm", "ssim") + 0.1
    assert value("tumour erased", "nmae") < 0.5 * value("blur, sigma 1 mm", "nmae")


def test_an_invented_tumour_is_seen_in_the_healthy_brain_alone(value):
    assert value("tumour invented", "psnr", "tumour") == math.inf
    assert value("tumour invented", "psnr", "healthy") < 30


def test_the_background_is_seen_in_the_volume_alone(value):
    for name in ("psnr", "nmae", "mae", "mse", "nmi", "gradient", "vif", "blur", "niqe_mr"):
        assert value("background 0.2", name) == value("none", name), name
    assert value("background 0.2", "ssim") > 0.98  # windows at the brain's edge look beyond it
    assert value("background 0.2", "psnr", "volume") < 25
    assert value("background 0.2", "ssim", "volume") < 0.8


def test_the_verdict_weighs_a_change_against_that_of_a_blur(scripts):
    _, script = scripts
    assert [script.verdict("ssim", 1.0, 0.9, v) for v in (0.8, 0.9, 0.95, 0.995, 1.02)] == ["●", "●", "○", "·", "▲"]
    assert [script.verdict("nmae", 0.0, 0.1, v) for v in (0.2, 0.05, 0.001)] == ["●", "○", "·"]
    assert [script.verdict("psnr", math.inf, 20.0, v) for v in (20.0, 29.0, 31.0, math.inf)] == ["●", "○", "·", "·"]
    assert script.verdict("ssim", None, None, None) == ""

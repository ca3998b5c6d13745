"""Measures agree with the usual libraries, know their ideal value, and say "no value" where there is none."""

import math
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage
from skimage.metrics import normalized_mutual_information, peak_signal_noise_ratio
from torchmetrics.functional.image import peak_signal_noise_ratio as torchmetrics_psnr

from polycontrast.errors import UserError
from polycontrast.metrics import sharpness, similarity
from polycontrast.metrics.measures import BINS, LEAST, METRICS, Pair, mae, mse, nmae, nmi, psnr, require_packages

Image = NDArray[np.float32]
Mask = NDArray[np.bool_]

SHAPE = (104, 100, 12)  # the least that every measure of whole slices has a value for, nearly
PERFECT = {
    "psnr": math.inf, "ssim": 1, "nmae": 0, "mae": 0, "mse": 0, "ssim_2d": 1, "ms_ssim": 1, "vif": 1, "nmi": 2,
    "gradient": 0,
}  # fmt: skip
OF_WHOLE_SLICES = ("ms_ssim", "vif", "blur", "niqe", "niqe_mr")


def drawn(seed: int) -> tuple[Image, Mask]:
    """A textured lens in zero background, in about normalised units, and its mask."""
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, n) for n in SHAPE), indexing="ij")
    brain = (x / 0.95) ** 2 + (y / 0.95) ** 2 + (z / 2) ** 2 < 1
    texture = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=SHAPE), (2, 2, 1))
    return np.where(brain, 0.5 + 0.25 * texture / texture.std(), 0).astype(np.float32), brain


def distorted(truth: Image, brain: Mask, amount: float, seed: int = 1) -> Image:
    noise = np.random.default_rng(seed).normal(scale=0.1, size=SHAPE)
    return np.where(brain, truth + amount * noise, 0).astype(np.float32)


@pytest.fixture(name="case", scope="module")
def _case() -> tuple[Image, Image, Mask]:
    truth, brain = drawn(0)
    return truth, distorted(truth, brain, 1), brain


def every(truth: Image, image: Image, brain: Mask, mask: Mask | None = None) -> dict[str, float | None]:
    pair = Pair(truth, image, 1.1, brain)
    return {name: metric.of(pair, brain if mask is None else mask) for name, metric in METRICS.items()}


def test_the_table_has_the_columns_of_the_protocol_in_order() -> None:
    assert list(METRICS) == [
        "psnr", "ssim", "nmae", "mae", "mse", "ssim_2d", "ms_ssim", "vif", "nmi", "gradient", "blur", "niqe", "niqe_mr"
    ]  # fmt: skip
    assert {name for name, metric in METRICS.items() if metric.reference} == set(PERFECT)


def test_the_same_image_has_the_perfect_value_of_every_measure_against_a_truth(case) -> None:
    truth, _, brain = case
    found = every(truth, truth.copy(), brain)
    assert {name: found[name] for name in PERFECT} == pytest.approx(PERFECT, abs=1e-6)


def test_no_noisy_image_has_a_perfect_value(case) -> None:
    found = every(*case)
    assert all(abs(found[name] - perfect) > 1e-3 for name, perfect in PERFECT.items())


@pytest.mark.parametrize("name", PERFECT)
def test_more_noise_is_worse_in_the_stated_direction(name: str, case) -> None:
    truth, _, brain = case
    images = [distorted(truth, brain, amount) for amount in (0.5, 1, 2, 4)]
    values = [METRICS[name].of(Pair(truth, image, 1.1, brain), brain) for image in images]
    assert values == sorted(values, reverse=METRICS[name].higher_is_better)
    assert len(set(values)) == len(values)


def test_psnr_equals_scikit_image_and_torchmetrics_over_the_mask(case) -> None:
    truth, image, brain = case
    real, made = truth[brain].astype(float), image[brain].astype(float)
    found = psnr(truth, image, brain, 1.1)
    assert found == pytest.approx(peak_signal_noise_ratio(real, made, data_range=1.1), abs=1e-6)
    # given two limits instead of a range, torchmetrics would clip both images to them first
    other = torchmetrics_psnr(torch.from_numpy(made), torch.from_numpy(real), data_range=1.1)
    assert found == pytest.approx(float(other), abs=1e-6)


def test_errors_by_hand() -> None:
    truth = np.array([[[0.0, 2.0, 4.0, 100.0]]], np.float32)
    image = np.array([[[1.0, 2.0, 2.0, 0.0]]], np.float32)
    mask = np.array([[[True, True, True, False]]])
    assert mae(truth, image, mask) == pytest.approx(3 / 3)
    assert mse(truth, image, mask) == pytest.approx(5 / 3)
    assert nmae(truth, image, mask) == pytest.approx(1 / 4)
    assert psnr(truth, image, mask, 4) == pytest.approx(10 * math.log10(16 / (5 / 3)))


def test_nmi_equals_scikit_image_on_the_same_bins(case) -> None:
    truth, image, brain = case
    real, made = (a[brain].astype(float) for a in (truth, image))
    kept = [np.clip(v, *np.percentile(v, (0.5, 99.5))) for v in (real, made)]
    expected = normalized_mutual_information(*kept, bins=BINS)
    assert nmi(truth, image, brain) == pytest.approx(expected, abs=1e-5)  # float32 rounding at the edges of bins


def test_nmi_is_blind_to_gain_offset_inversion_and_a_single_bright_voxel(case) -> None:
    truth, image, brain = case
    plain = nmi(truth, image, brain)
    assert nmi(truth, 5 - 3 * image, brain) == pytest.approx(plain, abs=2e-3)
    hot = image.copy()
    hot[tuple(np.argwhere(brain)[0])] = 50
    assert nmi(truth, hot, brain) == pytest.approx(plain, abs=1e-3)


def test_nmi_of_a_brain_that_fills_the_volume_is_told_but_not_of_the_volume(case) -> None:
    truth, image, _ = case
    brain, volume = np.ones(SHAPE, dtype=bool), np.ones(SHAPE, dtype=bool)
    pair = Pair(truth, image, 1.1, brain)
    assert METRICS["nmi"].of(pair, brain) == nmi(truth, image, brain)
    assert METRICS["nmi"].of(pair, volume) is None


def test_nmi_of_independent_images_is_about_one(case) -> None:
    truth, _, brain = case
    other = np.random.default_rng(3).normal(size=SHAPE).astype(np.float32)
    assert nmi(truth, other, brain) == pytest.approx(1, abs=0.01)


def test_nmi_has_no_value_where_it_would_measure_the_regions_size(case) -> None:
    truth, _, brain = case
    other = np.random.default_rng(3).normal(size=SHAPE).astype(np.float32)
    small = np.zeros(SHAPE, dtype=bool)
    small[tuple(np.argwhere(brain)[:LEAST].T)] = True
    assert nmi(truth, other, small) == pytest.approx(1, abs=0.02)
    small[tuple(np.argwhere(brain)[0])] = False
    assert nmi(truth, other, small) is None


def test_the_table_of_measures_is_the_documented_functions(case) -> None:
    truth, image, brain = case
    pair = Pair(truth, image, 1.1, brain)
    assert METRICS["ssim"].of(pair, brain) == similarity.ssim(truth, image, brain, 1.1)
    assert METRICS["ssim_2d"].of(pair, brain) == similarity.ssim_2d(truth, image, brain, 1.1)
    assert METRICS["gradient"].of(pair, brain) == sharpness.gradient_error(truth, image, brain, brain)


def test_an_empty_region_has_no_value(case) -> None:
    truth, image, brain = case
    none = np.zeros(SHAPE, bool)
    assert set(every(truth, image, brain, none).values()) == {None}
    assert set(every(truth, image, none).values()) == {None}


def test_measures_of_whole_slices_have_a_value_for_the_brain_only(case) -> None:
    truth, image, brain = case
    part = brain.copy()
    part[60:] = False
    found, whole = every(truth, image, brain, part), every(truth, image, brain)
    assert {name for name, value in found.items() if value is None} == set(OF_WHOLE_SLICES)
    assert all(whole[name] is not None for name in ("ms_ssim", "vif", "blur"))


def test_a_model_of_real_slices_is_asked_only_where_there_is_one(case, monkeypatch: pytest.MonkeyPatch) -> None:
    truth, image, brain = case
    asked: list[object] = []
    monkeypatch.setattr("polycontrast.metrics.niqe.score_volume", lambda *given: asked.append(given[2]) or 3.0)
    assert METRICS["niqe_mr"].of(Pair(truth, image, 1.1, brain), brain) is None
    model = object()
    assert METRICS["niqe_mr"].of(Pair(truth, image, 1.1, brain, model), brain) == 3.0  # type: ignore[arg-type]
    assert asked == [model]


def test_what_lies_out_of_every_windows_reach_does_not_count(case) -> None:
    truth, image, brain = case
    mask = np.zeros(SHAPE, bool)
    mask[40:60, 40:60, 3:6] = True
    far = image.copy()
    far[~ndimage.binary_dilation(mask, iterations=20)] = 9
    assert every(truth, far, brain, mask) == pytest.approx(every(truth, image, brain, mask), abs=1e-6)


def test_a_constant_truth_is_refused_or_has_no_value() -> None:
    flat, brain = np.full(SHAPE, 0.5, np.float32), np.ones(SHAPE, bool)
    image = drawn(1)[0]
    for name in ("psnr", "ssim", "ssim_2d", "ms_ssim"):
        with pytest.raises(UserError, match="constant"):
            METRICS[name].of(Pair(flat, image, 0.0, brain), brain)
    for name in ("nmae", "nmi", "gradient", "vif"):
        assert METRICS[name].of(Pair(flat, image, 0.0, brain), brain) is None, name


def test_a_constant_image_has_a_value(case) -> None:
    truth, _, brain = case
    found = every(truth, np.where(brain, np.float32(0.5), np.float32(0)), brain)
    assert (found["nmi"], found["gradient"], found["blur"]) == (1, 1, 1)
    assert found["psnr"] == pytest.approx(10 * math.log10(1.1**2 / found["mse"]))


def strange(kind: str, seed: int) -> Image:
    rng = np.random.default_rng(seed)
    made = {
        "zero": np.zeros(SHAPE),
        "constant": np.full(SHAPE, 0.5),
        "negative": -drawn(seed)[0],
        "huge": 1e6 * rng.normal(size=SHAPE),
        "tiny": 0.5 + 1e-7 * rng.normal(size=SHAPE),
        "one voxel": np.pad(np.ones((1, 1, 1)), [(0, n - 1) for n in SHAPE]),
    }
    return made[kind].astype(np.float32)


@settings(max_examples=15, deadline=None)
@given(
    kind=st.sampled_from(["zero", "constant", "negative", "huge", "tiny", "one voxel"]),
    seed=st.integers(0, 99),
    region=st.sampled_from(["brain", "voxel", "slice", "volume"]),
)
def test_no_image_makes_a_measure_that_is_not_a_number(kind: str, seed: int, region: str) -> None:
    truth, brain = drawn(seed)
    mask = brain if region == "brain" else np.zeros(SHAPE, bool)
    mask[{"brain": (), "voxel": (50, 50, 6), "slice": np.s_[:, :, 6], "volume": np.s_[:]}[region] or np.s_[:0]] = True
    found = every(truth, strange(kind, seed), brain, mask)
    assert all(value is None or math.isfinite(value) for value in found.values()), found


@settings(max_examples=10, deadline=None)
@given(a=st.integers(0, 99), b=st.integers(100, 199))
def test_truth_and_image_may_change_places_where_nothing_is_relative_to_the_truth(a: int, b: int) -> None:
    (truth, brain), (image, _) = drawn(a), drawn(b)
    there, back = Pair(truth, image, 1.1, brain), Pair(image, truth, 1.1, brain)
    for name in ("psnr", "ssim", "mae", "mse", "ssim_2d", "ms_ssim", "nmi"):
        measure = METRICS[name].of
        assert measure(there, brain) == pytest.approx(measure(back, brain), rel=1e-5), name


def test_without_scikit_image_it_is_said_before_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    require_packages()
    monkeypatch.setitem(sys.modules, "skimage", None)
    with pytest.raises(UserError, match="scikit-image is not installed"):
        require_packages()


def test_monai_is_asked_for_only_where_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "monai", None)
    require_packages()
    with pytest.raises(UserError, match="MONAI is not installed") as caught:
        require_packages(downstream=True)
    assert "polycontrast[monai]" in caught.value.hint

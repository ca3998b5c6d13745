"""Structural similarity equals scikit-image; what torchmetrics does otherwise is said and held too."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import ndimage
from skimage import data
from skimage.metrics import structural_similarity
from skimage.transform import downscale_local_mean
from torchmetrics.functional.image import (
    multiscale_structural_similarity_index_measure,
    structural_similarity_index_measure,
)

from polycontrast.errors import UserError
from polycontrast.metrics.similarity import (
    EXPONENTS,
    K1,
    NO_LUMINANCE,
    RADIUS,
    ms_ssim,
    ssim,
    ssim_2d,
    ssim_2d_map,
    ssim_map,
)

Floats = NDArray[np.floating]

SHAPE = (24, 30, 26)


@pytest.fixture(name="truth")
def _truth() -> Floats:
    """A smooth ball of tissue in zero background, float32."""
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, n) for n in SHAPE), indexing="ij")
    values = 0.5 + 0.3 * np.sin(5 * x) * np.cos(4 * y) + 0.1 * z
    return np.where(x**2 + y**2 + z**2 < 0.5, values, 0).astype(np.float32)


@pytest.fixture(name="noisy")
def _noisy(truth: Floats) -> Floats:
    noise = np.random.default_rng(1).normal(scale=0.1, size=SHAPE)
    return np.where(truth != 0, truth + noise, 0).astype(np.float32)


@pytest.fixture(name="photograph", scope="module")
def _photograph() -> tuple[Floats, Floats]:
    """[400, 480], and the same blurred with noise; float64."""
    real = data.camera()[:400, :480] / 255
    made = ndimage.gaussian_filter(real, 1.2) + np.random.default_rng(0).normal(0, 0.05, real.shape)
    return real, made


def reference(truth: Floats, image: Floats, data_range: float, k1: float = K1) -> Floats:
    """scikit-image's map in float64, of a whole array."""
    _, found = structural_similarity(
        truth.astype(float), image.astype(float), data_range=data_range, gaussian_weights=True, sigma=1.5,
        use_sample_covariance=False, K1=k1, full=True,
    )  # fmt: skip
    return found


def tensors(*images: Floats) -> list[torch.Tensor]:
    """As torchmetrics takes them: [1, 1, ...]."""
    return [torch.from_numpy(np.asarray(image))[None, None] for image in images]


@pytest.mark.parametrize("background", [0.0, 0.05])
def test_ssim_equals_scikit_image_in_float64_though_only_a_box_is_computed(truth, noisy, background) -> None:
    mask = truth != 0
    image = np.where(mask, noisy, np.float32(background))
    expected = reference(truth, image, 1.1)
    assert ssim(truth, image, mask, 1.1) == pytest.approx(expected[mask].mean(), abs=1e-6)
    assert ssim_map(truth, image, 1.1).mean(dtype=float) == pytest.approx(expected.mean(), abs=1e-6)


def test_ssim_2d_equals_scikit_image_slice_by_slice(truth, noisy) -> None:
    mask = truth != 0
    expected = np.stack([reference(truth[:, :, k], noisy[:, :, k], 1.1) for k in range(SHAPE[2])], axis=2)
    assert ssim_2d(truth, noisy, mask, 1.1) == pytest.approx(expected[mask].mean(), abs=1e-6)
    assert ssim_2d_map(truth, noisy, 1.1).mean(dtype=float) == pytest.approx(expected.mean(), abs=1e-6)


def test_maps_are_right_for_a_small_object_at_the_corner() -> None:
    truth, image = np.zeros(SHAPE, np.float32), np.zeros(SHAPE, np.float32)
    truth[:3, -2:, :2], image[:2, -3:, :2] = 1, 0.5
    np.testing.assert_allclose(ssim_map(truth, image, 1.0), reference(truth, image, 1.0), atol=1e-4)
    expected = np.stack([reference(truth[:, :, k], image[:, :, k], 1.0) for k in range(SHAPE[2])], axis=2)
    np.testing.assert_allclose(ssim_2d_map(truth, image, 1.0), expected, atol=1e-4)


def test_slices_know_nothing_of_their_neighbours(truth, noisy) -> None:
    other = noisy.copy()
    other[:, :, 12] = truth[:, :, 12]
    changed = np.abs(ssim_2d_map(truth, other, 1.1) - ssim_2d_map(truth, noisy, 1.1)).max(axis=(0, 1)) > 0
    assert np.flatnonzero(changed).tolist() == [12]


def test_a_volume_thinner_than_the_window_has_slices_only(truth, noisy) -> None:
    thin = np.s_[:, :, 10:14]
    mask = truth[thin] != 0
    assert ssim(truth[thin], noisy[thin], mask, 1.1) is None
    assert ssim_2d(truth[thin], noisy[thin], mask, 1.1) < 1
    assert ssim_2d(truth[:8], noisy[:8], truth[:8] != 0, 1.1) is None


@pytest.mark.parametrize("size", [(24, 26, 22), (160, 170)])
def test_torchmetrics_ssim_has_the_same_values_away_from_the_border_and_another_mean(size) -> None:
    """Inside, its map is scikit-image's. Its score differs, by thousandths in a slice and hundredths in a small volume:

    * it averages the whole map, where scikit-image's score leaves out 5 voxels at each border;
    * it mirrors without repeating the border's voxel, where scikit-image repeats it;
    * scikit-image's own defaults are others: a flat window of 7 and sample moments (n / (n - 1)), here not used.

    A gap such as 0.713 against 0.730 for one pair of images is made by which voxels are averaged, not by how similar
    they are. In a mask the question does not arise.
    """
    rng = np.random.default_rng(0)
    real = 8 * ndimage.gaussian_filter(rng.normal(size=size), 2)
    made = real + rng.normal(0, 0.3, size)
    score, found = structural_similarity_index_measure(*tensors(made, real), data_range=1.0, return_full_image=True)
    ours, theirs, inside = reference(real, made, 1.0), found[0, 0].numpy(), (slice(RADIUS, -RADIUS),) * len(size)
    np.testing.assert_allclose(theirs[inside], ours[inside], atol=1e-10)
    cropped, _ = structural_similarity(
        real, made, data_range=1.0, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, full=True
    )
    assert float(score) == pytest.approx(theirs.mean(), abs=1e-10)
    assert cropped == pytest.approx(theirs[inside].mean(), abs=1e-10)
    assert abs(float(score) - cropped) > 0.001
    mask = np.zeros(size, bool)
    mask[inside] = True
    if len(size) == 3:
        assert ssim(real, made, mask, 1.0) == pytest.approx(cropped, abs=1e-6)
    else:
        assert ssim_2d(real[..., None], made[..., None], mask[..., None], 1.0) == pytest.approx(cropped, abs=1e-6)


def test_ms_ssim_equals_its_definition_written_out_in_float64(photograph) -> None:
    real, made = photograph
    expected, first, second = 1.0, real, made
    for scale, exponent in enumerate(EXPONENTS):
        terms = reference(first, second, 1.0, K1 if scale == 4 else NO_LUMINANCE)
        expected *= terms.mean() ** exponent
        first, second = (downscale_local_mean(image, (2, 2)) for image in (first, second))
    whole = np.ones((*real.shape, 1), bool)
    assert ms_ssim(real[..., None], made[..., None], whole, 1.0) == pytest.approx(expected, abs=1e-6)


def test_without_luminance_the_terms_are_contrast_times_structure() -> None:
    rng = np.random.default_rng(0)
    real, made = rng.uniform(size=(2, 40, 40))
    found = reference(real, made, 1.0, NO_LUMINANCE)
    smooth = lambda image: ndimage.gaussian_filter(image, 1.5, truncate=3.5)  # noqa: E731
    covariance = smooth(real * made) - smooth(real) * smooth(made)
    variances = sum(smooth(image * image) - smooth(image) ** 2 for image in (real, made))
    np.testing.assert_allclose(found, (2 * covariance + 0.03**2) / (variances + 0.03**2), atol=1e-9)


def test_ms_ssim_is_torchmetrics_but_for_the_border(photograph) -> None:
    """Theirs leaves out 5 pixels at each border in the four finer scales, but not in the coarsest, and mirrors without
    repeating the border's pixel: on 400 x 480 pixels a difference under 0.005. Theirs is not defined below 176 pixels,
    and knows no mask."""
    real, made = photograph
    theirs = multiscale_structural_similarity_index_measure(*tensors(made, real), data_range=1.0)
    whole = np.ones((*real.shape, 1), bool)
    ours = ms_ssim(real[..., None], made[..., None], whole, 1.0)
    assert ours == pytest.approx(float(theirs), abs=0.005)
    assert abs(ours - 1) > 0.02


def brain_of(side: int, slices: int = 2) -> tuple[Floats, NDArray[np.bool_]]:
    """A textured disc of this diameter in a wider slice, zero around it."""
    x, y = np.meshgrid(*(np.arange(200) - 100 + 0.5,) * 2, indexing="ij")
    disc = np.repeat((np.hypot(x, y) < side / 2)[:, :, None], slices, axis=2)
    texture = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=disc.shape), (2, 2, 0))
    return np.where(disc, 0.5 + 2 * texture, 0).astype(np.float32), disc


def noise_of(shape: tuple[int, ...]) -> Floats:
    return np.random.default_rng(1).normal(0, 0.1, shape).astype(np.float32)


def test_ms_ssim_does_not_depend_on_where_the_brain_lies_or_how_much_background_there_is() -> None:
    truth, brain = brain_of(140)
    image = np.where(brain, truth + noise_of(truth.shape), np.float32(0))
    whole = ms_ssim(truth, image, brain, 1.0)
    moved = ms_ssim(*(np.roll(a, (13, -7), axis=(0, 1)) for a in (truth, image, brain)), 1.0)
    tight = np.s_[30:170, 30:170]
    assert moved == pytest.approx(whole, abs=1e-9)
    assert ms_ssim(truth[tight], image[tight], brain[tight], 1.0) == pytest.approx(whole, abs=1e-9)


def test_ms_ssim_has_no_value_for_a_brain_too_small_for_five_scales() -> None:
    for side, there in ((92, True), (80, False)):
        truth, brain = brain_of(side)
        image = np.where(brain, truth + noise_of(truth.shape), np.float32(0))
        assert (ms_ssim(truth, image, brain, 1.0) is not None) == there


def test_ms_ssim_of_an_inverted_image_is_zero_not_a_complex_number() -> None:
    truth, brain = brain_of(140)
    assert ms_ssim(truth, np.where(brain, 1 - truth, np.float32(0)), brain, 1.0) == 0


@pytest.mark.parametrize("measure", [ssim, ssim_2d, ms_ssim])
def test_a_truth_without_a_range_is_refused(measure) -> None:
    truth, brain = brain_of(100, slices=12)
    with pytest.raises(UserError, match="constant"):
        measure(truth, truth, brain, 0.0)


@pytest.mark.parametrize("measure", [ssim, ssim_2d, ms_ssim])
def test_an_empty_mask_has_no_value(measure) -> None:
    truth, brain = brain_of(100, slices=12)
    assert measure(truth, truth, np.zeros_like(brain), 1.0) is None

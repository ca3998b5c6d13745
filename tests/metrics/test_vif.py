"""VIF is the published measure, weighs a volume by its information, and says "no value" where there is none."""

import numpy as np
import pytest
from scipy import ndimage
from skimage import data

from polycontrast.errors import UserError
from polycontrast.metrics.vif import MARGIN, grey_slices, vif, vif_volume

SHAPE = (44, 60, 12)
# sewar 0.4.10's vifp, on numpy 2.4.6 and scipy 1.17.1, of images of scikit-image 0.26's wheel and three distortions
PUBLISHED = {"camera": (0.330533, 0.834423, 1.130904), "coins": (0.328166, 0.855550, 1.109281)}


@pytest.fixture(name="brain")
def _brain():
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, n) for n in SHAPE), indexing="ij")
    return x**2 + y**2 + z**2 < 0.8


@pytest.fixture(name="truth")
def _truth(brain):
    """Tissue of fine and coarse detail, in normalised units; 0 outside the brain, below 0 and above 1 in places."""
    noise = np.random.default_rng(0).normal(size=SHAPE)
    detail = sum(ndimage.gaussian_filter(noise, s) * s**1.5 for s in (0.7, 1.5, 3))
    return np.where(brain, 0.5 + 0.25 * detail / detail.std(), 0).astype(np.float32)


def _blurred(image, brain, sigma):
    return np.where(brain, ndimage.gaussian_filter(image, (sigma, sigma, 0)), 0).astype(np.float32)


@pytest.mark.parametrize("name", PUBLISHED)
def test_equals_the_stored_values_of_a_published_implementation(name):
    truth = getattr(data, name)().astype(float)
    distorted = (ndimage.gaussian_filter(truth, 1.5), 0.7 * truth + 20, 1.3 * truth)
    assert [vif(truth, image) for image in distorted] == pytest.approx(PUBLISHED[name], abs=2e-6)


@pytest.mark.parametrize("size", [(41, 41), (64, 91), (200, 133)])
def test_equals_a_published_implementation_run_here(size):
    published = pytest.importorskip("sewar").full_ref.vifp
    rng = np.random.default_rng(3)
    truth = ndimage.gaussian_filter(rng.uniform(0, 255, size), 1) * 3
    truth[:, :25] = 7  # windows in which the truth is flat
    for image in (truth + rng.normal(0, 9, size), ndimage.gaussian_filter(truth, 2), 255 - truth, 0 * truth, truth):
        assert vif(truth, image) == pytest.approx(published(truth, image), abs=1e-6)


def test_a_volume_is_the_ratio_of_sums_over_its_slices(truth, brain):
    """One slice: its own VIF. Two: between them, nearer to that which holds more."""
    image = _blurred(truth, brain, 0.5)
    image[:, :, 1] = _blurred(truth, brain, 3)[:, :, 1]
    alone = []
    for k in (1, 6):
        only = np.zeros_like(brain)
        only[:, :, k] = brain[:, :, k]
        (real,), (made,) = (grey_slices(array, only, 1.4, MARGIN) for array in (truth, image))
        alone.append(vif_volume(truth, image, only, 1.4))
        assert alone[-1] == pytest.approx(vif(real, made), abs=1e-6)
    two = np.zeros_like(brain)
    two[:, :, [1, 6]] = brain[:, :, [1, 6]]
    assert alone[0] < sum(alone) / 2 < vif_volume(truth, image, two, 1.4) < alone[1]


def test_grey_levels_are_linear_and_not_clipped(truth, brain):
    grey = grey_slices(truth, brain, 1.0, 3)
    assert grey.min() < 0
    assert grey.max() > 255
    np.testing.assert_allclose(grey[:, 3:-3, 3:-3].transpose(1, 2, 0), _box(truth, brain) * 255, rtol=1e-5)
    assert not grey[:, :3].any()
    assert not grey[:, :, -3:].any()


def _box(array, mask):
    where = np.nonzero(mask)
    return array[tuple(slice(i.min(), i.max() + 1) for i in where)]


def test_identity_is_one_and_every_blur_lowers_it(truth, brain):
    values = [vif_volume(truth, _blurred(truth, brain, s), brain, 1.4) for s in (0, 0.5, 1, 2)]
    assert values[0] == pytest.approx(1, abs=1e-6)
    assert values == sorted(values, reverse=True)
    assert values[1] < 0.9
    assert values[-1] > 0


def test_neither_background_nor_field_of_view_counts(truth, brain):
    image = _blurred(truth, brain, 1)
    value = vif_volume(truth, image, brain, 1.4)
    spoilt = np.where(brain, image, np.float32(9))
    assert vif_volume(truth, spoilt, brain, 1.4) == value
    wider = [np.pad(a, ((5, 2), (0, 9), (1, 1))) for a in (truth, image, brain)]
    assert vif_volume(*wider, 1.4) == value


def test_there_is_no_value_without_brain_without_contrast_and_without_numbers(truth, brain):
    assert vif_volume(truth, truth, np.zeros_like(brain), 1.4) is None
    flat = np.where(brain, np.float32(0.5), np.float32(0))
    assert vif_volume(flat, truth, brain, 0.0) is None
    assert 0 < vif_volume(truth, flat, brain, 1.4) < 0.5  # a constant image still shares the brain's outline
    for bad in (np.nan, np.inf):
        broken = truth.copy()
        broken[SHAPE[0] // 2, SHAPE[1] // 2, 5] = bad
        assert vif_volume(truth, broken, brain, 1.4) is None
        assert vif_volume(broken, truth, brain, 1.4) is None
    assert vif(np.full((50, 50), 100.0), np.eye(50)) is None


def test_an_image_too_small_for_four_scales_is_refused():
    with pytest.raises(UserError, match="40 x 60"):
        vif(np.eye(40, 60), np.eye(40, 60))

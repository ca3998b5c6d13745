"""NIQE is the published measure, rises with blur and noise, and says "no value" where there is none."""

import json
from importlib import resources

import numpy as np
import pytest
from scipy import ndimage
from skimage import data

from polycontrast.errors import UserError
from polycontrast.metrics import niqe
from polycontrast.metrics.niqe import NiqeModel, features, fit, natural, score, score_volume, sharp_features

SHAPE = (90, 110, 8)
# Image of scikit-image 0.26's wheel, its blur, and the value of two published implementations with the authors' model:
# BasicSR 1.4.2 (metrics/niqe.py, said to equal MATLAB's on its test image) and iqa-torch 1.2.1 (the same in float64),
# run on numpy 2.4.6, scipy 1.17.1 and torch 2.13.0, on unrounded grey levels 0.299 R + 0.587 G + 0.114 B.
PUBLISHED = [
    ("camera", 0, 3.0962, 3.0962),
    ("camera", 1, 5.2176, 5.2167),
    ("camera", 2, 9.1026, 9.1040),
    ("coins", 0, 3.6227, 3.6227),
    ("coins", 1, 5.5847, 5.5846),
    ("coins", 2, 8.2523, 8.2523),
    ("astronaut", 0, 3.0580, 3.0580),
    ("astronaut", 1, 5.5395, 5.5399),
    ("astronaut", 2, 8.3389, 8.3390),
]


def _grey(name):
    image = getattr(data, name)().astype(float)
    return image if image.ndim == 2 else image @ [0.299, 0.587, 0.114]


def _head(seed, shape=SHAPE):
    """A brain-like ellipsoid with detail of several sizes: normalised units, its mask."""
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    brain = x**2 + y**2 + (z / 2) ** 2 < 0.9
    noise = np.random.default_rng(seed).normal(size=shape)
    detail = sum(ndimage.gaussian_filter(noise, (s, s, 0)) * s**1.5 for s in (0.6, 1.5, 4))
    return np.where(brain, 0.5 + 0.25 * detail / detail.std(), 0).astype(np.float32), brain


def _blurred(image, brain, sigma):
    return np.where(brain, ndimage.gaussian_filter(image, (sigma, sigma, 0)), 0).astype(np.float32)


@pytest.fixture(name="model", scope="module")
def _model():
    return fit([sharp_features(*_head(seed)) for seed in range(4)], "four drawn heads")


@pytest.mark.parametrize(("name", "sigma", "basicsr", "iqa_torch"), PUBLISHED)
def test_equals_published_implementations_with_the_published_model(name, sigma, basicsr, iqa_torch):
    image = _grey(name)
    value = score(ndimage.gaussian_filter(image, sigma) if sigma else image, natural())
    assert value == pytest.approx(basicsr, abs=2e-3)
    assert value == pytest.approx(iqa_torch, abs=2e-4)


def test_the_published_model_is_shipped_with_its_notice():
    assert natural().patch == 96
    assert np.linalg.eigvalsh(natural().covariance).min() > 0
    notice = resources.files("polycontrast.metrics") / "data" / "niqe_natural.txt"
    assert "The University of Texas at Austin" in notice.read_text(encoding="utf-8")


def test_features_are_of_whole_patches_from_the_first_pixel_on():
    image = _grey("camera")
    whole = features(image[:200, :300], 96)
    assert whole.shape == (2 * 3, 36)
    assert np.array_equal(whole, features(image[:192, :288], 96))


@pytest.mark.parametrize("change", ["blur", "noise"])
def test_a_model_of_some_heads_scores_another_by_its_blur_and_noise(change, model):
    image, brain = _head(9)
    noise = np.random.default_rng(1).normal(size=SHAPE)
    made = {
        "blur": [_blurred(image, brain, sigma) for sigma in (0.5, 1, 2)],
        "noise": [np.where(brain, image + sd * noise, 0).astype(np.float32) for sd in (0.1, 0.2, 0.4)],
    }[change]
    values = [score_volume(each, brain, model) for each in (image, *made)]
    assert values == sorted(values)
    assert values[-1] > 3 * values[0]


def test_only_patches_nearly_as_sharp_as_the_sharpest_of_their_slice_make_a_model():
    image, brain = _head(0)
    half = image.copy()
    half[: SHAPE[0] // 2] = _blurred(image, brain, 2)[: SHAPE[0] // 2]
    both, _ = niqe._brain_features(half, brain, 32)
    kept = sharp_features(half, brain)
    assert 0 < len(kept) < 0.7 * len(both)
    dark = half.copy()
    dark[:, :, :4] *= 0.25  # a slice is measured against itself
    assert len(sharp_features(dark, brain)) == pytest.approx(len(kept), abs=4)


def test_neither_background_nor_field_of_view_counts(model):
    image, brain = _head(9)
    value = score_volume(image, brain, model)
    assert score_volume(np.where(brain, image, np.float32(9)), brain, model) == value
    wider = [np.pad(a, ((5, 2), (0, 9), (1, 1))) for a in (image, brain)]
    assert score_volume(*wider, model) == value


def test_there_is_no_value_without_brain_without_texture_and_without_numbers(model):
    image, brain = _head(9)
    assert score_volume(image, np.zeros_like(brain), model) is None
    assert score_volume(np.where(brain, np.float32(0.5), np.float32(0)), brain, model) is None
    broken = image.copy()
    broken[SHAPE[0] // 2, SHAPE[1] // 2, 4] = np.nan
    assert score_volume(broken, brain, model) is None
    small = _head(9, (24, 30, 6))
    assert score_volume(*small, model) is None
    assert score(np.full((200, 200), 128.0), natural()) is None
    assert score(_grey("camera")[:90, :90], natural()) is None


def test_no_model_is_fitted_on_too_little():
    assert fit([], "nothing") is None
    assert fit([sharp_features(*_head(0, (24, 30, 6)))], "a head smaller than a patch") is None


def test_a_model_is_kept_as_json_to_the_bit(model):
    kept = NiqeModel.from_dict(json.loads(json.dumps(model.to_dict(), allow_nan=False)))
    assert (kept.patch, kept.about) == (32, "four drawn heads")
    assert np.array_equal(kept.mean, model.mean)
    assert np.array_equal(kept.covariance, model.covariance)


@pytest.mark.parametrize("broken", [{}, {"mean": "much"}, {"mean": [1.0]}, {"covariance": [[1.0]]}, {"patch": None}])
def test_what_is_no_model_is_refused(broken, model):
    with pytest.raises(UserError, match="NIQE model"):
        NiqeModel.from_dict(model.to_dict() | broken if broken else {})

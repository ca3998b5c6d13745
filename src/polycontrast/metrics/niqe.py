"""How natural an image looks, without a truth: NIQE, by photographs or by real MR slices.

Mittal, Soundararajan and Bovik 2013, "Making a completely blind image quality analyzer" (IEEE Signal Process. Lett.
20:209-212). An image's locally normalised grey levels, and the products of neighbours, are described patch by patch, at
full and half size, by 36 numbers; the score is the distance of their distribution from that of good images. 0 is the
best, there is no upper bound. It says nothing about being right: a sharp image of another patient scores well.

`natural()` is the model of the authors' release, made of photographs: MR is none, so it ranks images of one contrast by
blur, no more. Clean whole slices score 6 to 16, for the edge of the head, patches in the brain 4 to 5; a blur of half a
pixel or a little noise may even better that. The model that means something here is one fitted on real slices of the
contrast: `fit`.

Equal to two published implementations that follow the authors' MATLAB code, its antialiased bicubic half-size included
(tests/metrics/test_niqe.py). A patch with a feature that has no value, as where nothing varies, is left out, where they
keep its other features; where an image is exactly constant, all of them count the signs of rounding errors, and agree
to 0.2 only. scikit-video's `niqe` uses another model, fitted anew: its values are not these.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy import ndimage
from scipy.special import gamma

from polycontrast.data.intensity import MEAN, SD, Mask
from polycontrast.errors import UserError
from polycontrast.io.volume import Array
from polycontrast.metrics.vif import PEAK, Floats, gaussian, grey_slices, separable

FEATURES = 36
WINDOW, SIGMA = 7, 7 / 6  # of the local mean and deviation, pixels
NEIGHBOURS = ((0, 1), (1, 0), (1, 1), (1, -1))
SHARP = 0.75  # of the sharpest patch's local deviation: what a model is fitted on
SPAN = MEAN + 4 * SD  # the normalised value that becomes white, for every contrast: about the range of a brain
MR_PATCH = 32  # pixels; the paper's 96 are half a brain
SLICES = 48  # of a volume, at most
INSIDE = 0.75  # of a patch's pixels, in the brain
FLAT, TEXTURED = 1e-3, 0.5  # smaller normalised grey levels are rounding, no texture; the share that must be more
_SHAPES = np.arange(200, 10001) / 1000  # of the generalised Gaussian: 0.2 to 10 in steps of 0.001
_RATIOS = gamma(2 / _SHAPES) ** 2 / (gamma(1 / _SHAPES) * gamma(3 / _SHAPES))  # rises with the shape


@dataclass(frozen=True, eq=False)
class NiqeModel:
    """The distribution of good images' features: mean [36], covariance [36, 36]; patch: the side of a patch in pixels,
    even; about: what it was fitted on."""

    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]
    patch: int
    about: str

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it; `from_dict` gives the same model back, to the bit."""
        return {
            "about": self.about,
            "patch": self.patch,
            "mean": self.mean.tolist(),
            "covariance": self.covariance.tolist(),
        }

    @classmethod
    def from_dict(cls, kept: dict[str, Any]) -> "NiqeModel":
        """Raises UserError if this is no such model."""
        try:
            mean, covariance = (np.array(kept[name], dtype=np.float64) for name in ("mean", "covariance"))
            model = cls(mean, covariance, int(kept["patch"]), str(kept["about"]))
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"not a NIQE model: {error!r}", hint="fit it again") from error
        shapes = model.mean.shape, model.covariance.shape
        if shapes != ((FEATURES,), (FEATURES, FEATURES)):
            raise UserError(f"a NIQE model of {FEATURES} features is expected, found {shapes}", hint="fit it again")
        return model


@cache
def natural() -> NiqeModel:
    """The model of the authors' release: 125 photographs, patches of 96 pixels (data/niqe_natural.txt: its licence)."""
    file = resources.files("polycontrast.metrics") / "data" / "niqe_natural.json"
    return NiqeModel.from_dict(json.loads(file.read_text(encoding="utf-8")))


def features(image: Floats, patch: int) -> NDArray[np.float64]:
    """A 2-D image in grey levels of 0..255 -> [n, 36], a row for each textured patch.

    Patches lie edge to edge from the first pixel on; what is left over at the far edges is not used. Features: shape
    and scale of the normalised grey levels; shape, mean, left and right scale of the products with the neighbour to the
    side, below, and on both diagonals; then the same at half size. `patch`: even.
    """
    if min(image.shape) < patch:
        return np.zeros((0, FEATURES))
    whole = image[None, : image.shape[0] // patch * patch, : image.shape[1] // patch * patch].astype(np.float64)
    places = np.argwhere(np.ones((1, *(side // patch for side in whole.shape[1:])), dtype=bool)) * (1, patch, patch)
    rows = _features_at(whole, places, patch)
    return rows[np.isfinite(rows).all(axis=1)]


def score(image: Floats, model: NiqeModel) -> float | None:
    """NIQE of a 2-D image in grey levels of 0..255; lower is better. None if fewer than two patches have texture."""
    return _distance(features(image, model.patch), model)


def score_volume(image: Array, brain: Mask, model: NiqeModel) -> float | None:
    """NIQE of a volume, by the patches in the brain of every k-th axial slice, at most 48; lower is better.

    image: [X, Y, Z], canonical, in normalised units; slices as `grey_slices` makes them, with 1.5 (mean and four SDs)
    as white. One distribution of all patches is compared with the model, not a mean over slices: a slice holds too few
    patches for a covariance. Patches overlap by half; one counts if three quarters of it are brain and half of it has
    texture. None if fewer than two do, or the image is not finite in the brain.
    """
    found, _ = _brain_features(image, brain, model.patch)
    return _distance(found, model)


def sharp_features(image: Array, brain: Mask, patch: int = MR_PATCH) -> NDArray[np.float64]:
    """[n, 36], what one volume gives to `fit`: as in the paper, of a slice's patches only the sharp ones, whose mean
    local deviation is over 0.75 of the highest."""
    found, sharpness = _brain_features(image, brain, patch)
    return np.asarray(found[sharpness > SHARP])


def fit(found: Sequence[NDArray[np.float64]], about: str, patch: int = MR_PATCH) -> NiqeModel | None:
    """A model of real slices, of the `sharp_features` of each volume. about: what they are. None if there are no more
    patches than features."""
    rows = np.concatenate([np.zeros((0, FEATURES)), *found])
    return NiqeModel(rows.mean(axis=0), np.cov(rows, rowvar=False), patch, about) if len(rows) > FEATURES else None


def _distance(found: NDArray[np.float64], model: NiqeModel) -> float | None:
    """Equation 10 of the paper."""
    if len(found) < 2:
        return None
    away = found.mean(axis=0) - model.mean
    spread = (np.cov(found, rowvar=False) + model.covariance) / 2
    return float(np.sqrt(max(0.0, away @ np.linalg.pinv(spread) @ away)))


def _brain_features(image: Array, brain: Mask, patch: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """-> the features [n, 36] of the textured patches of the brain's slices, and how sharp each is [n]: its mean local
    deviation as a share of the highest in its slice."""
    none = np.zeros((0, FEATURES)), np.zeros(0)
    if not brain.any() or not np.isfinite(image[brain]).all():
        return none
    slices, inside = grey_slices(image, brain, SPAN), grey_slices(np.ones_like(image), brain, PEAK)
    every = -(-len(slices) // SLICES)
    slices, places = slices[::every], _places(inside[::every], patch)
    if not len(places):
        return none
    normalised, deviation = _local(slices)
    textured = np.mean(np.abs(_cut(normalised, places, patch)) > FLAT, axis=(1, 2)) >= TEXTURED
    if not textured.any():
        return none
    places = places[textured]
    sharpness = np.mean(_cut(deviation, places, patch), axis=(1, 2), dtype=np.float64)
    sharpest = np.zeros(len(slices))
    np.maximum.at(sharpest, places[:, 0], sharpness)
    rows = _features_at(slices, places, patch)
    told = np.isfinite(rows).all(axis=1)
    return rows[told], (sharpness / sharpest[places[:, 0]])[told]


def _places(inside: Array, patch: int) -> NDArray[np.intp]:
    """Slices [n, H, W] that are 1 in the brain -> [m, 3]: the slice and first pixel of patches half a patch apart that
    lie in the brain for the most part."""
    step = patch // 4 * 2  # even, as pixels of the half-size image need it
    if min(inside.shape[1:]) < patch:
        return np.zeros((0, 3), dtype=np.intp)
    windows = sliding_window_view(inside, (patch, patch), axis=(1, 2))[:, ::step, ::step]
    return np.argwhere(windows.mean(axis=(3, 4)) >= INSIDE) * (1, step, step)


def _features_at(images: Floats, places: NDArray[np.intp], patch: int) -> NDArray[np.float64]:
    """The features [m, 36] of patches of images [n, H, W]; not finite where a patch has no texture."""
    half = separable(images, *(_halving(side) for side in images.shape[1:]))
    sizes = ((images, places, patch), (half, places // (1, 2, 2), patch // 2))
    return np.concatenate([_statistics(_cut(_local(maps)[0], at, side)) for maps, at, side in sizes], axis=1)


def _cut(maps: Floats, places: NDArray[np.intp], patch: int) -> Floats:
    """[n, H, W] -> the patches [m, patch, patch] that begin at these places."""
    return np.asarray(sliding_window_view(maps, (patch, patch), axis=(1, 2))[tuple(places.T)])


def _local(images: Floats) -> tuple[Floats, Floats]:
    """[n, H, W] -> grey levels normalised by their neighbourhood (equation 1), and their local deviation."""
    smoothing = tuple(_smoothing(side) for side in images.shape[1:])
    mean = separable(images, *smoothing)
    deviation = np.sqrt(np.abs(separable(images * images, *smoothing) - mean * mean))
    return (images - mean) / (deviation + 1), deviation


@cache
def _smoothing(size: int) -> Floats:
    """The Gaussian window along an axis, as a matrix [size, size]; beyond the edge its pixel is repeated."""
    return np.asarray(ndimage.correlate1d(np.eye(size), gaussian(WINDOW, SIGMA), axis=0, mode="nearest"))


@cache
def _halving(size: int) -> Floats:
    """MATLAB's `imresize(., 0.5)` along an axis, as a matrix [size // 2, size]: the bicubic kernel, twice as wide
    against aliasing, with the image mirrored beyond its edge."""
    x = np.abs(np.arange(-3.5, 4)) / 2
    near, far = 1.5 * x**3 - 2.5 * x**2 + 1, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    weights = np.where(x <= 1, near, far) / 2
    return np.asarray(
        ndimage.correlate1d(np.eye(size), weights, axis=0, mode="reflect", origin=-1)[: size // 2 * 2 : 2]
    )


def _statistics(patches: Floats) -> NDArray[np.float64]:
    """Patches [m, p, p] of normalised grey levels -> [m, 18]."""
    shape, left, right = _fit_gaussian(patches)
    found = [shape, (left + right) / 2]
    for step in NEIGHBOURS:
        shape, left, right = _fit_gaussian(patches * np.roll(patches, step, axis=(1, 2)))
        found += [shape, (right - left) * gamma(2 / shape) / gamma(1 / shape), left, right]
    return np.stack(found, axis=1)


def _fit_gaussian(values: Floats) -> tuple[NDArray[np.float64], ...]:
    """[m, p, p] -> shape, left and right scale [m] of an asymmetric generalised Gaussian, by its moments (equations 3
    to 6); NaN where values do not lie on both sides of 0."""
    flat = values.reshape(len(values), -1)
    squares, negative, positive = flat * flat, flat < 0, flat > 0
    with np.errstate(invalid="ignore", divide="ignore"):
        left = np.sqrt(np.sum(squares, axis=1, where=negative, dtype=np.float64) / negative.sum(axis=1))
        right = np.sqrt(np.sum(squares, axis=1, where=positive, dtype=np.float64) / positive.sum(axis=1))
        skew = left / right
        peaked = np.mean(np.abs(flat), axis=1, dtype=np.float64) ** 2 / np.mean(squares, axis=1, dtype=np.float64)
        ratio = peaked * (skew**3 + 1) * (skew + 1) / (skew**2 + 1) ** 2
    after = np.clip(np.searchsorted(_RATIOS, ratio), 1, len(_RATIOS) - 1)
    nearest = np.where(ratio - _RATIOS[after - 1] <= _RATIOS[after] - ratio, after - 1, after)
    shape = _SHAPES[nearest]
    scale = np.sqrt(gamma(1 / shape) / gamma(3 / shape))
    return shape, left * scale, right * scale

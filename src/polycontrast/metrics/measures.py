"""How far an image is from the truth: the one table of measures, and those that compare voxel with voxel.

Truth and image are [X, Y, Z] on one grid and in one unit; the mask says which voxels count. The data range is always
given, never guessed from the data. Sums are made in float64. A region without voxels has no value: None, never 0, 1
or NaN. Similarity, sharpness, VIF and NIQE have modules of their own.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from polycontrast.data.intensity import Mask
from polycontrast.errors import UserError
from polycontrast.io.volume import Array
from polycontrast.metrics import sharpness, similarity
from polycontrast.metrics.similarity import check_range, mean_in

if TYPE_CHECKING:
    from polycontrast.metrics.niqe import NiqeModel

BINS = 64  # of each image's grey values, for mutual information
LEAST = 4 * BINS**2  # voxels that it needs
TAILS = (0.5, 99.5)  # percentiles: what lies beyond goes into the outermost bins


def require_packages(*, downstream: bool = False) -> None:
    """UserError if what the evaluation needs is not installed: said before hours of work, not after."""
    needed = [("skimage", "scikit-image", "eval"), *([("monai", "MONAI", "monai")] if downstream else [])]
    for name, package, extra in needed:
        if find_spec(name) is None:
            raise UserError(f"{package} is not installed", hint=f'pip install "polycontrast[{extra}]"')


def mae(truth: Array, image: Array, mask: Mask) -> float | None:
    """Mean absolute error in the mask, in the images' unit (normalised: 0.25 is one SD of the brain)."""
    return float(np.mean(np.abs(_errors(truth, image, mask)))) if mask.any() else None


def mse(truth: Array, image: Array, mask: Mask) -> float | None:
    """Mean squared error in the mask, in the images' unit squared."""
    return float(np.mean(np.square(_errors(truth, image, mask)))) if mask.any() else None


def nmae(truth: Array, image: Array, mask: Mask) -> float | None:
    """Normalised mean absolute error: mean |truth - image| in the mask / (max - min of the truth there), a fraction.

    After Dai et al. 2020, whose exact denominator is not public. None also where the truth is constant in the mask.
    """
    if not mask.any():
        return None
    span, error = float(np.ptp(truth[mask])), mae(truth, image, mask)
    return error / span if error is not None and span > 0 else None


def psnr(truth: Array, image: Array, mask: Mask, data_range: float) -> float | None:
    """Peak signal-to-noise ratio in the mask, dB: 10 log10(data_range^2 / mean squared error). Equal images: inf.

    Raises UserError if the data range is not positive (the truth is constant).
    """
    check_range(data_range)
    error = mse(truth, image, mask)
    if error is None:
        return None
    return math.inf if error == 0 else 10 * math.log10(data_range**2 / error)


def nmi(truth: Array, image: Array, mask: Mask) -> float | None:
    """Normalised mutual information in the mask, (H(truth) + H(image)) / H(both): 1, independent, to 2, each tells the
    other (Studholme et al. 1999). Blind to gain, offset and inversion.

    64 bins between each image's own 0.5 and 99.5 percentiles in the mask: with bins from minimum to maximum a single
    bright voxel would move it by 2 %. None also where the truth is constant; 1 if the image is.
    None in regions of fewer voxels than four for each pair of bins: independent images have 1.01 there, 1.1 in 2,000
    voxels and 1.8 in 50, so that a mean over small tumours would measure their size.
    """
    if np.count_nonzero(mask) < LEAST:
        return None
    from scipy.stats import entropy

    real, other = _binned(truth[mask]), _binned(image[mask])
    both = np.bincount(np.ravel_multi_index((real, other), (BINS, BINS)), minlength=BINS * BINS).reshape(BINS, BINS)
    alone = entropy(both.sum(axis=1)) + entropy(both.sum(axis=0))
    return float(alone / entropy(both.ravel())) if real.any() else None


@dataclass(frozen=True, eq=False)
class Pair:
    """A truth and an image in one unit, with what several regions share, made when first asked.

    brain: the mask for which the measures of whole slices have a value. niqe: a model of real slices of this contrast.
    """

    truth: Array
    image: Array
    data_range: float
    brain: Mask
    niqe: "NiqeModel | None" = None

    @cached_property
    def similarity(self) -> Array | None:
        """The 3-D map of structural similarity; None where the volume is thinner than its window."""
        return similarity.ssim_map(self.truth, self.image, self.data_range)

    @cached_property
    def similarity_2d(self) -> Array | None:
        """The same, slice by slice."""
        return similarity.ssim_2d_map(self.truth, self.image, self.data_range)

    @cached_property
    def gradients(self) -> tuple[Array, Array]:
        """The magnitude of the truth's and the image's gradient, per voxel."""
        return sharpness.gradient(self.truth), sharpness.gradient(self.image)

    @cached_property
    def interior(self) -> Mask:
        """Where gradients do not see the brain's edge."""
        return sharpness.interior(self.brain)


@dataclass(frozen=True)
class Metric:
    """A measure as tables know it. unit: "" for a pure number, or normalised units; of: its value for a pair of images
    in a region; reference: whether it compares with the truth, or looks at the image alone."""

    unit: str
    higher_is_better: bool
    of: Callable[[Pair, Mask], float | None]
    reference: bool = True


def _nmi(pair: Pair, mask: Mask) -> float | None:
    """Not of the whole volume, most of which is background: it would tell how large the brain is."""
    return None if mask.all() and mask is not pair.brain else nmi(pair.truth, pair.image, mask)


def _ms_ssim(pair: Pair) -> float | None:
    return similarity.ms_ssim(pair.truth, pair.image, pair.brain, pair.data_range)


def _vif(pair: Pair) -> float | None:
    from polycontrast.metrics import vif

    return vif.vif_volume(pair.truth, pair.image, pair.brain, pair.data_range)


def _niqe_natural(pair: Pair) -> float | None:
    from polycontrast.metrics import niqe

    return niqe.score_volume(pair.image, pair.brain, niqe.natural())


def _niqe_mr(pair: Pair) -> float | None:
    from polycontrast.metrics import niqe

    return None if pair.niqe is None else niqe.score_volume(pair.image, pair.brain, pair.niqe)


def _of_brain(of: Callable[[Pair], float | None]) -> Callable[[Pair, Mask], float | None]:
    """A measure of whole slices: it has a value for the brain, and none for its parts."""
    return lambda pair, mask: of(pair) if mask is pair.brain else None


METRICS: dict[str, Metric] = {
    "psnr": Metric("dB", True, lambda pair, mask: psnr(pair.truth, pair.image, mask, pair.data_range)),
    "ssim": Metric("", True, lambda pair, mask: mean_in(pair.similarity, mask)),
    "nmae": Metric("", False, lambda pair, mask: nmae(pair.truth, pair.image, mask)),
    "mae": Metric("", False, lambda pair, mask: mae(pair.truth, pair.image, mask)),
    "mse": Metric("", False, lambda pair, mask: mse(pair.truth, pair.image, mask)),
    "ssim_2d": Metric("", True, lambda pair, mask: mean_in(pair.similarity_2d, mask)),
    "ms_ssim": Metric("", True, _of_brain(_ms_ssim)),
    "vif": Metric("", True, _of_brain(_vif)),
    "nmi": Metric("", True, _nmi),
    "gradient": Metric("", False, lambda pair, mask: sharpness.relative_error(*pair.gradients, mask & pair.interior)),
    "blur": Metric("", False, _of_brain(lambda pair: sharpness.blur(pair.image, pair.brain)), reference=False),
    "niqe": Metric("", False, _of_brain(_niqe_natural), reference=False),
    "niqe_mr": Metric("", False, _of_brain(_niqe_mr), reference=False),
}


def _errors(truth: Array, image: Array, mask: Mask) -> NDArray[np.float64]:
    return truth[mask].astype(np.float64) - image[mask]


def _binned(values: Array) -> NDArray[np.intp]:
    """Bin numbers 0 ... BINS - 1 between the tails; all 0 if there is nothing between them."""
    low, high = (float(tail) for tail in np.percentile(values, TAILS))
    if not high > low:
        return np.zeros(values.shape, dtype=np.intp)
    scaled = values.astype(np.float64)
    scaled -= low
    scaled *= BINS / (high - low)
    return np.clip(scaled, 0, BINS - 1, out=scaled).astype(np.intp)

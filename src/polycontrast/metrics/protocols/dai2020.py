"""The protocol `dai2020`: the measures that Dai et al. printed, as far as they can be known.

Xianjin Dai et al. 2020, "Multimodal MRI synthesis using unified generative adversarial networks", Medical Physics 47
(10.1002/mp.14539): NMAE, PSNR, SSIM, VIF and NIQE of BraTS 2015. Masks, denominators and ranges are not public, so each
is an assumption, stated in the description and chosen because it fits their figures: a mean absolute error never
exceeds the root mean square error over the same voxels, yet they print, for T2 from T1, a PSNR of 30.0 dB, which is a
root mean square error of 0.032 of the peak, beside an NMAE of 0.041. So the two are not over the same voxels with the
same denominator. PSNR over the whole volume, most of which is background without error, and NMAE in the brain fit
both, and their SSIM of 0.97 fits whole slices.
"""

import math

import numpy as np

from polycontrast.data.intensity import Mask
from polycontrast.io.volume import Array
from polycontrast.metrics import niqe
from polycontrast.metrics.measures import nmae, psnr
from polycontrast.metrics.protocols.base import Protocol, Values
from polycontrast.metrics.reference import Reference
from polycontrast.metrics.similarity import ssim_2d_map
from polycontrast.metrics.vif import PEAK, vif_volume


def judge(against: Reference, image: Array) -> dict[str, Values]:
    """image: [X, Y, Z] in normalised units. See the description."""
    raw, brain = against.raw, against.brain
    low, high = float(raw.min()), float(raw.max())
    truth, made = (_grey(array, low, high) for array in (raw, against.as_file(image)))
    return {
        "volume": {
            "nmae": nmae(truth, made, brain),
            "psnr": _psnr_volume(truth, made, brain),
            "ssim_2d": _ssim_slices(truth, made, brain),
            "vif": vif_volume(truth, made, brain, PEAK),
            "niqe": _niqe_slices(made, brain),
        }
    }


def _grey(image: Array, low: float, high: float) -> Array:
    """Linearly, low becomes 0 and high 255."""
    return (image - np.float32(low)) * np.float32(PEAK / (high - low))


def _psnr_volume(truth: Array, image: Array, brain: Mask) -> float | None:
    """Over every voxel: there is no error outside the brain, so its share dilutes the brain's mean square error."""
    inside = psnr(truth, image, brain, PEAK)
    return None if inside is None else inside - 10 * math.log10(float(brain.mean()))


def _ssim_slices(truth: Array, image: Array, brain: Mask) -> float | None:
    """Mean of the slice-wise map over the whole slices that hold brain."""
    similarity = ssim_2d_map(truth, image, PEAK)
    held = brain.any(axis=(0, 1))
    return None if similarity is None else float(np.mean(similarity[:, :, held], dtype=np.float64))


def _niqe_slices(image: Array, brain: Mask) -> float | None:
    """Mean over whole slices that hold brain, every k-th so that they are at most 48; None if a slice is smaller than a
    patch, or none has texture."""
    model = niqe.natural()
    if min(image.shape[:2]) < model.patch:
        return None
    held = np.flatnonzero(brain.any(axis=(0, 1)))
    chosen = held[:: -(-len(held) // niqe.SLICES)]
    scores = [value for k in chosen if (value := niqe.score(image[:, :, k], model)) is not None]
    return float(np.mean(scores)) if scores else None


DAI2020 = Protocol(
    name="dai2020",
    description={
        "normalisation": "truth: file units, its minimum and maximum over the volume become 0 and 255; prediction: put "
        "into the file's units by the truth's own map (brain mean and SD), then the same; no clipping. Assumed: not "
        "published. One bright vessel sets the scale, which flatters all other tissue",
        "mask": "none for psnr (every voxel of the volume), ssim_2d, vif and niqe (whole axial slices that hold "
        "brain): background without error flatters psnr and ssim_2d; the brain for nmae. Assumed, because their "
        "printed NMAE is larger than the root mean square error that their PSNR tells, which is impossible over the "
        "same voxels and denominator",
        "data_range": "255",
        "nmae": "mean absolute error in the brain / (max - min of the truth there); exact denominator not public",
        "ssim_2d": "their SSIM: 2-D, Gaussian window of sigma 1.5 pixels, K1 0.01, K2 0.03; 2-D is assumed",
        "vif": "pixel domain, four scales, axial slices, one ratio of sums over the volume; the variant is assumed",
        "niqe": "the model of the authors of NIQE, made of photographs, patches of 96 pixels edge to edge, mean over "
        f"at most {niqe.SLICES} slices; it looks at the prediction alone. Real MR slices score about 16, far above the "
        "printed 1.3 to 1.5, so theirs was another model or scale: not comparable",
        "per": "volume; means are over patients",
    },
    regions=("volume",),
    columns=("nmae", "psnr", "ssim_2d", "vif", "niqe"),
    judge=judge,
)

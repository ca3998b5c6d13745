"""The protocol `brasyn`: the SSIMs of the BraSyn challenge, and a stricter one beside them.

Facts of the challenge's script (hongweilibran/BraSyn, ssim.py): each image is rescaled by itself, multiplied by a mask,
and given to torchmetrics' SSIM with its defaults, which guess the data range. The script cannot run as it is published:
its last lines index a tuple, the whole volume's mean and the map, with a mask of integers. What it says of itself,
"regular SSIM on the complete volume", is computed here. Wherever both images are 0, which the mask makes of all that it
leaves out, SSIM is 1: a tumour's value is hardly below 1 however it looks. Hence `ssim_in_mask`.
"""

import numpy as np

from polycontrast.data.grid import bounding_box
from polycontrast.data.intensity import Mask
from polycontrast.io.volume import Array
from polycontrast.metrics.protocols.base import Protocol, Values
from polycontrast.metrics.reference import PERCENTILES, Reference
from polycontrast.metrics.similarity import RADIUS, WINDOW, mean_in, ssim_map

Limits = tuple[float, float]


def limits(image: Array) -> Limits:
    """The 0.5 and 99.5 percentiles of the whole volume, the lower one raised to 0 where negative."""
    low, high = np.percentile(image, PERCENTILES)
    return max(float(low), 0.0), float(high)


def rescaled(image: Array, ends: Limits) -> Array | None:
    """Clipped to the limits, which become 0 and 1; None if there is nothing between them."""
    low, high = ends
    if high <= low:
        return None
    return np.asarray((np.clip(image, low, high) - np.float32(low)) / np.float32(high - low), dtype=np.float32)


def ssim_official(truth: Array | None, image: Array | None, mask: Mask, cut_off: int = 0) -> float | None:
    """SSIM of (image x mask), the mean over every voxel of the volume; at most 1, higher is better.

    truth, image: [X, Y, Z], rescaled. cut_off: voxels of the volume that are not in the arrays, because both images are
    0 there and for a window's radius around them. As torchmetrics' StructuralSimilarityIndexMeasure has it by default,
    from 1.5 on: 3-D Gaussian window of 11 voxels, sigma 1.5, K1 0.01, K2 0.03, population moments, borders mirrored
    without the border voxel itself, data range the larger of the two masked images' own. (Versions before 1.5 left the
    outermost 5 voxels out of the mean; on BraTS's grid that puts 1.16 times the distance below 1.) None if the mask is
    empty, both images are constant under it, or a side is shorter than the window.
    """
    if truth is None or image is None or not mask.any() or min(truth.shape) < WINDOW:
        return None
    masked = [np.where(mask, array, np.float32(0)) for array in (truth, image)]
    data_range = max(float(np.ptp(array)) for array in masked)
    if data_range == 0:
        return None
    shown = bounding_box(masked[0].astype(bool) | masked[1].astype(bool))
    if not all(start >= RADIUS and stop <= n - RADIUS for (start, stop), n in zip(shown, mask.shape, strict=True)):
        masked = [np.pad(array, RADIUS, mode="reflect") for array in masked]
    similarity = ssim_map(masked[0], masked[1], data_range)
    if similarity is None:
        return None
    if similarity.shape != mask.shape:
        similarity = similarity[(slice(RADIUS, -RADIUS),) * 3]
    return (float(np.sum(similarity, dtype=np.float64)) + cut_off) / (mask.size + cut_off)


def judge(against: Reference, image: Array) -> dict[str, Values]:
    """image: [X, Y, Z] in normalised units. See the description."""
    whole, made = against.raw, against.as_file(image)
    tumour = against.regions["tumour"]
    told = tumour.any() or against.regions["healthy"].any()  # else nobody has said what is tumour
    ends, own_ends = limits(whole), limits(made)
    sides = zip(bounding_box(against.brain), whole.shape, strict=True)  # there is nothing elsewhere
    around = tuple(slice(max(0, start - WINDOW), min(n, stop + WINDOW)) for (start, stop), n in sides)
    brain, truth, made = against.brain[around], whole[around], made[around]
    masks = {"tumour": tumour[around], "healthy": ~tumour[around] if told else tumour[around]}
    real, strict, own = rescaled(truth, ends), rescaled(made, ends), rescaled(made, own_ends)
    similarity = None if real is None or strict is None else ssim_map(real, strict, 1.0)
    return {
        region: {
            "ssim_official": ssim_official(real, own, mask, whole.size - truth.size),
            "ssim_in_mask": mean_in(similarity, mask & brain),
        }
        for region, mask in masks.items()
    }


BRASYN = Protocol(
    name="brasyn",
    description={
        "normalisation": "ssim_official: truth and prediction each clipped to its own 0.5 and 99.5 percentiles over "
        "the whole volume (the lower one not below 0) and scaled to [0, 1]: a wrong gain is hidden; ssim_in_mask: both "
        "clipped and scaled by the truth's percentiles. Before, the truth is in its file's units, and the prediction "
        "is put into them by the truth's own map (brain mean and SD), 0 outside the brain; as a percentile rescale "
        "follows, that decides only where the background's 0 lies",
        "mask": "tumour: the whole tumour of the segmentation; healthy: everything else, background included "
        "(ssim_in_mask: the brain without the tumour). No value without a tumour, none at all without a segmentation",
        "data_range": "ssim_official: the larger of the two masked images' own ranges; ssim_in_mask: 1",
        "ssim_official": "SSIM of (image x mask), mean over the whole volume: what the mask leaves out counts as 1, so "
        "that it crowds near 1 and depends on the tumour's size. As the public script does by torchmetrics 1.5 or "
        "later; the script's own last lines cannot run",
        "ssim_in_mask": "mean of the 3-D SSIM map in the mask, of images that are not masked before",
        "per": "volume",
    },
    regions=("tumour", "healthy"),
    columns=("ssim_official", "ssim_in_mask"),
    judge=judge,
)

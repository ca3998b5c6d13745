"""The protocol `slice-max`: every axial slice divided by its own maximum, as most 2-D papers have it.

The slices and their scale are those of TC-MGAN (Xin et al. 2020; hellopipu/TC-MGAN, generate_data.py): slices with more
than 2000 non-zero pixels of 1 mm, each divided by its own maximum. There the slices are resized to 128 x 128 and only
segmentations are judged; the measures are those that other 2-D papers print of such slices.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from polycontrast.data.intensity import slice_max
from polycontrast.io.volume import Array
from polycontrast.metrics.protocols.base import Protocol, Values
from polycontrast.metrics.reference import Reference
from polycontrast.metrics.similarity import ssim_2d_map

MIN_AREA = 2000.0  # mm^2 where the truth is not 0: 2000 pixels of BraTS
ZERO = 1e-3  # of the brain's SD: what a voxel of 0 may have become, there and back through normalised units
COLUMNS = ("psnr", "ssim_2d", "nmae", "mse")


def judge(against: Reference, image: Array) -> dict[str, Values]:
    """image: [X, Y, Z] in normalised units. See the description."""
    enough = _slices(against)
    if not enough.size:
        return {"slices": dict.fromkeys(COLUMNS)}
    raw, prediction = against.raw[:, :, enough], against.as_file(image)[:, :, enough]
    peaks = _maxima(raw)
    truth = raw / peaks
    positive = prediction.max(axis=(0, 1)) > 0
    made = np.asarray(prediction / np.where(positive, _maxima(prediction), peaks), dtype=np.float32)
    error = np.asarray(truth - made, dtype=np.float32)
    mse, mae = _mean_of_slices(error * error), _mean_of_slices(np.abs(error))
    similarity = ssim_2d_map(truth, made, 1.0)
    return {
        "slices": {
            "psnr": float(_decibel(mse).mean()),
            "ssim_2d": None if similarity is None else float(np.mean(similarity, dtype=np.float64)),
            "nmae": float(np.mean(mae / np.ptp(truth, axis=(0, 1)))),
            "mse": float(mse.mean()),
        }
    }


def _slices(against: Reference) -> NDArray[np.intp]:
    """The slices that are judged: where the truth is not constant, and not 0 in enough of the brain."""
    shown = np.abs(against.raw) > ZERO * against.intensity.sd
    area = shown.sum(axis=(0, 1)) * against.spacing[0] * against.spacing[1]
    return np.flatnonzero((area > MIN_AREA) & (np.ptp(against.raw, axis=(0, 1)) > 0))


def _maxima(slices: Array) -> Array:
    """[X, Y, n] -> [1, 1, n]; 1 where a slice has no positive value."""
    return slice_max(slices.transpose(2, 0, 1)).transpose(1, 2, 0)


def _mean_of_slices(values: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """[X, Y, n] -> [n]"""
    return np.asarray(np.mean(values, axis=(0, 1), dtype=np.float64))


def _decibel(mse: NDArray[np.float64]) -> NDArray[np.float64]:
    """PSNR for a data range of 1; infinite where there is no error."""
    with np.errstate(divide="ignore"):
        return np.asarray(-10 * np.log10(mse))


SLICE_MAX = Protocol(
    name="slice-max",
    description={
        "normalisation": "file units, each axial slice divided by its own maximum, the truth's by the truth's and the "
        "prediction's by the prediction's, so that a wrong gain, of the volume or of single slices, is hidden; before, "
        "the prediction is put into the file's units by the truth's own map (brain mean and SD). No clipping. A "
        "predicted slice without a positive value is divided by the truth's maximum. Of files that are not positive "
        "(z-scores) the maximum is no scale, and these figures mean nothing",
        "mask": "none: whole slices, background included; background without error flatters every measure. Slices with "
        f"more than {MIN_AREA:g} mm^2 where the truth is not 0 count (TC-MGAN: 2000 pixels of 1 mm), the others not",
        "data_range": "1",
        "nmae": "mean absolute error of the slice / (max - min of the true slice), which is 1 with background",
        "ssim_2d": "2-D, Gaussian window of sigma 1.5 pixels, K1 0.01, K2 0.03",
        "size": "the slices' own; TC-MGAN shrinks them to 128 x 128 before, which makes them smoother",
        "per": "slice, then the mean over the patient's slices; the mean of PSNRs is not the PSNR of the mean error",
    },
    regions=("slices",),
    columns=COLUMNS,
    judge=judge,
)

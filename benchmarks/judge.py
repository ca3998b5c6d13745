"""What the benchmarks of quality share: their arguments, and what they measure of one volume: few measures, quickly."""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from polycontrast.metrics.measures import nmae, psnr
from polycontrast.metrics.reference import PERCENTILES
from polycontrast.metrics.sharpness import Spectrum, power_spectrum, ring_correlation
from polycontrast.metrics.similarity import mean_in, ssim_map
from polycontrast.metrics.statistics import Summary, summarise

CONTRASTS = ("T1", "T1ce", "T2", "FLAIR")
FREQUENCIES = (0.1, 0.2, 0.3)  # cycles/mm, within 0.01
LEAST_CONFIDENT, LARGEST, LARGEST_SMOOTHED, CORRECTED = (
    f"error in the {of}"
    for of in (
        "least confident tenth", "tenth of largest errors", "tenth of largest smoothed errors",
        "tenth of largest corrected scales",
    )
)  # fmt: skip
EXPECTED = "error expected in the least confident tenth"
TENTHS = (LEAST_CONFIDENT, EXPECTED, LARGEST_SMOOTHED, CORRECTED, LARGEST)
_SMOOTH = 4.0  # mm: SD of the Gaussian that smooths errors
Array, Mask = NDArray[np.float32], NDArray[np.bool_]


def arguments(doc: str | None, steps: Sequence[str] = ()) -> argparse.ArgumentParser:
    """Where the patients lie and how to compute; with steps, which of them: the last one reads only what `-o` has."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    if steps:
        parser.add_argument("step", choices=steps)
        parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=not steps)
    parser.add_argument("--split", type=Path, required=not steps)
    parser.add_argument("--threads", type=int, default=1, help="patients at a time")
    parser.add_argument("--device", default="auto")
    return parser


def values_of(
    truth: Array,
    image: Array,
    brain: Mask,
    tumour: Mask,
    spacing: Sequence[float] = (),
    scale: Array | None = None,
) -> dict[str, float | None]:
    """By the protocol `polycontrast`, all [X, Y, Z] in normalised units: PSNR, SSIM and NMAE in the brain and the
    tumour; how far the tumour stands out in the image and in the truth; with a spacing (mm), the power of detail over
    the truth's, and how far it is the truth's; with a scale, the share of the error in the tenth of the brain where the
    scale is largest, and what the scale itself expects there; with both, in the tenths where the error is largest, or
    its mean nearby, or the scale once that mean is put right: what no map of confidence beats, and what a map hardly
    can that has not seen the patient's error."""
    low, high = np.percentile(truth[brain], PERCENTILES)
    span = float(high - low)
    similarity = ssim_map(truth, image, span)
    values: dict[str, float | None] = {}
    for region, inside in (("", brain), ("tumour ", tumour)):
        there = inside.any()
        values[f"{region}psnr"] = psnr(truth, image, inside, span) if there else None
        values[f"{region}ssim"] = mean_in(similarity, inside)
        values[f"{region}nmae"] = nmae(truth, image, inside) if there else None
    if tumour.any() and (brain & ~tumour).any():  # how far the tumour stands out from the rest of the brain
        values["contrast"], values["true contrast"] = (
            float(x[tumour].mean() - x[brain & ~tumour].mean()) for x in (image, truth)
        )
    if spacing:
        spectra = [power_spectrum(x, brain, spacing) for x in (truth, image)]
        agreement = ring_correlation(truth, image, brain, spacing)
        for frequency in FREQUENCIES:
            real, other, correlation = (_at(frequency, spectrum) for spectrum in (*spectra, agreement))
            values[f"power {frequency}"] = None if real is None or other is None else other / real
            values[f"ring correlation {frequency}"] = correlation
    if scale is not None:
        error = np.abs(truth - image) * brain
        values[LEAST_CONFIDENT] = _in_tenth(error, scale, brain)
        values[EXPECTED] = _in_tenth(scale * brain, scale, brain)
        if spacing:
            nearby = _smoothed(error, brain, spacing)
            expected = _smoothed(scale * brain, brain, spacing)
            values[LARGEST_SMOOTHED] = _in_tenth(error, nearby, brain)
            values[CORRECTED] = _in_tenth(error, scale * nearby / expected.clip(1e-6), brain)
            values[LARGEST] = _in_tenth(error, error, brain)
    return values


def _in_tenth(error: Array, by: Array, brain: Mask) -> float:
    """The share of the error in the tenth of the brain where `by` is largest."""
    return float(error[brain & (by >= np.percentile(by[brain], 90))].sum() / error.sum())


def _smoothed(error: Array, brain: Mask, spacing: Sequence[float]) -> Array:
    """The error's mean over the brain nearby."""
    sigma = [_SMOOTH / edge for edge in spacing]
    smoothed: Array = gaussian_filter(error, sigma) / gaussian_filter(brain.astype(np.float32), sigma).clip(1e-3)
    return smoothed


def interval(summary: Summary, form: str = ".3f") -> str:
    """The mean with its 95 % bootstrap interval, if there is one; "-" of no values."""
    if summary.mean is None:
        return "-"
    told = format(summary.mean, form)
    return f"{told} [{', '.join(format(edge, form) for edge in summary.interval)}]" if summary.interval else told


def mean(values: Sequence[float | None], form: str = ".3f") -> str:
    """The mean of the values that are there; "-" of none."""
    return interval(replace(summarise(values), interval=None), form)


def _at(frequency: float, spectrum: Spectrum | None) -> float | None:
    """Its mean around a frequency; None if the voxels are too coarse for it."""
    assert spectrum is not None
    around = np.abs(spectrum[0] - frequency) < 0.01
    return float(spectrum[1][around].mean()) if around.any() else None

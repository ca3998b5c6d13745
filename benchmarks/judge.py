"""What the benchmarks of quality measure of one volume: few measures, quickly."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from polycontrast.metrics.measures import nmae, psnr
from polycontrast.metrics.reference import PERCENTILES
from polycontrast.metrics.sharpness import power_spectrum
from polycontrast.metrics.similarity import mean_in, ssim_map

CONTRASTS = ("T1", "T1ce", "T2", "FLAIR")
FREQUENCIES = (0.1, 0.2, 0.3)  # cycles/mm, within 0.01
Array, Mask = NDArray[np.float32], NDArray[np.bool_]


def values_of(
    truth: Array,
    image: Array,
    brain: Mask,
    tumour: Mask,
    spacing: Sequence[float] = (),
    scale: Array | None = None,
) -> dict[str, float | None]:
    """By the protocol `polycontrast`, all [X, Y, Z] in normalised units: PSNR, SSIM and NMAE in the brain and the
    tumour, how far the tumour stands out in the image and in the truth, the power of detail over the truth's, and the
    share of the error in the tenth of the brain where the scale is largest. No power without a spacing (mm)."""
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
    spectra = [power_spectrum(x, brain, spacing) for x in (truth, image) if spacing]
    for frequency in FREQUENCIES if spectra else ():
        real, other = (s[1][np.abs(s[0] - frequency) < 0.01].mean() for s in spectra if s is not None)
        values[f"power {frequency}"] = float(other / real)
    if scale is not None:
        error, worst = np.abs(truth - image)[brain], scale[brain] >= np.percentile(scale[brain], 90)
        values["error in the least confident tenth"] = float(error[worst].sum() / error.sum())
    return values

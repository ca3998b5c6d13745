"""What a cohort's values say: mean, spread, and percentile bootstrap intervals over patients (Efron 1979).

A value is None where a measure is undefined (no tumour, say): that case is left out of the statistic; `n` says so.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 10_000
LEVEL = 0.95
Interval = tuple[float, float]


@dataclass(frozen=True)
class Summary:
    """n values' mean, sample SD, median, and the mean's 95 % interval; None where n is too small for it.

    An infinite value (the PSNR of two equal images) makes the mean infinite and leaves SD and interval undefined.
    """

    n: int
    mean: float | None
    sd: float | None
    median: float | None
    interval: Interval | None


def summarise(values: Sequence[float | None], seed: int = 0) -> Summary:
    """The summary of the values that are there."""
    known = np.array([v for v in values if v is not None], dtype=np.float64)
    if known.size == 0:
        return Summary(0, None, None, None, None)
    spread = known.size > 1 and bool(np.isfinite(known).all())
    return Summary(
        n=int(known.size),
        mean=float(known.mean()),
        sd=float(known.std(ddof=1)) if spread else None,
        median=float(np.median(known)),
        interval=bootstrap_interval(known.tolist(), seed),
    )


def bootstrap_interval(values: Sequence[float], seed: int = 0) -> Interval | None:
    """The mean's 95 % percentile bootstrap interval; None for fewer than two values or infinite ones."""
    known = np.asarray(values, dtype=np.float64)
    if known.size < 2 or not np.isfinite(known).all():
        return None
    drawn = np.random.default_rng(seed).integers(0, known.size, size=(RESAMPLES, known.size))
    low, high = np.quantile(known[drawn].mean(axis=1), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def paired_difference(a: Sequence[float | None], b: Sequence[float | None], seed: int = 0) -> Summary:
    """The summary of a - b case by case, over the cases where both are finite; a and b are in the same order."""
    pairs = zip(a, b, strict=True)
    return summarise([x - y for x, y in pairs if _finite(x) and _finite(y)], seed)  # type: ignore[operator]


def _finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)

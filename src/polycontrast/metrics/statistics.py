"""What a cohort's values say: mean, spread, percentile bootstrap intervals over patients (Efron 1979), paired tests.

A value is None where a measure is undefined (no tumour, say): that case is left out of the statistic; `n` says so.
Whatever is paired looks at the pairs of which both values are there and finite: the difference to an infinite value
(the PSNR of equal images) has no mean.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeGuard

import numpy as np

from polycontrast.data.split import subject

RESAMPLES = 10_000
LEVEL = 0.95
MIN_PAIRS = 5  # of fewer no p is told: not even 5 can come below 0.0625
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


def by_patient(values: Mapping[str, float | None]) -> dict[str, float | None]:
    """{case: value} -> {patient: mean over the patient's visits}, in the order of first visits; None where no visit has
    a value. Visits of one patient are not independent, and no statistic here counts them as if they were."""
    visits: dict[str, list[float]] = {}
    for case, value in values.items():
        visits.setdefault(subject(case), []).extend([] if value is None else [value])
    return {patient: sum(known) / len(known) if known else None for patient, known in visits.items()}


def over_patients(values: Mapping[str, float | None], seed: int = 0) -> Summary:
    """The summary of {case: value}, a patient's visits averaged."""
    return summarise(list(by_patient(values).values()), seed)


def by_visit(
    a: Mapping[str, float | None], b: Mapping[str, float | None]
) -> tuple[list[float | None], list[float | None]]:
    """Two systems' values {case: value} as a pair for each patient: the means over the visits that both have. Else one
    that lacks a patient's worse visit would differ from the other where they are alike."""
    both = [case for case in a if _known(a[case]) and _known(b.get(case))]
    first, second = (by_patient({case: values[case] for case in both}) for values in (a, b))
    return list(first.values()), list(second.values())


def bootstrap_interval(values: Sequence[float], seed: int = 0) -> Interval | None:
    """The mean's 95 % percentile bootstrap interval, in any order; None for fewer than two values or infinite ones."""
    known = np.sort(np.asarray(values, dtype=np.float64))
    if known.size < 2 or not np.isfinite(known).all():
        return None
    drawn = np.random.default_rng(seed).integers(0, known.size, size=(RESAMPLES, known.size))
    low, high = np.quantile(known[drawn].mean(axis=1), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def paired_difference(a: Sequence[float | None], b: Sequence[float | None], seed: int = 0) -> Summary:
    """The summary of a - b case by case; a and b are in the same order."""
    return summarise(_differences(a, b), seed)


def wilcoxon(a: Sequence[float | None], b: Sequence[float | None]) -> float | None:
    """The two-sided p of Wilcoxon's signed-rank test (1945): the differences a - b are symmetric about zero.

    None for fewer than 5 pairs; 1 if all differences are zero. Zero differences are left out, as Wilcoxon did. Exact
    up to 50 pairs without ties (with ties, up to 13), by the normal distribution beyond (scipy).
    """
    found = _differences(a, b)
    if len(found) < MIN_PAIRS:
        return None
    if not any(found):
        return 1.0
    from scipy import stats

    return float(stats.wilcoxon([d for d in found if d != 0]).pvalue)


def smallest_p(n: int) -> float:
    """The smallest p that `wilcoxon` can give for n pairs, 2 / 2^n: all n differences have one sign."""
    return min(1.0, 2.0 ** (1 - n))


def rank_biserial(a: Sequence[float | None], b: Sequence[float | None]) -> float | None:
    """The matched-pairs rank-biserial correlation, Wilcoxon's effect size: (R+ - R-) / (R+ + R-), in [-1, 1].

    R+ and R- are the sums of the ranks of |a - b| where a or b is greater (Kerby 2014); 1: a is greater in every pair.
    Zero differences are left out; 0 if there are no others, None if there is no pair.
    """
    found = _differences(a, b)
    differences = np.array([d for d in found if d != 0])
    if not differences.size:
        return 0.0 if found else None
    from scipy import stats

    ranks = stats.rankdata(np.abs(differences))
    return float((np.sign(differences) * ranks).sum() / ranks.sum())


def holm(p_values: Mapping[str, float | None]) -> dict[str, float | None]:
    """The p values of one family, adjusted (Holm 1979): the i-th smallest of m times m - i + 1, never below a smaller
    one's, at most 1. None stays None: no test was made, and none is counted."""
    known = {name: p for name, p in p_values.items() if p is not None}
    adjusted: dict[str, float | None] = dict.fromkeys(p_values)
    largest = 0.0
    for done, (name, p) in enumerate(sorted(known.items(), key=lambda item: item[1])):
        largest = max(largest, min(1.0, (len(known) - done) * p))
        adjusted[name] = largest
    return adjusted


@dataclass(frozen=True)
class Comparison:
    """A system against the reference, patient by patient: positive means that the system's value is greater (which is
    better or worse, as the measure has it).

    difference: of the pairs, with their number n. p: Wilcoxon's; p_holm: over all systems that were compared with this
    reference at once. effect: `rank_biserial`.
    """

    difference: Summary
    p: float | None
    p_holm: float | None
    effect: float | None

    def turned(self) -> "Comparison":
        """The reference against the system."""
        d = self.difference
        ends = d.interval and (-d.interval[1], -d.interval[0])
        difference = Summary(d.n, _minus(d.mean), d.sd, _minus(d.median), ends)
        return Comparison(difference, self.p, self.p_holm, _minus(self.effect))


def compare_systems(
    values: Mapping[str, Mapping[str, float | None]], reference: str, seed: int = 0
) -> dict[str, Comparison]:
    """Each other system against the reference. values: system -> {case: value}; visits of a patient are averaged.

    One call is one family of tests: call it per contrast, measure, region and protocol.
    """
    pairs = {name: by_visit(own, values[reference]) for name, own in values.items() if name != reference}
    p_values = {name: wilcoxon(*pair) for name, pair in pairs.items()}
    adjusted = holm(p_values)
    return {
        name: Comparison(paired_difference(*pair, seed), p_values[name], adjusted[name], rank_biserial(*pair))
        for name, pair in pairs.items()
    }


def _minus(value: float | None) -> float | None:
    return None if value is None else -value


def _differences(a: Sequence[float | None], b: Sequence[float | None]) -> list[float]:
    """a - b of the pairs of which both are there and finite. ValueError if the lengths differ."""
    return [x - y for x, y in zip(a, b, strict=True) if _known(x) and _known(y)]


def _known(value: float | None) -> TypeGuard[float]:
    return value is not None and math.isfinite(value)

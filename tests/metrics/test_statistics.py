"""Statistics: undefined values are left out and counted, intervals repeat and cover."""

import math

import numpy as np
import pytest
from scipy import stats

from polycontrast.metrics.statistics import bootstrap_interval, paired_difference, summarise


def test_values_that_are_missing_are_left_out_and_counted():
    found = summarise([1.0, None, 3.0, 5.0])
    assert (found.n, found.mean, found.median) == (3, 3.0, 3.0)
    assert found.sd == pytest.approx(2.0)


def test_no_value_gives_no_statistic():
    found = summarise([None, None])
    assert (found.n, found.mean, found.sd, found.interval) == (0, None, None, None)


def test_one_value_has_a_mean_but_no_spread():
    found = summarise([2.0])
    assert (found.n, found.mean, found.sd, found.interval) == (1, 2.0, None, None)


def test_an_infinite_value_stays_infinite():
    found = summarise([20.0, math.inf])
    assert found.mean == math.inf
    assert found.sd is None
    assert found.interval is None


def test_the_interval_agrees_with_scipy_and_repeats():
    values = np.random.default_rng(0).normal(25, 2, size=30).tolist()
    low, high = bootstrap_interval(values)
    expected = stats.bootstrap(
        (values,), np.mean, n_resamples=10_000, method="percentile", rng=np.random.default_rng(5)
    ).confidence_interval
    assert (low, high) == pytest.approx(tuple(expected), abs=0.05)
    assert bootstrap_interval(values) == (low, high)
    assert bootstrap_interval(values, seed=1) != (low, high)


def test_a_paired_difference_is_taken_case_by_case():
    found = paired_difference([5.0, None, 7.0, math.inf, 9.0], [1.0, 2.0, 4.0, 3.0, None])
    assert (found.n, found.mean) == (2, 3.5)


def test_a_constant_gain_is_seen_through_any_spread_between_cases():
    truth = [10.0, 20.0, 30.0]
    found = paired_difference([v + 1 for v in truth], truth)
    assert found.interval == pytest.approx((1.0, 1.0))

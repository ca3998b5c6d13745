"""Statistics: undefined values are left out and counted, intervals repeat and cover, tests are those of the books."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from polycontrast.metrics.statistics import (
    bootstrap_interval,
    by_patient,
    compare_systems,
    holm,
    paired_difference,
    rank_biserial,
    smallest_p,
    summarise,
    wilcoxon,
)

ZEROS = [0.0] * 10
p_values = st.dictionaries(st.text(max_size=3), st.none() | st.floats(0, 1), max_size=8)


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


def test_the_wilcoxon_test_is_exact_and_equals_scipy():
    rng = np.random.default_rng(3)
    a, b = rng.normal(0.5, 1, 10).tolist(), rng.normal(0, 1, 10).tolist()
    assert wilcoxon(a, b) == pytest.approx(stats.wilcoxon(a, b, method="exact").pvalue, rel=1e-12)
    assert wilcoxon(b, a) == wilcoxon(a, b)


def test_the_smallest_p_of_ten_patients_is_2_in_1024():
    always = [float(i) for i in range(1, 11)]
    assert wilcoxon(always, ZEROS) == smallest_p(10) == pytest.approx(0.001953125)
    once = [-1.0, *always[1:]]  # the smallest difference has the other sign: two more sums as extreme
    assert wilcoxon(once, ZEROS) == pytest.approx(4 / 1024)
    assert [smallest_p(n) for n in (0, 1, 5)] == [1.0, 1.0, 0.0625]


def test_a_test_of_too_few_or_of_equal_values_says_nothing():
    assert wilcoxon([1.0, 2.0, 3.0, 4.0, math.inf, None], [0.0] * 6) is None
    assert wilcoxon([1.0, 2.0, 3.0, 4.0, 5.0, None], [0.0] * 6) == 0.0625
    assert wilcoxon(ZEROS, ZEROS) == 1.0
    assert wilcoxon([math.inf] * 6, [math.inf] * 6) is None


def test_differences_that_tie_or_are_zero_are_tested_exactly():
    a = [0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0]  # five of one sign are left
    assert wilcoxon(a, [0.0] * 7) == pytest.approx(2 / 2**5)


def test_the_effect_is_the_share_of_ranks_for_minus_the_share_against():
    assert rank_biserial([1.0, 2.0, 3.0, -4.0], [0.0] * 4) == pytest.approx((6 - 4) / 10)
    assert rank_biserial([2.0, -2.0, 5.0, None, math.inf], [0.0] * 5) == pytest.approx((1.5 + 3 - 1.5) / 6)
    assert rank_biserial(range(1, 11), ZEROS) == 1.0
    assert rank_biserial(ZEROS, range(1, 11)) == -1.0
    assert rank_biserial(ZEROS, ZEROS) == 0.0
    assert rank_biserial([None], [1.0]) is None


def test_holm_by_hand():
    found = holm({"a": 0.01, "b": 0.04, "c": None, "d": 0.03, "e": 0.005})
    assert found == pytest.approx({"a": 0.03, "b": 0.06, "c": None, "d": 0.06, "e": 0.02})
    assert holm({"a": 0.6, "b": 0.7}) == {"a": 1.0, "b": 1.0}
    assert holm({}) == {}


@given(p_values)
def test_holm_adjusts_upwards_keeps_the_order_and_stays_below_bonferroni(values: dict[str, float | None]):
    adjusted = holm(values)
    assert list(adjusted) == list(values)
    known = {name: p for name, p in values.items() if p is not None}
    assert {name for name, p in adjusted.items() if p is not None} == set(known)
    for name, p in known.items():
        assert p <= adjusted[name] <= min(1.0, len(known) * p)
        assert all(adjusted[name] <= adjusted[other] for other, q in known.items() if p <= q)


@given(st.lists(st.tuples(*[st.none() | st.floats(-1e3, 1e3)] * 2), max_size=12))
def test_the_effect_has_the_sign_of_the_ranks_and_turns_with_the_order(pairs: list[tuple[float | None, float | None]]):
    a, b = [x for x, _ in pairs], [y for _, y in pairs]
    effect = rank_biserial(a, b)
    assert effect is None or -1 <= effect <= 1
    assert rank_biserial(b, a) == (None if effect is None else pytest.approx(-effect))
    p = wilcoxon(a, b)
    assert p is None or smallest_p(len(pairs)) * (1 - 1e-9) <= p <= 1


def by_case(values):
    return {f"P{i}": value for i, value in enumerate(values)}


def test_systems_are_compared_with_the_reference_as_one_family():
    values = {
        "old": [float(i) for i in range(10)],
        "new": [i + 1.0 + i / 10 for i in range(10)],
        "same": [float(i) for i in range(10)],
        "few": [1.0, 2.0, None, None, None, math.inf, None, None, None, None],
    }
    found = compare_systems({name: by_case(own) for name, own in values.items()}, "old")
    assert list(found) == ["new", "same", "few"]
    new, same, few = found.values()
    assert (new.difference.n, new.difference.mean) == (10, pytest.approx(1.45))
    assert new.difference.interval[0] > 1
    assert (new.p, new.p_holm, new.effect) == pytest.approx((2 / 1024, 4 / 1024, 1.0))  # two tests: few has none
    assert (same.p, same.p_holm, same.effect) == (1.0, 1.0, 0.0)
    assert (few.difference.n, few.difference.mean, few.p, few.p_holm, few.effect) == (2, 1.0, None, None, 1.0)


def test_pairs_that_do_not_match_are_no_pairs():
    with pytest.raises(ValueError, match="shorter"):
        paired_difference([1.0, 2.0], [1.0])


def test_a_visit_that_one_of_two_lacks_makes_no_difference():
    whole = {f"BraTS-GLI-{patient:05d}-{visit:03d}": 20.0 + patient + 10 * visit
             for patient in range(6) for visit in range(2)}  # fmt: skip
    part = {case: None if case.endswith("001") else value for case, value in whole.items()}
    for lacking in (part, {case: value for case, value in part.items() if value is not None}):
        found = compare_systems({"whole": whole, "part": lacking}, "whole")["part"]
        assert (found.difference.n, found.difference.mean, found.p) == (6, 0.0, 1.0)


def test_a_comparison_turned_is_the_one_with_the_roles_exchanged():
    a, b = [1.0, 2.5, 3.0, 4.5, 7.0, None], [0.5, 3.0, 1.0, 2.0, 3.5, 1.0]
    both = {"a": by_case(a), "b": by_case(b)}
    ours = compare_systems(both, "a")["b"].turned()
    theirs = compare_systems(both, "b")["a"]
    assert (ours.p, ours.p_holm, ours.effect) == (theirs.p, theirs.p_holm, theirs.effect)
    assert ours.difference.mean == pytest.approx(theirs.difference.mean)
    assert ours.difference.interval == pytest.approx(theirs.difference.interval)
    assert ours.difference.n == 5


def test_visits_of_one_patient_count_once():
    values = {"BraTS-GLI-00001-000": 1.0, "BraTS-GLI-00002-000": None, "BraTS-GLI-00001-001": 4.0, "P3": 2.0}
    found = by_patient(values)
    assert list(found.values()) == [2.5, None, 2.0]
    assert summarise(list(found.values())).n == 2

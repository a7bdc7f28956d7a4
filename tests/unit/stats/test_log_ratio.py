"""Tests the ratio of two runs' ratios against scipy's Welch test, and Holm's rule against a table by hand."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bench.stats.distributions import t_beyond
from bench.stats.holm import adjust_chances
from bench.stats.log_ratio import LogRatio, divide_ratios
from bench.stats.paired import mean_log_ratio

A = [1.02, 0.97, 1.05, 0.99, 1.01, 0.94, 1.08]
B = [1.21, 1.02, 1.33, 1.15]


def of_rounds(ratios: list[float]) -> LogRatio:
    return mean_log_ratio([3 * ratio for ratio in ratios], [3.0] * len(ratios))


@pytest.mark.parametrize(("t", "degrees"), [(0.0, 3.0), (1.3, 1.0), (-2.5, 7.4), (12.0, 30.0), (250.0, 9.0)])
def test_what_lies_beyond_t_is_what_scipy_has(t: float, degrees: float) -> None:
    assert t_beyond(t, degrees) == pytest.approx(2 * stats.t.sf(abs(t), degrees), rel=1e-9)


def test_two_runs_are_compared_as_welch_does() -> None:
    found = divide_ratios(of_rounds(B), of_rounds(A))
    theirs = stats.ttest_ind([math.log(one) for one in B], [math.log(one) for one in A], equal_var=False)
    assert found.find_chance() == pytest.approx(theirs.pvalue)
    assert found.degrees == pytest.approx(theirs.df)
    ratio, interval = found.to_estimate(), theirs.confidence_interval(0.95)
    assert (ratio.low, ratio.high) == (pytest.approx(math.exp(interval.low)), pytest.approx(math.exp(interval.high)))
    assert ratio.n == 4


def test_what_a_round_shares_is_in_no_ratio() -> None:
    moods = [1.0, 2.0, 0.5, 1.4, 0.7, 3.0, 1.1]
    moody = mean_log_ratio([ratio * mood for ratio, mood in zip(A, moods, strict=True)], moods)
    steady = mean_log_ratio(A, [1.0] * 7)
    assert (moody.middle, moody.error) == (pytest.approx(steady.middle), pytest.approx(steady.error))


def test_a_run_that_knows_no_scatter_leaves_a_ratio_without_an_interval() -> None:
    found = divide_ratios(of_rounds([1.2]), of_rounds(A))
    assert found.find_chance() is None
    assert found.reason
    assert found.to_estimate().value == pytest.approx(1.2 / stats.gmean(A))
    assert found.to_estimate().low is None


@pytest.mark.parametrize("broken", [[1.0, math.inf], [0.0, 1.0], []])
def test_a_censored_round_leaves_no_ratio(broken: list[float]) -> None:
    found = divide_ratios(mean_log_ratio(broken, [1.0] * len(broken)), of_rounds(A))
    assert (found.middle, found.find_chance()) == (None, None)
    assert found.reason


def test_runs_without_any_scatter_differ_or_do_not() -> None:
    same, twice = of_rounds([1.0, 1.0]), of_rounds([2.0, 2.0])
    assert divide_ratios(same, same).find_chance() == 1
    assert divide_ratios(twice, same).find_chance() == 0


def test_holms_rule_by_hand() -> None:
    assert adjust_chances([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


@given(st.lists(st.floats(0, 1), max_size=30))
def test_no_chance_shrinks_or_grows_more_than_by_the_number_of_questions(chances: list[float]) -> None:
    adjusted = adjust_chances(chances)
    assert all(
        one <= now <= min(1, one * len(chances)) or now >= one for one, now in zip(chances, adjusted, strict=True)
    )
    assert max(adjusted, default=0) <= 1
    assert sorted(adjusted) == [now for _, now in sorted(zip(chances, adjusted, strict=True))]

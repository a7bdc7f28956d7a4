"""Tests ratios between runs against scipy's Mann-Whitney test and simulation."""

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from bench.stats.unpaired import find_rank_sum_bound, unpaired_ratio

POSITIVE = st.floats(1e-3, 1e6)
INF = math.inf


@pytest.mark.parametrize(
    ("m", "n", "critical"), [(4, 4, 0), (5, 5, 2), (6, 6, 5), (7, 7, 8), (8, 10, 17), (12, 12, 37)]
)
def test_ranks_are_one_more_than_the_published_critical_values(m: int, n: int, critical: int) -> None:
    assert find_rank_sum_bound(m, n)[0] == critical + 1


@pytest.mark.parametrize(("m", "n"), [(1, 30), (3, 3), (3, 4)])
def test_too_few_trials_have_no_rank(m: int, n: int) -> None:
    assert find_rank_sum_bound(m, n) == (0, 0.0)


@pytest.mark.slow
def test_two_hundred_trials_on_either_side_agree_with_the_normal_approximation() -> None:
    k, coverage = find_rank_sum_bound(200, 200)
    spread = math.sqrt(200 * 200 * 401 / 12)
    assert k == pytest.approx(20_000 - 1.96 * spread, abs=3)
    assert coverage == pytest.approx(0.95, abs=0.001)


def test_the_water_transfer_of_hollander_and_wolfe_gives_their_estimate_and_interval() -> None:
    # Nonparametric Statistical Methods, examples 4.1, 4.3 and 4.4: permeability at term and at 12 to 26 weeks.
    at_term = [0.80, 0.83, 1.89, 1.04, 1.45, 1.38, 1.91, 1.64, 0.73, 1.46]
    earlier = [1.15, 0.88, 0.90, 0.74, 1.21]
    found = unpaired_ratio([math.exp(x) for x in earlier], [math.exp(x) for x in at_term])
    assert found.value == pytest.approx(math.exp(-0.305))
    assert found.low == pytest.approx(math.exp(-0.76))
    assert found.high == pytest.approx(math.exp(0.15))


@settings(max_examples=50)
@given(
    st.lists(st.integers(-300, 300), min_size=4, max_size=9, unique=True),
    st.lists(st.integers(-300, 300), min_size=4, max_size=9, unique=True),
    st.integers(-300, 300),
)
def test_the_interval_holds_what_scipys_mann_whitney_test_does_not_refuse(
    ours: list[int], theirs: list[int], shift: int
) -> None:
    # The test knows no ties, and a shift of a quarter of a step makes none.
    by = (shift + 0.25) / 100
    values, bases = [number / 100 for number in ours], [number / 100 for number in theirs]
    found = unpaired_ratio([math.exp(value) for value in values], [math.exp(base) for base in bases])
    assert found.low is not None
    assert found.high is not None
    p_value = stats.mannwhitneyu([value - by for value in values], bases, method="exact").pvalue
    assert (found.low <= math.exp(by) <= found.high) == (p_value > 0.05)


@given(st.lists(POSITIVE, min_size=1, max_size=9), st.lists(POSITIVE, min_size=1, max_size=9))
def test_a_ratio_turned_round_is_its_inverse(ours: list[float], theirs: list[float]) -> None:
    there, back = unpaired_ratio(ours, theirs), unpaired_ratio(theirs, ours)
    assert there.value is not None
    assert back.value is not None
    assert there.value * back.value == pytest.approx(1)
    if there.low is not None:
        assert back.high is not None
        assert there.low * back.high == pytest.approx(1)


def test_one_bad_trial_moves_the_estimate_little() -> None:
    assert unpaired_ratio([2, 2.02, 1.98, 2, 2.01, 90], [1, 1.01, 0.99, 1, 1, 1]).value == pytest.approx(2, rel=0.03)


def test_three_trials_give_a_ratio_and_say_why_no_interval() -> None:
    found = unpaired_ratio([2, 2, 2], [1, 1, 1])
    assert (found.value, found.low, found.high) == (pytest.approx(2), None, None)
    assert found.reason == "95% need more trials than 3 and 3"


def test_no_trials_give_no_ratio() -> None:
    assert unpaired_ratio([], [1.0]).reason == "one of the two has no such number"


def test_one_censored_trial_leaves_the_ratio_and_may_open_the_upper_end() -> None:
    found = unpaired_ratio([2, 2, 2, INF], [1, 1, 1, 1])
    assert (found.value, found.low, found.high) == (pytest.approx(2), pytest.approx(2), INF)


def test_trials_censored_on_both_sides_leave_no_ratio_where_it_depends_on_them() -> None:
    found = unpaired_ratio([INF] * 4, [INF] * 4)
    assert (found.value, found.reason) == (None, "trials censored on both sides leave the ratio open")


@pytest.mark.parametrize(("m", "n"), [(6, 6), (7, 12), (4, 4)])
def test_the_interval_holds_the_true_ratio_as_often_as_it_says(m: int, n: int) -> None:
    draw, held, times = random.Random(f"{m} {n}"), 0, 2000
    for _ in range(times):
        values = [1.3 * draw.lognormvariate(0, 0.2) for _ in range(m)]
        found = unpaired_ratio(values, [draw.lognormvariate(0, 0.2) for _ in range(n)])
        assert found.low is not None
        assert found.high is not None
        held += found.low <= 1.3 <= found.high
    assert held / times == pytest.approx(find_rank_sum_bound(m, n)[1], abs=0.015)

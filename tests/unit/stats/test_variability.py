"""Tests the variability of metrics and intervals, and Little's law."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bench.stats.littles_law import littles_law_error
from bench.stats.paired import log_ratios, paired_ratio
from bench.stats.variability import clopper_pearson, coefficient_of_variation, count_intervals_covering, pair_noise


@given(st.lists(st.floats(1, 1e6), min_size=2, max_size=30))
def test_the_coefficient_of_variation_is_scipys(values: list[float]) -> None:
    assert coefficient_of_variation(values) == pytest.approx(float(stats.variation(values, ddof=1)), abs=1e-9)


@pytest.mark.parametrize(("values", "expected"), [([1.0], None), ([0.0, 0.0], None), ([1.0, math.inf], math.inf)])
def test_a_coefficient_of_variation_that_cannot_be_is_none_or_infinite(
    values: list[float], expected: float | None
) -> None:
    assert coefficient_of_variation(values) == expected


def test_noise_of_three_percent_between_pairs_is_0_03() -> None:
    draw = random.Random(1)
    values = [5000 * math.exp(draw.gauss(0, 0.03)) for _ in range(5000)]
    assert pair_noise(log_ratios(values, [5000.0] * len(values))) == pytest.approx(0.03, rel=0.05)


@pytest.mark.parametrize(("logs", "expected"), [([], None), ([0.1], None), ([0.1, math.inf, -math.inf], math.inf)])
def test_noise_of_too_few_or_censored_pairs(logs: list[float], expected: float | None) -> None:
    assert pair_noise(logs) == expected


@given(st.integers(1, 200), st.data())
def test_the_interval_of_a_share_is_scipys(n: int, data: st.DataObject) -> None:
    successes = data.draw(st.integers(0, n))
    expected = stats.binomtest(successes, n).proportion_ci(0.95, method="exact")
    assert clopper_pearson(successes, n) == pytest.approx((expected.low, expected.high), abs=1e-7)


def test_thirty_of_thirty_leave_more_than_an_eighth_open() -> None:
    low, high = clopper_pearson(30, 30)
    assert (low, high) == (pytest.approx(0.025 ** (1 / 30)), 1.0)


@pytest.mark.parametrize(("successes", "n"), [(0, 0), (3, 2), (-1, 5)])
def test_a_share_of_nothing_is_refused(successes: int, n: int) -> None:
    with pytest.raises(ValueError, match="say nothing"):
        clopper_pearson(successes, n)


def test_an_interval_that_ends_at_the_truth_holds_it() -> None:
    found = count_intervals_covering([(0.9, 1.0), (1.0, 1.2), (1.01, 1.1), (0.5, 0.99), (0.0, math.inf)])
    assert (found.held, found.n, found.share) == (3, 5, 0.6)


def test_intervals_of_equal_arms_hold_one_as_often_as_thirty_runs_allow() -> None:
    draw = random.Random(2)

    def arm() -> list[float]:
        return [draw.lognormvariate(1, 0.1) for _ in range(8)]

    ratios = [paired_ratio(arm(), arm()) for _ in range(30)]
    found = count_intervals_covering(
        (ratio.low, ratio.high) for ratio in ratios if ratio.low is not None and ratio.high is not None
    )
    assert found.n == 30
    assert found.low <= 0.95 <= found.high


@pytest.mark.parametrize("load", [0.2, 0.5, 0.9])
def test_littles_law_holds_for_a_queue_with_one_exponential_server(load: float) -> None:
    per_s, served_per_s = 100 * load, 100
    assert littles_law_error(load / (1 - load), per_s / (served_per_s - per_s)) == pytest.approx(0, abs=1e-12)


def test_instants_that_leave_out_the_wait_break_littles_law() -> None:
    assert littles_law_error(mean_in_flight=1.0, mean_by_instants=0.5) == pytest.approx(1.0)


def test_littles_law_says_nothing_of_no_orders() -> None:
    with pytest.raises(ValueError, match="says nothing"):
        littles_law_error(0, 0)

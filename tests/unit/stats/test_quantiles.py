"""Tests quantiles and their intervals against scipy and simulation."""

import math
import random
from fractions import Fraction

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bench.stats.intervals import count_values_needed, coverage, estimate_median, geometric_mean, interval_rank
from bench.stats.quantiles import find_bucket, interval_ranks, quantile_rank, samples_needed

QUANTILES = [Fraction(1, 2), Fraction(9, 10), Fraction(99, 100), Fraction(999, 1000)]
POSITIVE = st.floats(1e-3, 1e6)


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=300), st.sampled_from(QUANTILES))
def test_a_rank_picks_what_numpys_inverted_cdf_picks(values: list[int], quantile: Fraction) -> None:
    expected = numpy.quantile(values, float(quantile), method="inverted_cdf")
    # Floating point may put q * n just above a whole number, where the fraction is exact.
    exact = (len(values) * quantile).denominator == 1
    picked = sorted(values)[quantile_rank(quantile, len(values)) - 1]
    assert picked == expected or exact


@pytest.mark.parametrize(("quantile", "needed"), list(zip(QUANTILES, (11, 64, 662, 6636), strict=True)))
def test_samples_needed_are_those_of_the_notes(quantile: Fraction, needed: int) -> None:
    assert samples_needed(quantile) == needed


@given(st.integers(50, 9999))
def test_one_sample_fewer_than_needed_is_too_few_by_scipys_binomial(quantile_in_ten_thousand: int) -> None:
    quantile = Fraction(quantile_in_ten_thousand, 10_000)
    needed = samples_needed(quantile)
    beyond = float(1 - quantile)
    assert stats.binom.cdf(1, needed, beyond) <= 0.01 + 1e-12
    assert needed == 2 or stats.binom.cdf(1, needed - 1, beyond) > 0.01 - 1e-12


@pytest.mark.parametrize(
    ("n", "quantile", "ranks"),
    [
        (1_000, Fraction(99, 100), (983, 998)),
        (10_000, Fraction(99, 100), (9_880, 9_921)),
        (100_000, Fraction(99, 100), (98_938, 99_063)),
        (5_000, Fraction(999, 1000), (4_990, 5_001)),
    ],
)
def test_exact_ranks_of_a_quantile_are_those_of_the_normal_approximation_or_one_nearer(
    n: int, quantile: Fraction, ranks: tuple[int, int]
) -> None:
    assert interval_ranks(quantile, n) == (ranks[0], ranks[1] - 1)


@given(st.integers(1, 5000), st.sampled_from(QUANTILES))
def test_ranks_of_a_quantile_are_the_nearest_that_scipys_binomial_allows(n: int, quantile: Fraction) -> None:
    below = stats.binom(n, float(quantile))
    low, high = interval_ranks(quantile, n)
    assert low is None or below.cdf(low - 1) <= 0.025
    assert below.cdf(low or 0) > 0.025
    assert high is None or below.sf(high - 1) <= 0.025
    assert below.sf((high or n + 1) - 2) > 0.025


def test_a_bound_beyond_the_samples_is_none() -> None:
    assert interval_ranks(Fraction(999, 1000), 3687)[1] is None
    assert interval_ranks(Fraction(999, 1000), 3688)[1] == 3688
    assert interval_ranks(Fraction(1, 2), 5) == (None, None)


@pytest.mark.parametrize("draw", ["normal", "lognormal", "pareto"])
def test_the_interval_of_p99_holds_it_as_often_as_it_says(draw: str) -> None:
    law = {"normal": stats.norm(5), "lognormal": stats.lognorm(0.5), "pareto": stats.pareto(1.2)}[draw]
    low, high = interval_ranks(Fraction(99, 100), 2000)
    assert low is not None
    assert high is not None
    ordered = numpy.sort(law.rvs((3000, 2000), random_state=numpy.random.default_rng(11)))
    held = ((ordered[:, low - 1] <= law.ppf(0.99)) & (law.ppf(0.99) <= ordered[:, high - 1])).mean()
    says = stats.binom.cdf(high - 1, 2000, 0.99) - stats.binom.cdf(low - 1, 2000, 0.99)
    assert 0.95 <= says <= 0.97
    assert held == pytest.approx(says, abs=0.015)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=40), st.integers(1, 250))
def test_the_class_of_a_rank_is_where_the_sample_lies(counts: list[int], wanted: int) -> None:
    samples = [index for index, count in enumerate(counts) for _ in range(count)]
    assert find_bucket(counts, wanted) == (samples[wanted - 1] if wanted <= len(samples) else None)


def test_six_trials_give_their_extremes_with_96_9_percent() -> None:
    found = estimate_median([3, 1, 2, 6, 5, 4])
    assert (found.value, found.low, found.high) == (3.5, 1, 6)
    assert found.coverage == pytest.approx(0.96875)


def test_five_trials_give_a_median_and_say_why_no_interval() -> None:
    found = estimate_median([3, 1, 2, 5, 4])
    assert (found.value, found.low, found.high) == (3, None, None)
    assert found.reason == "95% need 6 rounds, there are 5"


@pytest.mark.parametrize(("n", "j"), [(5, None), (6, 1), (9, 2), (12, 3), (20, 6)])
def test_interval_ranks_are_those_of_the_notes(n: int, j: int | None) -> None:
    assert interval_rank(n) == j


@given(st.integers(6, 200))
def test_the_interval_is_the_shortest_that_scipys_binomial_allows(n: int) -> None:
    j = interval_rank(n)
    assert j is not None
    assert coverage(n, j) == pytest.approx(1 - 2 * stats.binom.cdf(j - 1, n, 0.5))
    assert coverage(n, j) >= 0.95
    assert coverage(n, j + 1) < 0.95


@given(st.lists(st.floats(-1e6, 1e6), min_size=6, max_size=60))
def test_the_interval_agrees_with_scipys_quantile_test(values: list[float]) -> None:
    found = estimate_median(values)
    interval = stats.quantile_test(values, q=0, p=0.5).confidence_interval(0.95)
    assert found.low is not None
    assert found.low <= interval.low  # ours is the symmetric one of the two that exist
    assert found.high is not None
    assert found.high >= interval.high


def test_the_interval_holds_the_true_median_as_often_as_it_says() -> None:
    draw = random.Random(7)
    hits = 0
    for _ in range(3000):
        found = estimate_median([draw.lognormvariate(0, 1) for _ in range(9)])
        assert found.low is not None
        assert found.high is not None
        hits += found.low <= 1 <= found.high
    assert hits / 3000 == pytest.approx(coverage(9, 2), abs=0.015)


def test_a_censored_trial_makes_the_upper_end_infinite() -> None:
    assert estimate_median([1, 2, 3, 4, 5, math.inf]).high == math.inf


def test_nothing_measured_is_no_number() -> None:
    assert estimate_median([]).value is None


def test_fewest_trials_for_95_percent_are_six() -> None:
    assert count_values_needed() == 6


@given(st.lists(POSITIVE, min_size=1, max_size=30))
def test_the_geometric_mean_is_scipys(values: list[float]) -> None:
    assert geometric_mean(values) == pytest.approx(float(stats.gmean(values)))

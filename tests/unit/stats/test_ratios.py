"""Tests ratios of two estimates, and when a ratio counts as a difference."""

import math
import random
from statistics import fmean, stdev

import pytest

from bench.stats.distributions import t_quantile
from bench.stats.equivalence import Verdict, classify_ratio
from bench.stats.intervals import Estimate
from bench.stats.mover import estimate_ratio


def between(low: float | None, value: float | None, high: float | None, reason: str | None = None) -> Estimate:
    return Estimate(value, low, high, None if low is None else 0.95, 6, reason)


def test_a_base_that_is_known_exactly_leaves_the_values_own_interval() -> None:
    found = estimate_ratio(between(1.8, 2.0, 2.5), between(1.0, 1.0, 1.0))
    assert (found.low, found.value, found.high) == (pytest.approx(1.8), pytest.approx(2.0), pytest.approx(2.5))


def test_equal_widths_on_both_sides_add_up_as_the_sides_of_a_right_angle() -> None:
    wide = math.exp(0.3)
    found = estimate_ratio(between(1 / wide, 1.0, wide), between(1 / wide, 1.0, wide))
    assert found.high == pytest.approx(math.exp(0.3 * math.sqrt(2)))
    assert found.low == pytest.approx(math.exp(-0.3 * math.sqrt(2)))


def test_a_base_whose_interval_reaches_below_zero_leaves_the_ratio_open_above() -> None:
    found = estimate_ratio(between(1.8, 2.0, 2.2), between(-0.1, 1.0, 2.1))
    assert found.high == math.inf
    assert found.low is not None
    assert found.low > 0


@pytest.mark.parametrize(
    "base", [between(None, None, None, "no line"), between(-2.0, -1.0, 1.0), between(1, math.inf, 2)]
)
def test_a_base_that_is_no_positive_number_has_no_ratio(base: Estimate) -> None:
    found = estimate_ratio(between(1.0, 1.0, 1.0), base)
    assert found.value is None
    assert found.reason


def test_without_both_intervals_there_is_a_ratio_and_no_interval() -> None:
    found = estimate_ratio(between(1.0, 2.0, 3.0), between(None, 1.0, None, "too few"))
    assert (found.value, found.low, found.reason) == (2.0, None, "too few")


def test_the_interval_holds_the_true_ratio_at_least_as_often_as_those_of_its_parts() -> None:
    draw, held, times = random.Random(7), 0, 2000

    def estimate(mean: float) -> Estimate:
        sample = [mean * (1 + draw.gauss(0, 0.2)) for _ in range(8)]
        margin = t_quantile(0.975, 7) * stdev(sample) / math.sqrt(8)
        return between(fmean(sample) - margin, fmean(sample), fmean(sample) + margin)

    for _ in range(times):
        found = estimate_ratio(estimate(2.0), estimate(1.0))
        assert found.low is not None
        assert found.high is not None
        held += found.low <= 2.0 <= found.high
    assert 0.94 <= held / times <= 0.985


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (0.5, 0.9, Verdict.LESS),
        (0.5, 1 / 1.1, Verdict.OPEN),
        (0.5, 0.95, Verdict.OPEN),
        (0.95, 1.05, Verdict.SAME),
        (1 / 1.1, 1.1, Verdict.SAME),
        (0.5, 2.0, Verdict.OPEN),
        (1.05, 2.0, Verdict.OPEN),
        (1.11, math.inf, Verdict.MORE),
    ],
)
def test_a_difference_is_shown_only_where_the_whole_interval_lies_beyond_the_band(
    low: float, high: float, said: Verdict
) -> None:
    found = classify_ratio(between(low, 1.0, high))
    assert found is said
    assert found.is_tie == (said in (Verdict.SAME, Verdict.OPEN))


def test_without_an_interval_no_difference_is_shown() -> None:
    assert classify_ratio(between(None, 5.0, None)) is Verdict.OPEN

"""Tests what is told by leaving out one set at a time against means, whose jackknife is exact, and simulation."""

import math
from statistics import fmean

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bench.stats.jackknife import compute_pseudo_values, estimate_from_all

SETS = st.lists(st.floats(-3, 3), min_size=3, max_size=12)


def leave_out(values: list[float]) -> list[float]:
    return [fmean(values[:at] + values[at + 1 :]) for at in range(len(values))]


@given(SETS)
def test_the_pseudo_values_of_a_mean_are_the_values(values: list[float]) -> None:
    assert compute_pseudo_values(fmean(values), leave_out(values)) == pytest.approx(values, abs=1e-9)


@given(SETS)
def test_the_interval_of_a_geometric_mean_is_students(values: list[float]) -> None:
    found = estimate_from_all(math.exp(fmean(values)), list(map(math.exp, leave_out(values))))
    error = stats.sem(values)
    low, high = stats.t.interval(0.95, len(values) - 1, fmean(values), error) if error > 1e-9 else (fmean(values),) * 2
    assert found.low is not None
    assert found.high is not None
    assert (math.log(found.low), math.log(found.high)) == (pytest.approx(low, abs=1e-6), pytest.approx(high, abs=1e-6))


def test_a_p99_of_all_sets_is_held() -> None:
    dice = np.random.default_rng(1)
    held = 0
    for _ in range(600):
        sets = np.exp(dice.normal(0, 0.5, (6, 900)) + dice.normal(0, 0.05, (6, 1)))
        whole = float(np.quantile(sets, 0.99))
        without = [float(np.quantile(np.delete(sets, at, axis=0), 0.99)) for at in range(6)]
        found = estimate_from_all(whole, without)
        truth = math.exp(stats.norm.ppf(0.99) * math.hypot(0.5, 0.05))
        held += (found.low or 0) <= truth <= (found.high or 0)
    assert 0.90 <= held / 600 <= 0.97  # 92 % of 3,000


@pytest.mark.parametrize(
    ("whole", "without"), [(math.inf, [1.0, 1.0, 1.0]), (1.0, [1.0, math.inf, 1.0]), (1.0, [1.0, 1.0])]
)
def test_what_is_censored_or_of_two_sets_has_no_interval(whole: float, without: list[float]) -> None:
    found = estimate_from_all(whole, without)
    assert (found.value, found.low, found.high) == (whole, None, None)
    assert found.reason


@pytest.mark.parametrize(("quantile", "least"), [(0.975, 0.92), (0.99, 0.89), (0.995, 0.87)])
def test_intervals_of_high_percentiles_hold_some_nine_in_ten(quantile: float, least: float) -> None:
    """Of four sets of 450 log-normal orders, as the percentile spectrum tells them: the fewer lie beyond, the fewer."""
    draw, runs, held = np.random.default_rng(7), 1000, 0
    between, spread = 0.02, 0.4
    truth = math.exp(math.hypot(between, spread) * stats.norm.ppf(quantile))
    for _ in range(runs):
        sets = np.exp(draw.normal(0, between, 4)[:, None] + draw.normal(0, spread, (4, 450)))
        whole, *without = (
            float(np.quantile(kept, quantile, method="inverted_cdf"))
            for kept in (sets, *(np.delete(sets, at, axis=0) for at in range(4)))
        )
        found = estimate_from_all(whole, without)
        assert found.low is not None and found.high is not None
        held += found.low <= truth <= found.high
    assert least <= held / runs <= 0.97

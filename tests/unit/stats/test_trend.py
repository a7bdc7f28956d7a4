"""Tests slopes against scipy, and their use for warm-up and backlog."""

import math
import random

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from bench.stats.trend import backlog_grows, fit_slope, is_steady

FLAT = [10.0, 12.0, 9.0, 11.0, 10.0]
RISING = [10.0, 20.5, 29.0, 41.0, 50.0]


@given(st.lists(st.floats(-1000, 1000), min_size=3, max_size=60))
def test_slope_and_interval_are_scipys(values: list[float]) -> None:
    assume(len(set(values)) > 1)  # scipy gives equal ones no interval
    found, expected = fit_slope(values), stats.linregress(range(len(values)), values)
    margin = expected.stderr * stats.t.ppf(0.975, len(values) - 2)
    assume(not math.isnan(margin))  # scipy's squares of the smallest numbers underflow
    scale = 1e-6 * max(1.0, *map(abs, values))
    assert found.per_window == pytest.approx(expected.slope, abs=scale)
    assert found.low == pytest.approx(expected.slope - margin, abs=10 * scale, rel=1e-6)
    assert found.high == pytest.approx(expected.slope + margin, abs=10 * scale, rel=1e-6)


@given(st.floats(0.001, 1e6), st.integers(3, 50))
def test_windows_that_are_all_equal_neither_rise_nor_fall(value: float, n: int) -> None:
    found = fit_slope([value] * n)
    assert not found.rises
    assert not found.falls


def test_a_line_without_scatter_rises_or_falls() -> None:
    assert fit_slope([1, 2, 3, 4]).rises
    assert fit_slope([4, 3, 2, 1]).falls


def test_the_interval_holds_the_true_slope_in_95_percent() -> None:
    draw, held = random.Random(1), 0
    for _ in range(3000):
        found = fit_slope([0.7 * at + draw.gauss(0, 2) for at in range(5)])
        held += found.low <= 0.7 <= found.high
    assert held / 3000 == pytest.approx(0.95, abs=0.012)


@pytest.mark.parametrize("values", [[], [1.0, 2.0], [1.0, math.inf, 2.0], [1.0, math.nan, 2.0]])
def test_too_few_or_infinite_windows_have_no_slope(values: list[float]) -> None:
    with pytest.raises(ValueError, match="3 finite values"):
        fit_slope(values)


def test_flat_windows_are_steady() -> None:
    assert is_steady(FLAT, FLAT)


@pytest.mark.parametrize("moving", [RISING, RISING[::-1]])
def test_a_slope_in_either_series_is_not_steady(moving: list[float]) -> None:
    assert not is_steady(moving, FLAT)
    assert not is_steady(FLAT, moving)


def test_only_the_last_windows_count() -> None:
    assert is_steady([500.0, 100.0, *FLAT], [90.0, 40.0, *FLAT])


def test_fewer_windows_than_asked_for_are_not_known_to_be_steady() -> None:
    assert not is_steady(FLAT[:4], FLAT[:4])


@pytest.mark.parametrize("empty", [math.inf, math.nan])
def test_a_window_in_which_nothing_finished_is_not_steady(empty: float) -> None:
    assert not is_steady(FLAT, [*FLAT[:4], empty])


def test_the_backlog_grows_only_when_more_and_more_orders_are_in_flight() -> None:
    assert backlog_grows(RISING)
    assert not backlog_grows(FLAT)
    assert not backlog_grows(RISING[::-1])


def test_a_backlog_that_grows_by_less_than_what_matters_does_not_count() -> None:
    assert backlog_grows(RISING, least_per_window=5)
    assert not backlog_grows(RISING, least_per_window=10)

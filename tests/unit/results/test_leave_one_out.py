"""Tests percentiles of several histograms together against the histogram of all their values."""

import math

import pytest

from bench.results.histograms import QUANTILES, compute_percentiles, empty_histogram
from bench.results.leave_one_out import compute_from_all
from tests.unit.builders import build_histogram

P99 = QUANTILES["p99_us"]


def test_a_percentile_of_all_sets_is_that_of_their_orders_together() -> None:
    sets = [build_histogram(5 + at, orders=400, seed=at) for at in range(4)]
    found = compute_from_all(sets, [0, 0, 3, 0], P99)
    assert found is not None

    def together(left_out: int | None, censored: int) -> float | int | None:
        whole = empty_histogram()
        for at, one in enumerate(sets):
            if at != left_out:
                whole.add(one)
        return compute_percentiles(whole, censored).p99_us

    assert found.whole == together(None, 3)
    assert found.without == [together(at, 0 if at == 2 else 3) for at in range(4)]


@pytest.mark.parametrize(("orders", "count"), [(300, 2), (900, 1)])
def test_too_few_orders_or_sets_tell_none(orders: int, count: int) -> None:
    sets = [build_histogram(5, orders=orders, seed=at) for at in range(count)]
    assert compute_from_all(sets, [0] * count, P99) is None


def test_more_than_one_in_a_hundred_without_an_outcome_is_censored() -> None:
    sets = [build_histogram(5, orders=400, seed=at) for at in range(3)]
    found = compute_from_all(sets, [0, 20, 0], P99)
    assert found is not None
    assert (found.whole, found.without[0], found.without[1] < math.inf) == (math.inf, math.inf, True)

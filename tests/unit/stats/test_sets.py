"""Tests ratios of cells in sets against published tables, Student's t by hand, scipy and simulation."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import stats

from bench.stats.intervals import Estimate
from bench.stats.sets import (
    PAIR_DEGREES,
    PAIR_DEGREES_WITHOUT_SLICES,
    Numbers,
    Scatter,
    SetPrior,
    SetTable,
    estimate_level,
    estimate_ratio,
    fit_additive,
    half_width,
    measure_scatter,
    measure_within,
)
from tests.unit.stats.set_coverage import NOISES, Noise, simulate_runs

PENICILLIN = np.array([[89, 88, 97, 94], [84, 77, 92, 79], [81, 87, 87, 85], [87, 92, 89, 84], [79, 81, 80, 88.0]])
"""Box, Hunter & Hunter, Statistics for Experimenters, 2nd ed. 2005, table 4.4: five blends, four treatments."""
TABLES = arrays.arrays(
    np.float64, st.tuples(st.integers(2, 6), st.integers(4, 8)), elements=st.floats(-2, 2).map(lambda x: round(x, 3))
)


def without_slices(values: Numbers) -> SetTable:
    return SetTable(values, np.empty((*values.shape, 0)))


def some_slices(seed: int = 1, cells: int = 3, sets: int = 5, slices: int = 6) -> Numbers:
    return np.random.default_rng(seed).normal(0, 0.05, (cells, sets, slices))


def test_the_penicillin_yields_have_their_residual_variance() -> None:
    variance, degrees = fit_additive(PENICILLIN)
    assert (variance, degrees) == (pytest.approx(226 / 12), 12)


def test_a_missing_value_is_as_yates_estimates_it() -> None:
    blends, treatments = PENICILLIN.shape
    holed = PENICILLIN.copy()
    holed[2, 1] = math.nan
    row, column, whole = np.nansum(holed[2]), np.nansum(holed[:, 1]), np.nansum(holed)
    filled = holed.copy()
    filled[2, 1] = (blends * row + treatments * column - whole) / ((blends - 1) * (treatments - 1))
    variance, degrees = fit_additive(holed)
    assert (variance * degrees, degrees) == (pytest.approx(fit_additive(filled)[0] * 12), 11)


@pytest.mark.parametrize("shape", [(1, 5), (4, 1)])
def test_a_layout_of_one_row_or_column_has_no_scatter(shape: tuple[int, int]) -> None:
    assert fit_additive(np.ones(shape))[1] == 0


@given(TABLES)
def test_the_pooled_scatter_is_half_the_mean_of_all_pairs(values: Numbers) -> None:
    pairs = [
        (values[one] - values[other]).var(ddof=1) for one in range(len(values)) for other in range(one + 1, len(values))
    ]
    assert fit_additive(values)[0] == pytest.approx(np.mean(pairs) / 2, abs=1e-9)


def test_what_is_within_a_set_is_the_variance_of_its_mean() -> None:
    slices = some_slices()
    differences = slices[0] - slices[1]
    assert measure_within(slices[0], slices[1]) == pytest.approx(differences.var(axis=1, ddof=1).mean() / 6)


def test_a_slice_that_one_of_the_two_lacks_is_left_out() -> None:
    slices = some_slices()
    fewer = slices.copy()
    fewer[0, :, 5] = math.nan
    assert measure_within(fewer[0], fewer[1]) == pytest.approx(measure_within(slices[0, :, :5], slices[1, :, :5]))
    fewer[0, :, 1:] = math.nan
    assert math.isnan(measure_within(fewer[0], fewer[1]))


def test_two_cells_without_a_bank_have_a_wider_interval_than_the_paired_t_at_the_most() -> None:
    values = np.array([[0.1, 0.2, 0.15, 0.3, 0.12], [0.05, 0.22, 0.1, 0.2, 0.1]])
    table = without_slices(values)
    found = estimate_ratio(table, measure_scatter(table), 0, 1)
    low, high = stats.t.interval(0.95, 4, (values[0] - values[1]).mean(), stats.sem(values[0] - values[1]))
    assert found.low is not None
    assert found.high is not None
    assert (math.log(found.low), math.log(found.high)) == (pytest.approx(low), pytest.approx(high))


def test_the_variance_of_a_pair_is_between_its_own_and_the_pooled_one() -> None:
    table = without_slices(np.log(PENICILLIN.T))
    scatter = measure_scatter(table)
    assert scatter is not None
    found = estimate_ratio(table, scatter, 0, 2)
    logs = table.values[0] - table.values[2]
    counts = PAIR_DEGREES_WITHOUT_SLICES
    variance = (counts * 2 * fit_additive(table.values)[0] + 4 * logs.var(ddof=1)) / (counts + 4)
    reach = stats.t.ppf(0.975, counts + 4) * math.sqrt(variance / 5)
    assert found.value == pytest.approx(math.exp(logs.mean()))
    assert half_width(found) == pytest.approx(math.exp(reach) - 1)


def test_a_pair_with_slices_expects_its_own_scatter_within_sets() -> None:
    slices = some_slices()
    slices[0] *= 3
    table = SetTable(slices.mean(axis=2), slices)
    scatter = measure_scatter(table)
    assert scatter is not None
    for cell in (0, 1):
        found = estimate_ratio(table, scatter, cell, 2)
        logs = table.values[cell] - table.values[2]
        share = min(1.0, scatter.variance / scatter.within)
        between = 2 * max(0.0, scatter.variance - scatter.within)
        expected = between + share * measure_within(slices[cell], slices[2])
        variance = (PAIR_DEGREES * expected + 4 * logs.var(ddof=1)) / (PAIR_DEGREES + 4)
        reach = stats.t.ppf(0.975, PAIR_DEGREES + 4) * math.sqrt(variance / 5)
        assert half_width(found) == pytest.approx(math.exp(reach) - 1)


def test_slices_that_scatter_more_than_sets_are_scaled_down_to_them() -> None:
    slices = some_slices()
    table = SetTable(slices.mean(axis=2), slices * 4)
    scatter = measure_scatter(table)
    assert scatter is not None
    assert scatter.within > scatter.variance
    found = estimate_ratio(table, scatter, 0, 1)
    logs = table.values[0] - table.values[1]
    expected = measure_within(slices[0] * 4, slices[1] * 4) * scatter.variance / scatter.within
    variance = (PAIR_DEGREES * expected + 4 * logs.var(ddof=1)) / (PAIR_DEGREES + 4)
    reach = stats.t.ppf(0.975, PAIR_DEGREES + 4) * math.sqrt(variance / 5)
    assert half_width(found) == pytest.approx(math.exp(reach) - 1)


def test_a_bank_counts_for_its_degrees_of_freedom() -> None:
    slices = some_slices()
    table = SetTable(slices.mean(axis=2), slices)
    alone, banked = measure_scatter(table), measure_scatter(table, SetPrior(0.01, 8))
    assert alone is not None
    assert banked is not None
    expected = 0.01 + alone.within
    assert banked.variance == pytest.approx((8 * expected + 8 * alone.variance) / 16)
    assert (banked.degrees, alone.degrees, banked.of_bank) == (16, 8, False)


def test_until_four_sets_are_done_the_scatter_between_them_is_the_banks() -> None:
    slices = some_slices(sets=3)
    table = SetTable(slices.mean(axis=2), slices)
    assert measure_scatter(table) is None
    scatter = measure_scatter(table, SetPrior(0.0004, 8))
    assert scatter is not None
    assert scatter.of_bank
    found = estimate_ratio(table, scatter, 0, 1)
    variance = 2 * 0.0004 + measure_within(slices[0], slices[1])
    assert half_width(found) == pytest.approx(math.exp(stats.t.ppf(0.975, 8) * math.sqrt(variance / 3)) - 1)
    without = estimate_ratio(table, None, 0, 1)
    assert (without.value, without.low) == (found.value, None)
    assert "4 sets" in (without.reason or "")


@given(TABLES)
def test_a_to_b_is_one_over_b_to_a(values: Numbers) -> None:
    table = without_slices(values)
    scatter = measure_scatter(table)
    one, other = estimate_ratio(table, scatter, 0, 1), estimate_ratio(table, scatter, 1, 0)
    assert one.value == pytest.approx(1 / (other.value or 0))
    assert half_width(one) == pytest.approx(half_width(other))
    assert one.low == pytest.approx(1 / (other.high or 0))


@given(TABLES, st.floats(-1, 1))
def test_what_all_cells_of_a_set_share_changes_nothing(values: Numbers, shared: float) -> None:
    moved = values.copy()
    moved[:, 1] += shared
    found, same = (
        estimate_ratio(table, measure_scatter(table), 0, 1) for table in map(without_slices, (values, moved))
    )
    assert found.value == pytest.approx(same.value)
    assert half_width(found) == pytest.approx(half_width(same), abs=1e-6)


@pytest.mark.parametrize("open_", [math.inf, -math.inf])
def test_a_censored_set_leaves_no_ratio_and_says_so(open_: float) -> None:
    values = np.zeros((3, 5))
    values[0, 2] = open_
    values[1, 2] = open_
    table = without_slices(values)
    for base in (1, 2):
        found = estimate_ratio(table, measure_scatter(table), 0, base)
        assert (found.value, found.low, found.n) == (None, None, 5)
        assert "1 of 5 sets" in (found.reason or "")


def test_a_missing_set_is_left_out_of_its_pairs() -> None:
    values = np.random.default_rng(2).normal(0, 0.1, (3, 6))
    values[0, 4] = math.nan
    table = without_slices(values)
    scatter = measure_scatter(table)
    assert (estimate_ratio(table, scatter, 0, 1).n, estimate_ratio(table, scatter, 2, 1).n) == (5, 6)
    values[0] = math.nan
    assert estimate_ratio(table, scatter, 0, 1) == Estimate(None, None, None, None, 0, "no set has both")


def test_a_ratio_that_is_told_from_all_sets_keeps_its_estimate() -> None:
    table = without_slices(np.random.default_rng(2).normal(0, 0.1, (2, 4)))
    found = estimate_ratio(table, Scatter(0.01, 8, 0.0, of_bank=False), 0, 1, told=math.log(1.5))
    assert found.value == pytest.approx(1.5)
    assert found.low is not None
    assert found.low < 1.5


def test_no_interval_reaches_infinitely_far() -> None:
    assert half_width(Estimate(1.0, None, None, None, 3)) == math.inf


@pytest.mark.slow
@pytest.mark.parametrize(
    "noise", [one for one in NOISES if one.name in ("equal cells", "heavy tails")], ids=lambda noise: noise.name
)
def test_a_run_that_stops_when_it_is_told_holds_the_truth_as_often_as_it_says(noise: Noise) -> None:
    assert 0.93 <= simulate_runs(noise, 400).held <= 0.97


@pytest.mark.nightly
@pytest.mark.parametrize("noise", NOISES, ids=lambda noise: noise.name)
def test_intervals_hold_whatever_the_noise_is_like(noise: Noise) -> None:
    found = simulate_runs(noise, 2000)
    assert 0.925 <= found.held <= 0.975
    assert found.held_least >= 0.91


def test_a_level_is_the_mean_of_the_logarithms_with_students_t() -> None:
    values = [4.0, 5.0, 4.5, 6.0, 5.2]
    logs = np.log(values)
    level = estimate_level(logs)
    assert level is not None
    low, high = stats.t.interval(0.95, len(values) - 1, logs.mean(), stats.sem(logs))
    assert (level.value, level.low, level.high) == pytest.approx(tuple(np.exp([logs.mean(), low, high])))


@pytest.mark.parametrize("values", [[], [4.0, np.inf], [4.0, np.nan], [4.0, 0.0]])
def test_without_a_number_in_every_set_there_is_no_level(values: list[float]) -> None:
    with np.errstate(divide="ignore"):
        assert estimate_level(np.log(values)) is None


def test_two_sets_have_a_level_without_an_interval() -> None:
    level = estimate_level(np.log([4.0, 5.0]))
    assert level is not None
    assert level.low is None
    assert level.reason

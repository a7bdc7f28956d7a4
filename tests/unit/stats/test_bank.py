"""Tests what a bank of A/A sets is told to know against simulated sets."""

import numpy as np
import pytest

from bench.stats.bank import LEAST_DEGREES, MOST_DEGREES, compute_bank
from bench.stats.sets import SetTable

BETWEEN, WITHIN, SLICES = 0.03, 0.1, 12


def draw_sets(dice: np.random.Generator, sets: int, noise: float = 1.0) -> SetTable:
    luck = dice.normal(0, BETWEEN * noise, (5, sets, 1)) + dice.normal(0, 0.3, (1, sets, 1))
    slices = luck + dice.normal(0, WITHIN * noise, (5, sets, SLICES)) + dice.normal(0, 0.1, (1, sets, SLICES))
    return SetTable(slices.mean(axis=2), slices)


def test_the_variances_of_many_sets_are_found_again() -> None:
    found = compute_bank([draw_sets(np.random.default_rng(1), 2000)])
    assert found is not None
    assert found.between == pytest.approx(BETWEEN**2, rel=0.05)
    assert found.within == pytest.approx(WITHIN**2, rel=0.02)
    assert (found.degrees, found.sets) == (MOST_DEGREES, 2000)


def test_runs_that_differ_in_noise_count_for_less() -> None:
    dice = np.random.default_rng(1)
    quiet, busy = draw_sets(dice, 60), draw_sets(dice, 60, noise=3)
    found = compute_bank([quiet, busy])
    assert found is not None
    assert LEAST_DEGREES <= found.degrees < 6


def test_slices_that_scatter_more_than_their_sets_count_for_their_share() -> None:
    table = draw_sets(np.random.default_rng(1), 200)
    found = compute_bank([SetTable(table.values, table.slices * 5)])
    assert found is not None
    assert found.between == 0
    of_set = found.within / SLICES
    assert found.prior.expect(of_set) == pytest.approx(BETWEEN**2 + WITHIN**2 / SLICES, rel=0.1)


def test_a_measure_without_slices_has_no_part_within() -> None:
    table = draw_sets(np.random.default_rng(1), 2000)
    found = compute_bank([SetTable(table.values, table.slices[:, :, :0])])
    assert found is not None
    assert found.within == 0
    assert found.between == pytest.approx(BETWEEN**2 + WITHIN**2 / SLICES, rel=0.05)


@pytest.mark.parametrize("values", [np.zeros((5, 60)), np.full((5, 60), np.nan), np.ones((5, 7))])
def test_too_few_sets_or_no_scatter_make_no_bank(values: np.ndarray) -> None:
    assert compute_bank([SetTable(values, np.empty((*values.shape, 0)))]) is None

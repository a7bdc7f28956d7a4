"""Tests which cells' medians rise or fall through a set, beside the other cells."""

import random
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import cast

import pytest

from bench.load.sets.protocol import SliceReport
from bench.trial.set_trend import find_set_trends

SLICES = 6


def build_slices(*medians_us: Callable[[int], float | None], slices: int = SLICES) -> list[SliceReport]:
    """Builds slices of cells whose median completion in each is what a function of its number says."""
    return [
        cast(SliceReport, SimpleNamespace(cell=cell, number=number, finish_p50_us=median_us(number)))
        for number in range(1, slices + 1)
        for cell, median_us in enumerate(medians_us)
    ]


def level(number: int) -> float:
    return 5000.0 + number % 2


def eightfold(number: int) -> float:
    return 5000.0 * 8 ** ((number - 1) / (SLICES - 1))


def fall(number: int) -> float:
    return 40_000.0**2 / eightfold(number)


@pytest.mark.parametrize(
    ("medians_us", "found"),
    [
        ([level, level, level], {}),
        ([level, eightfold, level], {1: 8.0}),
        ([level, fall, level], {1: 1 / 8}),
        ([eightfold], {0: 8.0}),
        # The other one falls beside it, and not by itself.
        ([level, eightfold], {1: 8.0}),
        # A machine that slows takes all of them along.
        ([eightfold, eightfold, eightfold], {}),
        ([lambda number: 5000.0 * 1.9 ** ((number - 1) / 5), level, level], {}),
    ],
)
def test_a_cell_has_a_trend_by_itself_and_beside_the_others(
    medians_us: Sequence[Callable[[int], float | None]], found: dict[int, float]
) -> None:
    assert find_set_trends(build_slices(*medians_us)) == pytest.approx(found, rel=0.01)


def test_slices_without_enough_orders_for_a_median_are_left_out() -> None:
    def rarely(number: int) -> float | None:
        return eightfold(number) if number < 4 else None

    assert find_set_trends(build_slices(level, rarely, level)) == {}


def test_the_scatter_of_slices_is_no_trend() -> None:
    """A slice's median scatters by some 12 % (results of five cells on a quiet machine); it is 30 % here."""
    for seed in range(200):
        draw = random.Random(seed)
        noisy = [lambda number, draw=draw: 5000 * draw.lognormvariate(0, 0.3) for _ in range(5)]  # type: ignore[misc]
        assert find_set_trends(build_slices(*noisy)) == {}

"""Tests the order in which the slices of a set are played."""

from collections import Counter
from itertools import pairwise

import pytest

from bench.trial.program import derive_slice_seed, draw_program


def rounds(cells: int, slices: int, seed: int = 1, set_: int = 1) -> list[list[int]]:
    program = [one.cell for one in draw_program(cells, slices, seed, set_)]
    return [program[at : at + cells] for at in range(0, len(program), cells)]


@pytest.mark.parametrize(("cells", "slices"), [(1, 4), (2, 3), (5, 12), (12, 6)])
def test_each_round_has_one_slice_of_every_cell(cells: int, slices: int) -> None:
    found = rounds(cells, slices)
    assert len(found) == slices
    assert all(sorted(one) == list(range(cells)) for one in found)


def test_a_slice_has_the_same_seed_in_every_cell_and_another_one_than_the_next() -> None:
    program = draw_program(5, 12, 1, 1)
    seeds = {(one.number, one.seed) for one in program}
    assert len(seeds) == 12
    assert len({seed for _, seed in seeds}) == 12
    assert {derive_slice_seed(1, 1, 1), derive_slice_seed(1, 2, 1), derive_slice_seed(2, 1, 1)}.isdisjoint(
        {derive_slice_seed(1, 1, 2)}
    )
    assert len({derive_slice_seed(1, 1, 1), derive_slice_seed(1, 2, 1), derive_slice_seed(2, 1, 1)}) == 3


def test_the_numbers_of_a_cell_s_slices_ascend() -> None:
    program = draw_program(4, 9, 1, 1)
    for cell in range(4):
        assert [one.number for one in program if one.cell == cell] == list(range(1, 10))


def test_every_cell_comes_equally_often_behind_each_other_one() -> None:
    for set_ in range(1, 6):
        program = [one.cell for one in draw_program(5, 12, 1, set_)]
        behind = Counter(pair for pair in pairwise(program) if pair[0] != pair[1])
        assert len(behind) == 20
        assert max(behind.values()) - min(behind.values()) <= 3


def test_of_two_cells_neither_is_always_first() -> None:
    assert {one[0] for one in rounds(2, 12)} == {0, 1}


def test_rounds_and_sets_have_orders_of_their_own_and_the_same_seed_has_the_same() -> None:
    assert rounds(5, 12) == rounds(5, 12)
    assert rounds(5, 12) != rounds(5, 12, seed=2)
    assert rounds(5, 12) != rounds(5, 12, set_=2)
    assert len({tuple(one) for one in rounds(5, 12)}) > 6

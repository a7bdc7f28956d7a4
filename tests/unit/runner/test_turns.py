"""Tests the order in which the cells of a round are measured."""

import pytest

from bench.profile.loader import load_profile
from bench.profile.matrix import expand_cells
from bench.profile.schema import CellSettings, Profile
from bench.runner.runner import shuffle_round


def turns(profile: Profile, rounds: int) -> list[list[CellSettings]]:
    return [shuffle_round(profile, expand_cells(profile), round_) for round_ in range(1, rounds + 1)]


def test_every_cell_has_its_turn_once_a_round() -> None:
    profile = load_profile()
    for turn in turns(profile, 9):
        assert sorted(cell.name for cell in turn) == sorted(cell.name for cell in expand_cells(profile))


def test_every_cell_comes_first_and_last_in_some_rounds() -> None:
    profile = load_profile()
    found = turns(profile, 60)
    names = {cell.name for cell in expand_cells(profile)}
    assert {turn[0].name for turn in found} == {turn[-1].name for turn in found} == names


@pytest.mark.parametrize("round_", [1, 2, 7])
def test_the_same_seed_has_the_same_order_and_another_seed_another(round_: int) -> None:
    profile, other = load_profile(), load_profile(settings={"SEED": "999"})
    assert shuffle_round(profile, expand_cells(profile), round_) == shuffle_round(
        profile, expand_cells(profile), round_
    )
    assert turns(profile, 9) != turns(other, 9)


def test_the_arms_of_an_aa_run_are_neighbours_in_either_order() -> None:
    profile = load_profile("aa")
    first_arms = set()
    for turn in turns(profile, 20):
        pairs = [turn[at : at + 2] for at in range(0, len(turn), 2)]
        assert all(one.method == other.method and one.name != other.name for one, other in pairs)
        first_arms |= {pair[0].name[-1] for pair in pairs}
    assert first_arms == {"a", "b"}

"""Tests that flags select levels of a study's factors."""

from pathlib import Path

import pytest

from bench.errors import UsageError
from bench.profile.loader import load
from bench.profile.matrix import at, cells


def names(profile: str, **flags: str) -> set[str]:
    return {cell.name for cell in cells(load(profile, flags))}


def test_a_flag_picks_one_level_of_a_factor() -> None:
    assert names("size", TRANSPORT="rest", PAYLOAD="64KiB") == {"rest@64KiB_document", "rest@64KiB_structured"}


def test_a_flag_picks_several_levels_with_commas() -> None:
    found = names("size", TRANSPORT="rest", PAYLOAD="1KiB, 1MiB", SHAPE="document")
    assert found == {"rest@1KiB_document", "rest@1MiB_document"}


def test_levels_that_differ_by_transport_are_picked_for_each() -> None:
    assert names("clients", CLIENT="httpx,confluent", RATE="60") == {"rest:httpx@60", "events:confluent@60"}


def test_a_level_is_picked_in_every_block() -> None:
    assert names("products", TRANSPORT="broker", RATE="200") == {"broker@fast_200", "broker+kafka@fast_200"}


def test_a_block_that_is_not_at_the_level_is_left_out() -> None:
    found = names("frequency", TRANSPORT="rest", ARRIVALS="burst")
    assert found
    assert all("burst" in name for name in found)


def test_a_picked_level_holds_in_its_cells() -> None:
    profile = load("security", {"SECURITY": "none,mtls", "TRANSPORT": "rest", "RATE": "70"})
    assert {at(profile, cell).security for cell in cells(profile)} == {"none", "mtls"}
    assert {cell.rate_per_s for cell in cells(profile)} == {70}


def test_a_level_that_there_is_not_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(UsageError, match=r"^no level of PAYLOAD '2KiB'; did you mean '.*KiB'\? there are: 200B, 1KiB"):
        load("size", {"PAYLOAD": "2KiB"})


def test_levels_that_no_block_has_together_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(
        'transports = ["rest"]\nalso = []\n'
        '[[block]]\nshape = ["document"]\npayload = ["1KiB"]\n[[block]]\nshape = ["structured"]\npayload = ["64KiB"]\n'
    )
    with pytest.raises(
        UsageError, match=r"no block of the profile has .*SHAPE=document.*; ask for one of them at a time"
    ):
        load(str(path), {"SHAPE": "document", "PAYLOAD": "64KiB"})

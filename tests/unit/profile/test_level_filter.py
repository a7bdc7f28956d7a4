"""Tests that settings select levels of a study's factors."""

from pathlib import Path

from bench.profile.loader import load_profile
from bench.profile.matrix import expand_cells
from tests.conftest import refuses


def names(profile: str, **given: str) -> set[str]:
    return {cell.name for cell in expand_cells(load_profile(profile, given))}


def test_a_setting_picks_one_level_of_a_factor() -> None:
    assert names("size", TRANSPORT="rest", PAYLOAD="64KiB") == {"rest@64KiB_document", "rest@64KiB_structured"}


def test_a_setting_picks_several_levels_with_commas() -> None:
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
    profile = load_profile("security", {"SECURITY": "none,mtls", "TRANSPORT": "rest", "RATE": "70"})
    assert {cell.profile.security for cell in expand_cells(profile)} == {"none", "mtls"}
    assert {cell.rate_per_s for cell in expand_cells(profile)} == {70}


def test_a_level_that_there_is_not_is_refused_with_those_that_there_are() -> None:
    with refuses("unknown-level", "PAYLOAD", "'2KiB'", "200B, 1KiB, 8KiB"):
        load_profile("size", {"PAYLOAD": "2KiB"})


def test_levels_that_no_block_has_together_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(
        'transports = ["rest"]\nalso = []\n'
        '[[block]]\nshape = ["document"]\npayload = ["1KiB"]\n[[block]]\nshape = ["structured"]\npayload = ["64KiB"]\n'
    )
    with refuses("no-block", "SHAPE=document", "PAYLOAD=64KiB"):
        load_profile(str(path), {"SHAPE": "document", "PAYLOAD": "64KiB"})

"""Tests what is refused in slices, and which cells share an arm."""

from pathlib import Path

import pytest

from bench.profile.arms import group_arms
from bench.profile.loader import load_profile
from bench.profile.matrix import expand_cells
from bench.profile.slices import load_bench_profile
from tests.conftest import refuses

SLICES = {"TRANSPORT": "rest,grpc", "SLICE": "500ms", "YARDSTICK": "none"}


def arms(**settings: str) -> list[list[str]]:
    cells = expand_cells(load_profile(settings={**SLICES, **settings}))
    return [[cell.name for cell in arm.cells] for arm in group_arms(cells)]


def test_a_profile_has_whole_trials_unless_slices_are_asked_for() -> None:
    assert load_profile().slice_s == 0
    assert load_bench_profile("aa", {}).slice_s == 0


@pytest.mark.parametrize(
    ("settings", "slice_s"),
    [
        ({}, 0.5),
        ({"TRANSPORT": "grpc", "SECURITY": "mtls", "ROUNDS": "1"}, 0.5),
        ({"RATE": "100,300"}, 0.75),
        ({"RATE": "75"}, 1.0),
        ({"RATE": "74"}, 0.0),
        ({"DURATION": "6s"}, 0.0),
        ({"FAULT": "stop-payment"}, 0.0),
        ({"ARRIVALS": "burst"}, 0.0),
        ({"ARRIVALS": "constant"}, 0.5),
        ({"TRANSPORT": "memory,rest"}, 0.5),
        ({"SLO": "50ms"}, 0.0),
        ({"SLICE": "0"}, 0.0),
        ({"SLICE": "200ms", "RATE": "10"}, 0.2),
    ],
)
def test_bench_takes_slices_that_are_long_enough_and_else_whole_trials(
    settings: dict[str, str], slice_s: float
) -> None:
    assert load_bench_profile("default", settings).slice_s == slice_s


def test_bench_goes_on_until_the_ratios_are_told_or_for_so_many_sets() -> None:
    assert load_bench_profile("default", {}).until_told
    profile = load_bench_profile("default", {"ROUNDS": "7"})
    assert (profile.until_told, profile.rounds, profile.slices) == (False, 7, 6)


@pytest.mark.parametrize(
    ("code", "settings"), [("setting-of-slices", {"DURATION": "3s", "SLICES": "4"}), ("bad-numbers", {"RATE": "x"})]
)
def test_what_bench_cannot_have_is_refused(code: str, settings: dict[str, str]) -> None:
    with refuses(code):
        load_bench_profile("default", settings)


def test_a_slice_has_its_number_and_its_lead_in() -> None:
    profile = load_profile(settings={**SLICES, "SLICES": "20", "LEAD_IN": "50ms"})
    assert (profile.slice_s, profile.slices, profile.lead_in_s) == (0.5, 20, 0.05)


@pytest.mark.parametrize(
    ("code", "settings"),
    [
        ("fault-in-slices", {"FAULT": "stop-payment", "STORE": "sqlite"}),
        ("arrivals-in-slices", {"ARRIVALS": "step"}),
        ("arrivals-in-slices", {"ARRIVALS": "burst"}),
        ("search-in-slices", {"SLO": "50ms"}),
        ("connections-in-slices", {"CONNECTIONS": "yes", "SECURITY": "tls"}),
        ("duration-of-slices", {"DURATION": "3s"}),
    ],
)
def test_what_a_set_cannot_have_is_refused(code: str, settings: dict[str, str]) -> None:
    with refuses(code, "SLICE"):
        load_profile(settings={**SLICES, **settings})


@pytest.mark.parametrize("setting", [{"SLICES": "6"}, {"LEAD_IN": "200ms"}])
def test_a_setting_of_slices_without_any_is_refused(setting: dict[str, str]) -> None:
    with refuses("setting-of-slices", "SLICE="):
        load_profile(settings=setting)


def test_a_replay_is_refused_in_slices(tmp_path: Path) -> None:
    path = tmp_path / "offsets.txt"
    path.write_text("0.1\n0.5\n")
    with refuses("arrivals-in-slices", "SLICE=0"):
        load_profile(settings={**SLICES, "ARRIVALS": "replay", "REPLAY": str(path)})


def test_more_arms_than_can_be_up_at_once_are_refused() -> None:
    with refuses("too-many-arms", "12", "SLICE=0"):
        load_profile("security", {"SLICE": "500ms", "CONNECTIONS": "no"})


def test_ports_have_to_be_enough_for_all_arms() -> None:
    assert load_profile(settings={**SLICES, "PORTS": "65524"}).ports == 65524
    with refuses("bad-ports", "12", "65524"):
        load_profile(settings={**SLICES, "PORTS": "65525"})


def test_a_block_with_slices_of_its_own_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(
        'transports = ["rest"]\nslice_s = 0.5\n'
        "[[block]]\npayload = [512]\nslices = 6\n[[block]]\npayload = [1024]\nslices = 12\n"
    )
    with refuses("slices-differ"):
        load_profile(str(path))


def test_each_method_is_an_arm() -> None:
    assert arms() == [["rest"], ["grpc"], ["grpc+json"]]


def test_cells_that_differ_in_their_load_share_an_arm(tmp_path: Path) -> None:
    assert arms(TRANSPORT="rest", RATE="50,100") == [["rest@50", "rest@100"]]
    path = tmp_path / "sizes.toml"
    path.write_text('transports = ["rest", "grpc"]\nslice_s = 0.5\n[[block]]\npayload = [512, "4KiB"]\n')
    found = group_arms(expand_cells(load_profile(str(path))))
    assert [[cell.transport for cell in arm.cells] for arm in found] == [["rest", "rest"], ["grpc", "grpc"]]


def test_cells_whose_services_differ_do_not(tmp_path: Path) -> None:
    path = tmp_path / "stores.toml"
    path.write_text('transports = ["rest"]\nslice_s = 0.5\n[[block]]\nsecurity = ["none", "tls"]\n')
    assert len(group_arms(expand_cells(load_profile(str(path))))) == 2


def test_the_sides_of_an_aa_run_are_two_arms() -> None:
    cells = expand_cells(load_profile("aa", {"SLICE": "500ms"}))
    assert [[cell.name for cell in arm.cells] for arm in group_arms(cells)] == [[cell.name] for cell in cells]


def test_the_bank_is_made_of_methods_against_themselves_as_a_default_run_plays_them() -> None:
    bank, default = load_profile("aa-sets"), load_bench_profile("default", {})
    assert [cell.name for cell in expand_cells(bank)] == [
        f"{method}@{arm}" for method in ("rest", "broker", "grpc") for arm in "ab"
    ]
    assert (bank.slice_s, bank.slices, bank.rates_per_s) == (default.slice_s, default.slices, default.rates_per_s)
    assert bank.rounds == 60 and not bank.until_told

"""Tests how profiles with blocks of factors expand to cells, and which are impossible."""

from pathlib import Path

import msgspec
import pytest

from bench.profile.loader import load_profile, profile_names, restore_profile
from bench.profile.matrix import expand_cells
from bench.results.histograms import build_tag
from bench.results.rows import trial_name
from tests.conftest import refuses


def a_design(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    return path


BLOCKS = """
transports = ["rest", "broker"]
also = []
[[block]]
payload = ["1KiB", "64KiB"]
codec = ["json", "avro"]
[[block]]
payload = ["1KiB"]
compression = { rest = ["none", "gzip"] }
"""


def test_a_block_has_every_combination_of_its_levels_and_no_cell_comes_twice(tmp_path: Path) -> None:
    profile = load_profile(str(a_design(tmp_path, BLOCKS)))
    assert [cell.name for cell in expand_cells(profile)] == [
        "rest@1KiB",
        "rest+avro@1KiB",
        "rest@64KiB",
        "rest+avro@64KiB",
        "broker@1KiB",
        "broker+avro@1KiB",
        "broker@64KiB",
        "broker+avro@64KiB",
        "rest+gzip@1KiB",
    ]


def test_a_cell_of_a_design_is_measured_as_its_levels_say(tmp_path: Path) -> None:
    profile = load_profile(str(a_design(tmp_path, BLOCKS)))
    small, large = (cell.profile for cell in expand_cells(profile)[::2][:2])
    assert (small.payload_bytes, large.payload_bytes) == (1024, 65_536)
    assert (small.rounds, small.seed) == (profile.rounds, profile.seed)


def test_a_design_stands_in_the_manifest_and_is_read_back(tmp_path: Path) -> None:
    profile = load_profile(str(a_design(tmp_path, BLOCKS)))
    again = restore_profile(msgspec.json.decode(msgspec.json.encode(profile)))
    assert expand_cells(again) == expand_cells(profile)
    assert expand_cells(again)[2].profile.payload_bytes == 65_536


@pytest.mark.parametrize(
    ("block", "code", "names"),
    [
        ('compression = ["gzip"]', "unknown-compression", ("broker", "'gzip'")),
        ('payload = ["100B"]', "payload-too-small", ("rest", "payload 100B")),
        ('colour = ["red"]', "unknown-factor", ("'colour'",)),
        ("seed = [1, 2]", "unknown-factor", ("'seed'",)),
        ('payload = ["64 KiB"]', "bad-level", ("payload", "'64 KiB'")),
        ('payload = "1KiB"', "no-factor", ("block 1", "'mine'")),
        ("payload = []", "bad-levels", ("payload",)),
        ("", "no-factor", ("block 1",)),
    ],
)
def test_an_impossible_combination_is_said_by_name_before_anything_is_measured(
    tmp_path: Path, block: str, code: str, names: tuple[str, ...]
) -> None:
    path = a_design(tmp_path, f'transports = ["rest", "broker"]\nalso = []\n[[block]]\n{block}\n')
    with refuses(code, *names):
        load_profile(str(path))


def test_a_key_with_one_value_holds_for_its_block_and_is_in_no_name(tmp_path: Path) -> None:
    path = a_design(tmp_path, 'transports = ["rest"]\nalso = []\n[[block]]\nrate_per_s = [1]\nduration_s = 24\n')
    profile = load_profile(str(path))
    (cell,) = expand_cells(profile)
    assert (cell.name, cell.rate_per_s, cell.profile.duration_s) == ("rest@1", 1, 24)


def test_two_blocks_that_say_different_things_of_one_cell_are_refused(tmp_path: Path) -> None:
    blocks = "".join(f"[[block]]\nrate_per_s = [1]\nduration_s = {seconds}\n" for seconds in (5, 6))
    with refuses("two-blocks-one-cell", "rest@1"):
        load_profile(str(a_design(tmp_path, f'transports = ["rest"]\nalso = []\n{blocks}')))


@pytest.mark.usefixtures("pythons")
@pytest.mark.parametrize("name", profile_names())
def test_every_name_of_a_cell_can_tag_a_histogram_and_name_a_file(name: str) -> None:
    for cell in expand_cells(load_profile(name)):
        assert build_tag(trial_name(1, 1, cell.name), "finish")
        assert "/" not in cell.name


@pytest.mark.parametrize("block", ["[block]\nrate_per_s = [1]", "block = 'rates'", "block = [1]"])
def test_blocks_that_are_no_tables_are_refused(tmp_path: Path, block: str) -> None:
    with refuses("bad-block", "[[block]]"):
        load_profile(str(a_design(tmp_path, f"{block}\n")))


def test_settings_of_arrivals_that_a_block_has_are_taken() -> None:
    profile = load_profile("frequency", {"BURST_PEAK": "5"})
    assert {cell.profile.burst.peak for cell in expand_cells(profile)} == {5}


@pytest.mark.parametrize("factor", ["retries = [0, 50]", "keep_alive_s = [1]"])
def test_a_factor_that_a_method_does_not_have_is_refused(tmp_path: Path, factor: str) -> None:
    with refuses("factor-without-effect", "broker", factor.partition(" ")[0]):
        load_profile(str(a_design(tmp_path, f'transports = ["rest", "broker"]\nalso = []\n[[block]]\n{factor}\n')))


def test_a_setting_goes_over_what_holds_for_a_whole_block() -> None:
    profile = load_profile("frequency", {"DURATION": "3", "BURST_PERIOD": "1.5"})
    assert {cell.profile.duration_s for cell in expand_cells(profile)} == {3}


def test_a_design_without_a_cell_for_what_was_asked_is_refused() -> None:
    with refuses("no-cell", "'outage'", "memory"):
        load_profile("outage", {"TRANSPORT": "memory"})


@pytest.mark.parametrize(("name", "least"), [("size", 40), ("format", 40), ("frequency", 24), ("outage", 24)])
def test_the_studies_are_designs_whose_cells_all_can_be(name: str, least: int) -> None:
    assert len(expand_cells(load_profile(name))) >= least

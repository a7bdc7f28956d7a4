"""Tests where banks of A/A sets are kept and found, and that a run is summarised with the bank it was measured with."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from bench.results.banks import Bank, build_bank, find_bank, read_priors, write_bank
from bench.results.store import RunFolder
from tests.unit.builders import build_set_run

ARMS = {
    "rest@a": ("rest", "aiohttp", "json", 1.0, 5.3),
    "rest@b": ("rest", "aiohttp", "json", 1.0, 5.3),
    "broker@a": ("broker", "aio-pika", "json", 0.12, 6.9),
    "broker@b": ("broker", "aio-pika", "json", 0.12, 6.9),
}


def some_bank(root: Path, sets: int = 16) -> Bank | None:
    run = build_set_run(root, sets=sets, cells=ARMS)
    statistics = run.set_statistics()
    assert statistics is not None
    return build_bank(run.manifest, statistics)


@pytest.mark.slow
def test_a_bank_knows_the_scatter_of_its_run(tmp_path: Path) -> None:
    bank = some_bank(tmp_path, sets=40)
    assert bank is not None
    assert (bank.sets, bank.slices, bank.cells) == (40, 6, tuple(ARMS))
    p50 = bank.measures["finish_p50_us"]
    assert p50.between == pytest.approx(0.02**2, rel=0.6)
    assert p50.within == pytest.approx(0.05**2, rel=0.2)
    assert "finish_p99_us" in bank.measures


@pytest.mark.slow
def test_fewer_than_eight_sets_make_no_bank(tmp_path: Path) -> None:
    assert some_bank(tmp_path, sets=7) is None


def test_the_machines_own_bank_comes_before_the_kept_one(tmp_path: Path) -> None:
    home, kept = tmp_path / "state", tmp_path / "bank.json"
    assert find_bank(home, kept) is None
    bank = some_bank(tmp_path / "results")
    assert bank is not None
    kept.write_bytes(msgspec.json.encode(bank))
    assert find_bank(home, kept) == ("kept", bank)
    assert write_bank(home, bank).parent == home
    assert find_bank(home, kept) == ("own", bank)


def test_a_bank_that_cannot_be_read_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "aa-sets.json").write_text("{}")
    assert find_bank(tmp_path, tmp_path / "none.json") is None


def with_bank(tmp_path: Path, sets: int, origin: str = "kept") -> RunFolder:
    bank = some_bank(tmp_path / "aa")
    assert bank is not None
    held: dict[str, Any] = {"origin": origin, "bank": msgspec.to_builtins(bank)}
    return build_set_run(tmp_path / "run", sets=sets, bank=held)


def test_until_four_sets_are_done_a_run_has_the_banks_intervals_and_says_so(tmp_path: Path) -> None:
    run = with_bank(tmp_path, sets=2)
    summary = run.summary()
    p50 = summary["ratios"][0]["metrics"]["finish_p50_us"]
    assert p50["low"] < p50["estimate"] < p50["high"]
    assert "Until 4 sets" in summary["intervals"]
    assert "the kept bank" in summary["intervals"]


def test_without_a_bank_two_sets_have_none(tmp_path: Path) -> None:
    summary = build_set_run(tmp_path, sets=2).summary()
    p50 = summary["ratios"][0]["metrics"]["finish_p50_us"]
    assert (p50["low"], p50["n"]) == (None, 2)
    assert "from 4 sets on" in summary["intervals"]


@pytest.mark.slow
def test_a_bank_moderates_what_the_run_was_measured_with(tmp_path: Path) -> None:
    run = with_bank(tmp_path, sets=5, origin="own")
    assert "this machine's own bank" in run.summary()["intervals"]
    again = RunFolder.open(run.path)
    assert again.summary() == run.summary()
    assert read_priors(again.manifest)["finish_p50_us"].degrees >= 2

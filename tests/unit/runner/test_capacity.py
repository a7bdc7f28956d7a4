"""Tests the capacity study on made-up trials with a known capacity."""

import asyncio
from pathlib import Path

import msgspec
import pytest

from bench.errors import ResultsError, StartFailed
from bench.profile.loader import load_profile
from bench.profile.matrix import expand_methods, settings_for
from bench.profile.schema import CellSettings, Profile
from bench.results.caveats import Caveat
from bench.results.histograms import Percentiles
from bench.results.rows import TrialRow
from bench.results.store import RunFolder
from bench.runner.capacity import build_curve_cells, build_search_settings, judge_trial, require_slo_ms, search_capacity
from bench.runner.capacity_search import SearchResult
from tests.conftest import refuses
from tests.unit.builders import build_trial


def a_profile(**flags: str) -> Profile:
    return load_profile("capacity", {"TRANSPORT": "rest,grpc", **flags})


REST, GRPC = (settings_for(a_profile(), cell) for cell in expand_methods(a_profile()))
SLOW = Percentiles(p50_us=50_000, p90_us=90_000, p99_us=100_001, max_us=200_000)
QUICK = Percentiles(p50_us=5_000, p90_us=9_000, p99_us=100_000, max_us=200_000)
FEW = Percentiles(p50_us=5_000, p90_us=9_000, max_us=200_000)


def doubt(name: str) -> Caveat:
    return Caveat(name, "text", "next")


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return RunFolder.create(tmp_path, "study", {"profile": {}, "facts": {}})


class Shop:
    """Keeps its p99 up to a rate."""

    def __init__(self, capacity_per_s: float) -> None:
        self.capacity_per_s = capacity_per_s
        self.asked: list[tuple[float, int, float]] = []

    async def measure(self, cell: CellSettings, number: int, duration_s: float) -> TrialRow:
        self.asked.append((cell.rate_per_s, number, duration_s))
        quick = cell.rate_per_s <= self.capacity_per_s
        return build_trial(cell=cell.name, offered_per_s=cell.rate_per_s, finish=QUICK if quick else SLOW)


def searched(run: RunFolder, shop: Shop, cell: CellSettings = REST, **flags: str) -> SearchResult:
    return asyncio.run(search_capacity(run, a_profile(**flags), cell, shop.measure))


def test_a_search_that_was_begun_with_other_settings_does_not_go_on(run: RunFolder) -> None:
    searched(run, Shop(90.0))
    with refuses("damaged-results", "search.csv", "trial 1 ", kind=ResultsError):
        searched(run, Shop(90.0), RATE="31")


@pytest.mark.parametrize(
    ("trial", "outcome"),
    [
        (build_trial(finish=QUICK), "pass"),
        (build_trial(finish=SLOW), "fail"),
        (build_trial(finish=QUICK, complete=False), "fail"),
        (build_trial(finish=QUICK, caveats=(doubt("below-rate"),)), "fail"),
        (build_trial(finish=QUICK, caveats=(doubt("backlog"),)), "fail"),
        (build_trial(finish=FEW), "fail"),
        # What the machine did to it does not make a trial that passed a failure.
        (build_trial(finish=QUICK, valid=False, caveats=(doubt("machine-too-slow"),)), "pass"),
        (build_trial(finish=QUICK, valid=False, caveats=(doubt("late-driver"),)), "pass"),
        (build_trial(finish=SLOW, caveats=(doubt("late-driver"), doubt("below-rate"))), "generator"),
        (build_trial(finish=SLOW, caveats=(doubt("busy-driver"),)), "generator"),
        (build_trial(finish=SLOW, caveats=(doubt("steal"),)), "generator"),
    ],
)
def test_a_trial_passes_fails_or_says_nothing_about_the_method(trial: TrialRow, outcome: str) -> None:
    assert judge_trial(trial, 100_000) == outcome


@pytest.mark.parametrize("name", ["failed", "died", "audit"])
def test_a_trial_that_says_nothing_of_its_method_is_no_answer(name: str) -> None:
    with refuses("trial-failed", "text", kind=StartFailed):
        judge_trial(build_trial(complete=False, caveats=(doubt(name),)), 100_000)


def test_the_words_of_a_searchs_doubts_are_kept(run: RunFolder) -> None:
    class Doubtful(Shop):
        async def measure(self, cell: CellSettings, number: int, duration_s: float) -> TrialRow:
            trial = await super().measure(cell, number, duration_s)
            return msgspec.structs.replace(trial, round=number, slot=90, caveats=(doubt("unsteady"),))

    searched(run, Doubtful(90.0))
    assert "r1-s90-rest" in [entry["trial"] for entry in RunFolder.open(run.path).manifest["caveats"]]
    assert run.drop_unmeasured() == []
    assert "r1-s90-rest" in [entry["trial"] for entry in RunFolder.open(run.path).manifest["caveats"]]


@pytest.mark.parametrize("capacity_per_s", [57.0, 200.0, 731.0])
def test_a_known_capacity_is_found_and_kept(run: RunFolder, capacity_per_s: float) -> None:
    done = searched(run, Shop(capacity_per_s))
    assert done.answer == "capacity"
    assert done.last_pass_per_s is not None
    assert done.last_pass_per_s <= capacity_per_s < done.last_pass_per_s * 1.031
    (row,) = run.capacities().to_dict("records")
    assert (row["cell"], row["answer"], float(row["last_pass_per_s"])) == ("rest", "capacity", done.last_pass_per_s)
    assert len(run.read_probes("rest")) == int(row["trials"])


def test_what_was_tried_is_not_tried_again(run: RunFolder) -> None:
    class Interrupted(Shop):
        async def measure(self, cell: CellSettings, number: int, duration_s: float) -> TrialRow:
            if number == 6:
                raise asyncio.CancelledError
            return await super().measure(cell, number, duration_s)

    shop = Interrupted(300)
    with pytest.raises(asyncio.CancelledError):
        searched(run, shop)
    assert len(shop.asked) == 5
    going_on = Shop(300)
    done = searched(run, going_on)
    assert going_on.asked[0][1] == 6
    straight = Shop(300)
    (run.path / "search.csv").unlink()
    assert done == searched(run, straight)
    assert straight.asked == shop.asked + going_on.asked


def test_a_search_that_has_its_answer_is_not_kept_twice(run: RunFolder) -> None:
    done = searched(run, Shop(300))
    again = Shop(300)
    assert searched(run, again) == done
    assert again.asked == []
    assert len(run.capacities()) == 1


def test_each_method_has_a_history_of_its_own(run: RunFolder) -> None:
    searched(run, Shop(300))
    assert run.read_probes("grpc") == []
    assert searched(run, Shop(90), GRPC).last_pass_per_s == pytest.approx(89, abs=2)


def test_a_slow_rate_gets_time_enough_for_a_p99(run: RunFolder) -> None:
    shop = Shop(20)
    searched(run, shop)
    assert {duration_s for per_s, _, duration_s in shop.asked if per_s > 140} == {6.0}
    assert all(per_s * duration_s > 750 for per_s, _, duration_s in shop.asked)


def test_the_search_starts_at_the_highest_rate_of_the_profile() -> None:
    assert build_search_settings(a_profile(RATE="10,40")).start_per_s == 40


def test_a_profile_without_an_objective_is_no_study() -> None:
    with refuses("no-objective", "'default'", "SLO"):
        require_slo_ms(load_profile("default"))


def done(last_pass_per_s: float | None) -> SearchResult:
    return SearchResult(last_pass_per_s, None, "capacity" if last_pass_per_s else "none", "")


def test_the_curve_has_equal_rates_and_shares_of_each_capacity() -> None:
    cells = list(build_curve_cells(a_profile(), {REST: done(400), GRPC: done(260)}))
    assert [(cell.name, cell.rate_per_s) for cell in cells] == [
        ("rest@50", 50),
        ("rest@100", 100),
        ("rest@200", 200),
        ("rest@50%", 200),
        ("rest@80%", 320),
        ("grpc@50", 50),
        ("grpc@100", 100),
        ("grpc@200", 200),
        ("grpc@50%", 130),
        ("grpc@80%", 208),
    ]
    assert {cell.at_rate(0, "rest") for cell in cells[:5]} == {REST.at_rate(0)}


def test_equal_rates_are_those_that_every_method_carries_with_room_to_spare() -> None:
    cells = build_curve_cells(a_profile(), {REST: done(400), GRPC: done(240)})
    assert [cell.name for cell in cells if "%" not in cell.name] == ["rest@50", "rest@100", "grpc@50", "grpc@100"]


def test_a_method_without_a_capacity_has_no_curve() -> None:
    cells = build_curve_cells(a_profile(), {REST: done(400), GRPC: done(None)})
    assert {cell.transport for cell in cells} == {"rest"}
    assert list(build_curve_cells(a_profile(), {REST: done(None)})) == []

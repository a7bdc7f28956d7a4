"""Tests which trials are valid, and the caveats of others."""

import asyncio
import math
import random
from collections import Counter

import pandas as pd
import pytest

from bench.stats.gap_test import GapTestResult
from bench.stats.trend import Slope
from bench.trial.speed_probe import SpeedProbe
from bench.trial.validity import (
    Health,
    find_invalidating_caveats,
    find_remarks,
    fit_response_trend,
    format_spread,
    has_backlog_grown,
    run_gap_test,
)

WELL = Health(
    achieved_share=1.0,
    ended_share=1.0,
    lateness_p50_us=50,
    response_p99_us=10_400,
    service_p99_us=10_000,
    gap=GapTestResult(0.01, 0.05),
    driver_share=0.2,
    littles_law_error=0.01,
    steal_share=0.0,
    background_cores=0.1,
    cpu_slowdown=1.1,
)
ILL = {
    "below-rate": {"ended_share": 0.9},
    "late-driver": {"lateness_p50_us": 1500},
    "gaps": {"gap": GapTestResult(0.2, 0.05)},
    "busy-driver": {"driver_share": 0.95},
    "littles-law": {"littles_law_error": -0.2},
    "acceptance": {"acceptance_error": 0.1},
    "trend": {"trend": Slope(0.2, 0.15, 0.25)},
    "backlog": {"backlog_grew": True},
    "steal": {"steal_share": 0.1},
    "background-load": {"background_cores": 0.8},
    "machine-too-slow": {"cpu_slowdown": 2.5},
}


def healthy(**changes: object) -> Health:
    return Health(**({name: getattr(WELL, name) for name in Health.__struct_fields__} | changes))


def names(health: Health) -> list[str]:
    return [caveat.name for caveat in find_invalidating_caveats(health)]


def test_a_healthy_trial_is_not_doubted() -> None:
    assert names(WELL) == []


@pytest.mark.parametrize(("name", "change"), ILL.items(), ids=ILL)
def test_each_ill_is_named_with_what_to_do(name: str, change: dict[str, object]) -> None:
    (caveat,) = find_invalidating_caveats(healthy(**change))
    assert caveat.name == name
    assert caveat.next_step


@pytest.mark.parametrize(("edge_share", "found"), [(0.0, ["below-rate"]), (0.03, [])])
def test_orders_on_their_way_at_the_windows_edges_are_no_shortfall(edge_share: float, found: list[str]) -> None:
    assert names(healthy(ended_share=0.96, edge_share=edge_share)) == found


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"littles_law_error": 0.31, "littles_law_gap_us": 120.0}, []),
        ({"littles_law_error": 0.31, "littles_law_gap_us": 220.0}, ["littles-law"]),
        ({"littles_law_error": -0.31, "littles_law_gap_us": -220.0}, ["littles-law"]),
        ({"littles_law_error": 0.31, "littles_law_gap_us": 220.0, "lateness_p50_us": 150.0}, []),
        ({"acceptance_error": 0.31, "acceptance_gap_us": 120.0}, []),
        ({"acceptance_error": 0.31, "acceptance_gap_us": 220.0}, ["acceptance"]),
    ],
)
def test_instants_are_judged_only_beyond_what_an_event_loop_takes_to_wake(
    change: dict[str, object], found: list[str]
) -> None:
    assert names(healthy(**change)) == found


@pytest.mark.parametrize(
    ("slope", "found"),
    [
        # Over eleven steps from the first twelfth to the last: ln 2 is 0.063 for each.
        (Slope(0.08, 0.064, 0.096), ["trend"]),
        (Slope(0.08, 0.062, 0.098), []),
        (Slope(-0.08, -0.096, -0.064), ["trend"]),
        (Slope(-0.08, -0.098, -0.062), []),
    ],
)
def test_a_trend_counts_when_all_of_its_interval_is_a_doubling_or_more(slope: Slope, found: list[str]) -> None:
    assert names(healthy(trend=slope)) == found


@pytest.mark.parametrize(("counts", "fitted"), [([10] * 12, True), ([10] * 11 + [9], False), ([], False)])
def test_a_trend_is_told_of_enough_orders_in_every_part(counts: list[int], fitted: bool) -> None:
    assert (fit_response_trend([1.0] * len(counts), counts) is not None) is fitted


def test_a_queue_at_seven_tenths_of_its_capacity_has_no_trend() -> None:
    """M/D/1 by Lindley's recursion, 150 orders/s for 6 s."""
    for seed in range(100):
        draw, at_s, free_s = random.Random(seed), -3.0, -3.0
        logs, counts = [0.0] * 12, [0] * 12
        while (at_s := at_s + draw.expovariate(150)) < 6:
            free_s = max(free_s, at_s) + 0.7 / 150
            if at_s >= 0:
                counts[int(at_s * 2)] += 1
                logs[int(at_s * 2)] += math.log(free_s - at_s)
        assert names(healthy(trend=fit_response_trend(logs, counts))) == []


def test_several_ills_are_all_named() -> None:
    assert names(healthy(driver_share=0.9, steal_share=0.2)) == ["busy-driver", "steal"]


def test_what_was_not_measured_is_not_doubted() -> None:
    assert names(Health()) == []


@pytest.mark.parametrize(
    ("service_p99_us", "response_p99_us", "late"),
    [
        (10_000, 10_900, False),
        (10_000, 11_100, True),
        # Half a millisecond is nothing that a trial is thrown away for.
        (1_000, 1_490, False),
        (1_000, 1_510, True),
        (50_000, 54_000, False),
        (math.inf, math.inf, False),
        (None, None, False),
    ],
)
def test_late_sends_matter_as_far_as_they_are_in_the_percentile(
    service_p99_us: float | None, response_p99_us: float | None, late: bool
) -> None:
    found = names(healthy(service_p99_us=service_p99_us, response_p99_us=response_p99_us))
    assert found == (["late-driver"] if late else [])


def gaps_of(count: int) -> list[int]:
    draw = random.Random(7)
    return [round(draw.expovariate(150) * 1e6) for _ in range(count)]


def test_sends_that_follow_the_plan_but_for_half_a_millisecond_pass() -> None:
    planned = gaps_of(900)
    draw = random.Random(8)
    sent = [max(0, gap + draw.randint(-500, 500)) for gap in planned]
    assert run_gap_test(Counter(sent), Counter(planned)).passed  # type: ignore[union-attr]


def test_sends_in_bunches_of_ten_milliseconds_do_not_pass() -> None:
    planned = gaps_of(900)
    at_us, sent, last_us = 0, [], 0
    for gap in planned:
        at_us += gap
        beat_us = -(-at_us // 10_000) * 10_000
        sent.append(beat_us - last_us)
        last_us = beat_us
    assert not run_gap_test(Counter(sent), Counter(planned)).passed  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("in_flight", "grew"),
    [
        ([2, 3, 2, 3, 2, 3, 2, 3, 2, 3, 2, 3], False),
        ([5, 9, 14, 21, 24, 31, 36, 40, 44, 50, 57, 60], True),
        # By less than 1 % of the 75 orders that come in each of the twelve.
        ([2.0 + 0.05 * n for n in range(12)], False),
        ([1, 50], False),
    ],
)
def test_a_backlog_grows_when_orders_in_flight_rise_by_a_part_of_what_comes(in_flight: list[float], grew: bool) -> None:
    assert has_backlog_grown(in_flight, planned=900) is grew


def test_without_gaps_there_is_no_test() -> None:
    assert run_gap_test({}, {}) is None


@pytest.mark.parametrize(("slowdown", "said"), [(1.6, ["machine-speed-changed"]), (1.2, []), (None, [])])
def test_a_machine_that_has_changed_its_speed_is_said_and_no_reason_to_doubt(
    slowdown: float | None, said: list[str]
) -> None:
    health = healthy(cpu_slowdown=slowdown)
    assert [caveat.name for caveat in find_remarks(health)] == said
    assert names(health) == []


def test_the_canary_is_the_median_of_a_trial_over_the_best_so_far() -> None:
    probe = SpeedProbe()
    assert [probe.compute_slowdown(runs_us) for runs_us in ([200.0], [100.0, 90.0, 500.0], [150.0])] == [1.0, 1.0, 1.5]


def test_the_canary_of_a_run_that_goes_on_knows_the_best_of_before() -> None:
    assert SpeedProbe(100.0).compute_slowdown([150.0]) == 1.5


def test_a_canary_that_never_ran_says_nothing() -> None:
    assert SpeedProbe().compute_slowdown([]) is None


def test_the_canary_sings_beside_what_is_measured_and_not_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.trial.speed_probe.PERIOD_S", 0.001)

    async def sing() -> tuple[int, int]:
        async with SpeedProbe().sampling() as runs_us:
            while len(runs_us) < 3:  # noqa: ASYNC110 - the condition is a list
                await asyncio.sleep(0.001)
        before = len(runs_us)
        await asyncio.sleep(0.01)
        return before, len(runs_us)

    before, after = asyncio.run(sing())
    assert before == after


def test_the_spread_of_a_run_is_told_for_each_thing_that_is_judged() -> None:
    trials = pd.DataFrame(
        {"round": [1, 2, 3], "littles_law_error": [-0.01, 0.02, 0.04], "cpu_slowdown": [1.0, 1.2, 1.1]}
    )
    lines = [line.split() for line in format_spread(trials).splitlines()]
    assert lines == [
        ["min", "median", "max"],
        ["littles_law_error", "-0.01", "0.02", "0.04"],
        ["cpu_slowdown", "1", "1.1", "1.2"],
    ]

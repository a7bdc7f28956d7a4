"""Tests the health figures that are derived from a trial's report."""

import os

import msgspec
import pytest

from bench.load.protocol import MachineUsage, PartUsage, TrialReport
from bench.load.recorder import DriverRecord
from bench.trial.outcome import TrialOutcome
from bench.trial.row import build_health
from bench.trial.validity import find_invalidating_caveats

S = 1_000_000_000


def a_report(**changes: object) -> TrialReport:
    """600 orders in 6 s, each 20 ms under way, the last of them 1.5 ms late and twice as long under way."""
    record = DriverRecord()
    for number in range(700):
        record.finish.record(20_000 if number else 40_000)
        record.finish_service.record(19_900 if number else 38_500)
        record.lateness.record(100 if number else 1_500)
        record.gap_planned.record(10_000)
        record.gap_sent.record(10_000)
    report = TrialReport.of("trial-1", 0, record, "hash")
    steady: dict[str, object] = {
        "planned": 700,
        "sent": 700,
        "finished": 700,
        "window_s": 6.0,
        "achieved_per_s": 115.5,
        "driver_cpu_ns": 1 * S,
        "costs": {"services": PartUsage(cpu_ns=3 * S, peak_rss_mib=80.0, context_switches=9)},
        "machine": MachineUsage(duration_s=6.0, busy_s=5.2, steal_s=0.03),
        "in_flight_mean": 2.02,
        "in_flight_by_instants": 2.0,
    }
    return msgspec.structs.replace(report, **(steady | changes))


def test_each_figure_is_taken_from_its_own_place() -> None:
    health = build_health(TrialOutcome(report=a_report(), cpu_slowdown=1.2))
    assert health.achieved_share == pytest.approx(0.99)
    assert health.lateness_p50_us == 100
    assert (health.response_p99_us, health.service_p99_us) == pytest.approx((20_000, 19_900), rel=0.001)
    assert health.driver_share == pytest.approx(1 / 6)
    assert health.littles_law_error == pytest.approx(0.01)
    assert health.steal_share == pytest.approx(0.03 / 6 / (os.cpu_count() or 1))
    assert health.background_cores == pytest.approx((5.2 - 1 - 3) / 6)
    assert health.cpu_slowdown == 1.2
    assert find_invalidating_caveats(health) == []


def test_orders_that_failed_have_ended_too() -> None:
    health = build_health(TrialOutcome(report=a_report(planned=700, achieved_per_s=110, failed=40)))
    assert health.achieved_share == pytest.approx(660 / 700)
    assert health.ended_share == pytest.approx(1.0)


def test_orders_that_never_end_are_not_waited_for_in_vain() -> None:
    health = build_health(TrialOutcome(report=a_report(achieved_per_s=110, unfinished=40)))
    assert health.achieved_share == pytest.approx(660 / 700)
    assert health.ended_share == pytest.approx(1.0)


def test_orders_that_end_after_the_window_have_not_ended_in_it() -> None:
    health = build_health(TrialOutcome(report=a_report(achieved_per_s=50, finished=500, unfinished=200)))
    assert health.ended_share == pytest.approx(300 / 500)


def test_a_trial_in_which_nothing_was_under_way_says_nothing_of_littles_law() -> None:
    assert (
        build_health(TrialOutcome(report=a_report(in_flight_mean=0.0, in_flight_by_instants=0.0))).littles_law_error
        is None
    )


def test_chance_at_the_edges_is_three_roots_of_twice_the_orders_in_flight() -> None:
    assert build_health(TrialOutcome(report=a_report(in_flight_mean=50.0))).edge_share == pytest.approx(3 * 10 / 700)


def test_what_others_used_is_not_known_beside_a_broker_whose_processes_are_not() -> None:
    assert build_health(TrialOutcome(report=a_report(), knows_all_processes=False)).background_cores is None


def test_sends_are_set_against_the_plan_and_not_the_other_way_round() -> None:
    record = DriverRecord()
    for number in range(600):
        record.gap_planned.record(10_000)
        record.gap_sent.record(100_000 if number % 10 == 0 else 0)
    bunched = TrialReport.of("trial-1", 0, record, "hash").histograms
    report = a_report()
    report.histograms = report.histograms | {name: bunched[name] for name in ("gap_sent", "gap_planned")}
    gap = build_health(TrialOutcome(report=report)).gap
    assert gap is not None
    assert gap.distance == pytest.approx(0.9)
    assert not gap.passed


def test_load_processes_share_what_they_used() -> None:
    assert build_health(TrialOutcome(report=a_report(workers=2))).driver_share == pytest.approx(1 / 12)


def test_a_trial_that_did_not_run_says_nothing_but_of_the_machine() -> None:
    health = build_health(TrialOutcome(report=TrialReport(trial="trial-1"), cpu_slowdown=2.5))
    assert [caveat.name for caveat in find_invalidating_caveats(health)] == ["machine-too-slow"]

"""Tests the arithmetic of the baseline benchmark on made-up slots."""

import asyncio
import io
import itertools
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rich.console import Console

from bench.calibration.baseline.arms import RunningArm
from bench.calibration.baseline.goals import BASELINE_METRICS, BaselineMetric, compare_metric
from bench.calibration.baseline.load import run_closed_loop, run_open_loop
from bench.calibration.baseline.measure import BaselineLoad, Slot, SlotMeasurement, _measure_loops
from bench.calibration.baseline.report import BaselineReport, ratio_table
from bench.calibration.baseline.run import BARE_TRANSPORTS, arm_order
from bench.cli import baseline
from bench.cli.arguments import Asked
from bench.cli.commands import find_command
from bench.paths import REFERENCE, ROOT
from bench.yardstick import route
from shop.workflow import SERVICES
from tests.conftest import refuses

AT_LEAST = BaselineMetric("orders_per_s", "orders/s", "at least", 0.9)
AT_MOST = BaselineMetric("p50_us", "p50", "at most", 1.2)
NO_GOAL = BaselineMetric("p99_us", "p99")


def a_slot(arm: str, round_: int = 1, **changes: Any) -> Slot:
    measured = {
        "orders": 100,
        "returned": 100,
        "orders_per_s": 500.0,
        "cpu_us_per_order_services": 1000.0,
        "cpu_us_per_order_driver": 200.0,
        "cpu_us_per_order_broker": None,
        "paced_cpu_us_per_order_services": 1500.0,
        "p50_us": 5000,
        "p99_us": 9000,
        "lateness_p50_us": 50,
        "lateness_p99_us": 90,
        "latencies_us": [5000, 9000],
    }
    return msgspec.convert(
        {
            "transport": "rest",
            "round": round_,
            "place": 1,
            "arm": arm,
            "load_1m": 0.5,
            "measured": measured | changes,
        },
        Slot,
    )


def rounds(field: str, *pairs: tuple[float, float]) -> Sequence[Slot]:
    """A round for every pair of values, ours and bare."""
    return [
        a_slot(arm, number, **{field: value})
        for number, pair in enumerate(pairs, 1)
        for arm, value in zip(("ours", "bare"), pair, strict=True)
    ]


@pytest.mark.parametrize(
    ("metric", "ours", "met"),
    [
        (AT_LEAST, 450.0, True),
        (AT_LEAST, 449.0, False),
        (AT_LEAST, 600.0, True),
        (AT_MOST, 600, True),
        (AT_MOST, 601, False),
        (AT_MOST, 100, True),
        (NO_GOAL, 9999, None),
    ],
)
def test_a_goal_is_met_up_to_its_bound_and_missed_beyond(metric: BaselineMetric, ours: float, met: bool | None) -> None:
    found = compare_metric(metric, rounds(metric.field, (ours, 500)))
    assert found is not None
    assert found.met is met


def test_the_ratio_is_the_median_of_the_rounds_own_ratios() -> None:
    found = compare_metric(AT_LEAST, rounds("orders_per_s", (100.0, 200.0), (300.0, 100.0), (90.0, 100.0)))
    assert found is not None
    assert found.ratios == [0.5, 3.0, 0.9]
    assert (found.ratio, found.ours, found.bare) == (0.9, 100.0, 100.0)
    assert found.goal == "at least 0.90"


def test_arms_are_paired_by_round_wherever_they_stood() -> None:
    slots = rounds("p50_us", (300, 100), (800, 200))
    for shuffled in itertools.permutations(slots):
        found = compare_metric(AT_MOST, shuffled)
        assert found is not None
        assert found.ratios == [3.0, 4.0]


def test_what_was_not_measured_is_not_compared() -> None:
    broker = next(metric for metric in BASELINE_METRICS if metric.field == "cpu_us_per_order_broker")
    assert compare_metric(broker, [a_slot("ours"), a_slot("bare")]) is None


def test_the_goals_are_those_that_were_set() -> None:
    goals = {metric.field: (metric.bound, metric.goal) for metric in BASELINE_METRICS if metric.bound}
    assert goals == {
        "orders_per_s": ("at least", 0.90),
        "cpu_us_per_order_services": ("at most", 1.15),
        "p50_us": ("at most", 1.20),
        "p99_us": ("at most", 1.50),
    }
    assert [metric.needs for metric in BASELINE_METRICS if metric.field == "p99_us"] == [662]


@pytest.mark.parametrize(("orders", "goal"), [(661, None), (662, "at most 1.50")])
def test_a_p99_has_a_goal_when_there_are_orders_enough_for_one(orders: int, goal: str | None) -> None:
    (metric,) = (metric for metric in BASELINE_METRICS if metric.field == "p99_us")
    found = compare_metric(metric, [a_slot(arm, latencies_us=[5000] * orders) for arm in ("ours", "bare")])
    assert found is not None
    assert (found.goal, found.met) == (goal, None if goal is None else True)


def test_every_metric_is_a_field_of_what_was_measured() -> None:
    assert {metric.field for metric in BASELINE_METRICS} <= set(SlotMeasurement.__struct_fields__)


def test_arms_take_turns_so_that_a_drift_cancels() -> None:
    order = list(itertools.chain.from_iterable(arm_order(number) for number in (1, 2)))
    assert order == ["ours", "bare", "bare", "ours"]
    assert arm_order(3) == arm_order(1)


def test_a_body_passes_every_service_of_the_route_once_and_user_twice() -> None:
    hops = {service: route.find_hops(service) for service in SERVICES}
    assert {service: len(passed) for service, passed in hops.items()} == {
        "user": 2,
        "product": 1,
        "payment": 1,
        "shipping": 1,
    }
    taken, way = route.ROUTE[0], [route.ROUTE[0]]
    while taken is not route.ROUTE[-1]:
        (taken,) = (passed[taken] for passed in hops.values() if taken in passed)
        way.append(taken)
    assert tuple(way) == route.ROUTE


def test_a_chain_goes_through_the_services_in_order() -> None:
    assert [route.next_service(service) for service in SERVICES] == [*SERVICES[1:], None]


# Load


async def test_a_closed_loop_sends_every_number_once_and_never_more_at_a_time_than_asked() -> None:
    sent: list[int] = []
    in_flight = most = 0

    async def submit(number: int) -> int:
        nonlocal in_flight, most
        in_flight += 1
        most = max(most, in_flight)
        sent.append(number)
        await Turn()
        in_flight -= 1
        return 0

    assert await run_closed_loop(submit, range(10, 50), 4) > 0
    assert sorted(sent) == list(range(10, 50))
    assert most == 4


class Turn:
    """Awaited, it lets everybody else go first."""

    def __await__(self) -> Any:
        yield


async def test_an_open_loop_sends_the_orders_of_its_rate_and_waits_for_the_last() -> None:
    sent: list[int] = []

    async def submit(number: int) -> int:
        sent.append(number)
        return 10**18

    pace = await run_open_loop(submit, 100, orders_per_s=200, duration_s=0.1)
    assert sent == list(range(100, 100 + 20))
    assert len(pace.from_planned_ns) == len(pace.lateness_ns) == 20
    assert min(pace.lateness_ns) >= 0


def test_the_orders_of_a_slot_are_enough_for_all_its_parts() -> None:
    assert BaselineLoad(orders=40, warm_up=300, orders_per_s=60, seconds=1.5).all_orders == 300 + 40 + 90


# Options


def ask_for(**words: str) -> Asked:
    command = find_command(("harness", "baseline"))
    assert command is not None
    return Asked(command=command, words=words)


def test_without_settings_all_transports_are_compared() -> None:
    assert tuple(ask_for().value("TRANSPORT")) == BARE_TRANSPORTS


@pytest.mark.parametrize(
    ("words", "code", "name"),
    [
        ({"TRANSPORT": "grcp"}, "unknown-bare-chain", "'grpc'"),
        ({"TRANSPORT": "memory"}, "unknown-bare-chain", "'memory'"),
        ({"TRANSPORT": ","}, "no-transport", "rest"),
        ({"ORDERS": "0"}, "bad-count", "ORDERS"),
        ({"ORDERS": "-3"}, "bad-count", "'-3'"),
        ({"PAYLOAD": "½"}, "bad-size", "'½'"),
        ({"PAYLOAD": "20"}, "payload-too-small", "PAYLOAD"),
        ({"SECONDS_EACH": "soon"}, "bad-seconds", "'soon'"),
        ({"SECONDS_EACH": "nan"}, "bad-seconds", "'nan'"),
        ({"SECONDS_EACH": "0"}, "bad-seconds", "SECONDS_EACH"),
        ({"SECONDS_EACH": "2h"}, "bad-seconds", "3600"),
    ],
)
def test_what_cannot_be_is_refused_by_name(words: dict[str, str], code: str, name: str) -> None:
    with refuses(code, name):
        baseline.run(ask_for(**words))


# Report


def shown(*slots: Slot) -> str:
    text = io.StringIO()
    Console(file=text, width=120).print(ratio_table("rest", slots))
    return text.getvalue()


def test_the_table_has_a_verdict_for_every_goal_and_none_without() -> None:
    text = shown(a_slot("ours", orders_per_s=400.0), a_slot("bare"))
    assert text.count("MISSED") == 1
    assert text.count(" met") == 2
    (missed,) = [line for line in text.splitlines() if "MISSED" in line]
    assert missed.startswith("orders/s")
    assert "0.80" in missed
    assert ">= 0.90" in missed


def test_a_metric_that_was_not_measured_has_no_row() -> None:
    assert "broker us/order" not in shown(a_slot("ours"), a_slot("bare"))
    both = [a_slot(arm, cpu_us_per_order_broker=700.0) for arm in ("ours", "bare")]
    assert "broker us/order" in shown(*both)


@pytest.mark.slow
def test_the_report_is_whole_each_time_it_is_saved(tmp_path: Path) -> None:
    report = BaselineReport(tmp_path, BaselineLoad())
    report.skipped["events"] = "no kafka answers"
    report.save()
    report.slots["rest"] = [a_slot("ours"), a_slot("bare")]
    report.save()
    kept = msgspec.json.decode(report.path.read_bytes())
    assert kept["skipped"] == {"events": "no kafka answers"}
    assert len(kept["slots"]) == 2
    assert {entry["metric"]: entry["met"] for entry in kept["comparisons"]["rest"]}["orders_per_s"] is True
    text = report.path.with_suffix(".txt").read_text()
    assert "no kafka answers" in text
    assert "orders/s" in text


@pytest.mark.reference
@pytest.mark.parametrize("name", ["baseline-1KiB.json", "baseline-200B.json"])
def test_the_findings_tell_the_kept_baselines(name: str) -> None:
    kept = json.loads((REFERENCE / "baseline" / name).read_text("utf-8"))
    text = (ROOT / "docs" / "findings.md").read_text("utf-8")
    for comparison in kept["comparisons"].values():
        told = [row for row in comparison if row["goal"] is not None]
        assert len(told) == 3
        for row in told:
            low, high = min(row["ratios"]), max(row["ratios"])
            ending = "met" if row["met"] else "missed"
            assert f"{row['ratio']:.2f} ({low:.2f} to {high:.2f}), {ending}" in text, row


@pytest.mark.slow
async def test_a_broker_that_we_started_counts_as_broker_and_not_as_driver() -> None:
    """It descends from the driver, whose own CPU is counted with that of its descendants."""
    burns = await asyncio.create_subprocess_exec(sys.executable, "-c", "while True: pass")
    try:
        load = BaselineLoad(orders=200, in_flight=4, orders_per_s=200, seconds=0.5, warm_up=1)

        async def submit(number: int) -> int:
            await asyncio.sleep(0.005)
            return time.monotonic_ns()

        found = await _measure_loops(RunningArm(submit, ()), load, (burns.pid,))
    finally:
        burns.kill()
        await burns.wait()
    assert found.cpu_us_per_order_broker is not None
    assert found.cpu_us_per_order_broker > 5 * found.cpu_us_per_order_driver

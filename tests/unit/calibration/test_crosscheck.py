"""Tests how the output of external load tools is parsed; `make crosscheck` runs them."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from bench.calibration.crosscheck import tools
from bench.calibration.crosscheck.compare import compute_percentiles
from bench.calibration.crosscheck.tools import ToolFailed
from bench.load.workload.orders import Workload
from tests.conftest import refuses

ORDERS = Workload(prefix="w", seed=1, payload_bytes=512)
Said = Callable[[str], list[list[str]]]


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> Said:
    """What the next tools say; gives the commands that they are called with."""

    def say(text: str) -> list[list[str]]:
        called: list[list[str]] = []

        async def run(command: Sequence[object]) -> str:
            called.append([str(word) for word in command])
            return text

        monkeypatch.setattr(tools, "_run_command", run)
        return called

    return say


async def test_vegetas_latencies_are_those_after_the_warm_up_and_its_orders_are_all_different(
    said: Said, tmp_path: Path
) -> None:
    called = said("1000000000,200,5000000,1,1\n2900000000,200,6000000,1,1\n3000000000,200,7500000,1,1\n")
    seen_us = await tools.run_vegeta(tmp_path, tmp_path, "127.0.0.1:1", ORDERS, 10, 2, 1)
    assert seen_us == [7500]
    assert "-rate=10/1s" in called[0]
    targets = [json.loads(line) for line in (tmp_path / "targets.json").read_text().splitlines()]
    assert len({target["body"] for target in targets}) == len(targets) == 30


async def test_an_answer_that_is_no_success_is_no_latency(said: Said, tmp_path: Path) -> None:
    said("1000000000,200,5000000,1,1\n2000000000,503,6000000,1,1\n")
    with refuses("tool-failed", "503", kind=ToolFailed):
        await tools.run_vegeta(tmp_path, tmp_path, "127.0.0.1:1", ORDERS, 10, 0, 1)


async def test_ghzs_latencies_are_those_after_the_warm_up(said: Said, tmp_path: Path) -> None:
    details = [
        {"timestamp": f"2026-01-01T00:00:0{second}.123456789Z", "latency": 1_000_000 * second, "status": "OK"}
        for second in (1, 2, 3, 4)
    ]
    said(json.dumps({"details": details}))
    assert await tools.run_ghz(tmp_path, tmp_path, "127.0.0.1:1", ORDERS, 1, 2, 2) == [3000, 4000]
    assert len(json.loads((tmp_path / "orders.json").read_text())) == 4


async def test_perf_tests_median_is_that_of_the_seconds_after_the_warm_up(said: Said, tmp_path: Path) -> None:
    line = (
        "id: t, time {}.000 s, received: 50 msg/s, min/median/75th/95th/99th consumer latency: 1/{}/3/4/5 µs, confirm"
    )
    called = said("\n".join(line.format(second, 9000 // second) for second in (1, 2, 3, 4, 5)))
    assert await tools.run_perf_test(tmp_path, "amqp://here:1/", 50, 2, 3, 1024) == 9000 // 4
    assert called[0][called[0].index("--uri") + 1] == "amqp://here:1"


async def test_the_mean_of_end_to_end_latency_is_that_of_its_warm_records(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async def run(command: Sequence[object]) -> str:
        cold_ms, warm_ms, records = 3.0, 0.5, int(str(command[-3]))
        mean_ms = (cold_ms * tools.COLD_RECORDS + warm_ms * (records - tools.COLD_RECORDS)) / records
        return f"0\t209.9\nAvg latency: {mean_ms} ms\nPercentiles: 50th = 7, 99th = 209, 99.9th = 209\n"

    monkeypatch.setattr(tools, "_run_command", run)
    assert await tools.run_end_to_end_latency(tmp_path, "here:1", "topic", 1024) == pytest.approx(500)


@pytest.mark.parametrize("said_instead", ["", "something else"])
async def test_a_tool_that_says_something_unexpected_has_failed(said: Said, tmp_path: Path, said_instead: str) -> None:
    said(said_instead)
    with refuses("tool-failed", repr(said_instead), kind=ToolFailed):
        await tools.run_perf_test(tmp_path, "amqp://here:1/", 50, 2, 3, 1024)
    with refuses("tool-failed", repr(said_instead), kind=ToolFailed):
        await tools.run_end_to_end_latency(tmp_path, "here:1", "topic", 1024)


@pytest.mark.slow
async def test_a_tool_that_is_not_there_is_named(tmp_path: Path) -> None:
    with refuses("tool-failed", "vegeta", "make crosscheck", kind=ToolFailed):
        await tools.run_vegeta(tmp_path, tmp_path, "127.0.0.1:1", ORDERS, 10, 0, 1)


def test_percentiles_are_nearest_ranks_as_ours() -> None:
    assert compute_percentiles(list(range(1, 201))) == {"p50": 100, "p90": 180, "p99": 198}

"""Tests that no client holds a trial or outlives its load process, against the installed `locust --master`."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from bench.errors import LoadError
from bench.load.locust.control import start_master, start_worker
from bench.load.protocol import TrialReport, TrialSpec
from tests.bad_clients import declare_transports
from tests.conftest import refuses
from transports.base import Setting

pytestmark = [pytest.mark.slow, pytest.mark.asyncio]

SPEC = TrialSpec(
    id="bad",
    transport="bad-memory",
    setting=Setting(trial="bad", deadline_s=1.0),
    users=200,
    duration_s=0.6,
    drain_s=1.0,
)


async def run(folder: Path, how: str) -> tuple[TrialReport, int | None]:
    """The report, and the exit code of the load process."""
    async with start_master(folder=folder, log=folder / "master.log") as locust:
        env = declare_transports(folder / "site", how)
        async with start_worker(locust, log=folder / "worker.log", env=env) as one:
            report = await locust.run(SPEC)
        return report, one.process.returncode


async def test_an_order_that_cannot_be_cancelled_is_reported_and_its_process_ends(tmp_path: Path) -> None:
    report, code = await run(tmp_path, "stubborn:30:1")
    assert report.error is None
    assert (report.left_behind, report.unfinished) == (1, 1)
    assert report.finished == report.planned - 1
    assert code == 0


async def test_a_client_that_does_not_close_costs_no_trial(tmp_path: Path) -> None:
    report, code = await run(tmp_path, "stays:30:1")
    assert report.error is None
    assert report.finished == report.planned
    assert code == 0


async def test_a_process_whose_loop_is_blocked_ends_with_whoever_started_it(tmp_path: Path) -> None:
    async with start_master(folder=tmp_path, log=tmp_path / "master.log") as locust:
        env = declare_transports(tmp_path / "site", "blocks:30:1")
        async with start_worker(locust, log=tmp_path / "worker.log", env=env) as one:
            with refuses("locust-refused", "load worker 0", kind=LoadError):
                await locust.run(SPEC)
            assert one.process.stdin is not None
            one.process.stdin.close()
            async with asyncio.timeout(20):
                assert await one.process.wait() == 1
        # Of a process that has gone.
        with pytest.raises(ProcessLookupError):
            os.kill(one.pid, signal.SIGCONT)

"""Tests our Locust worker and launcher against the installed `locust --master`."""

import asyncio
import json
import os
import re
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
import pytest_asyncio

from bench.errors import LoadError
from bench.load.locust.control import SCENARIO, Master, start_master, start_worker
from bench.load.protocol import TrialReport, TrialSpec
from bench.provision.process import build_mark_environment
from tests.conftest import refuses
from transports.base import Setting

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

PATIENCE_S = 20.0


def a_spec(trial: str, **changes: Any) -> TrialSpec:
    given: dict[str, Any] = {
        "id": trial,
        "transport": "memory",
        "setting": Setting(trial=trial),
        "users": 200,
        "warm_up_s": 0.2,
        "duration_s": 0.6,
        "drain_s": 5.0,
    }
    return TrialSpec(**{**given, **changes})


def assert_conserved(report: TrialReport) -> None:
    assert report.error is None
    assert report.planned == report.sent + report.not_sent
    assert report.sent == report.finished + report.failed + report.unfinished
    assert report.finished == report.shipped + report.rejected == report.histogram("finish").count
    assert report.unexpected == 0
    assert report.services_audit is not None
    told = report.services_audit["user"]["tallies"]
    for outcome in ("shipped", "rejected"):
        ours = getattr(report.audit, outcome)
        assert (ours.count, ours.order_ids) == (told[outcome]["count"], told[outcome]["order_ids"])
    assert report.services_audit["product"]["balance"] == {"missing": 0}


@asynccontextmanager
async def load(folder: Path, workers: int = 1, **given: Any) -> AsyncIterator[Master]:
    async with AsyncExitStack() as stack:
        running = await stack.enter_async_context(start_master(folder=folder, log=folder / "master.log", **given))
        for number in range(workers):
            await stack.enter_async_context(start_worker(running, log=folder / f"worker-{number}.log"))
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def locust(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Master]:
    async with load(tmp_path_factory.mktemp("locust")) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def page(tmp_path: Path) -> AsyncIterator[Master]:
    """As `make web` starts it: a start on the page runs the base trial."""
    base = a_spec("web", duration_s=None, warm_up_s=0.0)
    async with load(tmp_path, trial=base) as running:
        await running.ready(1)
        yield running


async def ask(running: Master, method: str, path: str, **form: str) -> Any:
    async with running.session.request(method, running.web_url + path, data=form or None) as response:
        assert response.status == 200, await response.text()
        return await response.json() if response.content_type == "application/json" else await response.text()


async def until(running: Master, condition: str) -> dict[str, Any]:
    """What Locust's page polls, once ``condition`` holds for it."""
    page: dict[str, Any] = {}
    try:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                page = await ask(running, "GET", "/stats/requests")
                # Given in a test of ours, in words of the page.
                if eval(condition, {}, page):
                    return page
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError(f"never came: {condition}; the page: {page}") from None


async def test_a_trial_of_given_length_ends_by_itself_and_nothing_is_lost(locust: Master) -> None:
    before_ns = time.monotonic_ns()
    report = await locust.run(a_spec("given-length"))
    assert before_ns < report.began_ns < report.ended_ns < time.monotonic_ns()
    assert_conserved(report)
    assert report.planned == pytest.approx(120, abs=60)
    assert report.window_s == pytest.approx(0.6)
    assert report.audit.sent > report.sent
    assert report.machine is not None
    assert report.machine.busy_s > 0
    assert report.histogram("gap_sent").count == report.histogram("gap_planned").count == report.sent - 1


async def test_the_same_seed_replays_the_same_plan(locust: Master) -> None:
    one, other = [await locust.run(a_spec(f"seed-{number}", seed=5)) for number in range(2)]
    assert one.plan_hash == other.plan_hash != ""
    assert (one.planned, one.shipped, one.rejected) == (other.planned, other.shipped, other.rejected)
    assert one.audit.shipped.amount_cents == other.audit.shipped.amount_cents


async def test_a_closed_trial_has_looping_clients(locust: Master) -> None:
    report = await locust.run(a_spec("closed", mode="closed", users=4))
    assert_conserved(report)
    assert report.in_flight_max == 4


async def test_users_edited_while_running_are_the_offered_load(locust: Master) -> None:
    running = asyncio.ensure_future(locust.run(a_spec("edited", users=20, duration_s=None, warm_up_s=0.0)))
    await until(locust, "user_count == 20 and stats[-1]['num_requests'] > 5")
    await ask(locust, "POST", "/swarm", user_count="400", spawn_rate="400")
    await until(locust, "user_count == 400 and stats[-1]['num_requests'] > 500")
    await locust.stop()
    report = await running
    assert_conserved(report)
    assert report.plan_hash == ""
    assert report.sent > 500


async def test_a_cancelled_trial_is_stopped_and_the_next_one_runs(locust: Master) -> None:
    running = asyncio.ensure_future(locust.run(a_spec("cancelled", duration_s=600)))
    await until(locust, "stats[-1]['num_requests'] > 5")
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert_conserved(await locust.run(a_spec("after-cancelled")))


async def test_a_trial_that_a_worker_cannot_run_says_why(locust: Master) -> None:
    report = await locust.run(a_spec("too-small", payload_bytes=10))
    assert report.error is not None
    assert "10 bytes" in report.error
    assert_conserved(await locust.run(a_spec("after-too-small")))


async def test_an_unknown_transport_is_named(locust: Master) -> None:
    report = await locust.run(a_spec("unknown", transport="memroy"))
    assert report.error is not None
    assert "'memory'" in report.error


async def test_an_unknown_trial_is_not_waited_for_for_ever(locust: Master) -> None:
    async with locust.session.get(f"{locust.web_url}/fourways/trials/never") as response:
        assert response.status == 404
        assert "never" in await response.text()


async def test_every_listener_is_on_the_loopback_address(locust: Master) -> None:
    processes = [psutil.Process(locust.process.pid), *(psutil.Process(worker.pid) for worker in locust.workers)]
    listening = [
        connection.laddr.ip
        for process in processes
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert set(listening) == {"127.0.0.1"}


async def test_the_page_starts_edits_and_stops_a_trial(page: Master) -> None:
    fields = {"spawn_rate": "100", "payload_bytes": "2000", "arrivals": "constant"}
    await ask(page, "POST", "/swarm", user_count="100", **fields)
    await until(page, "user_count == 100 and stats[-1]['num_requests'] > 20")
    await ask(page, "POST", "/swarm", user_count="50", spawn_rate="100")
    await until(page, "user_count == 50")
    await ask(page, "POST", "/stop")
    report = TrialReport.from_json(json.dumps(await ask(page, "GET", "/fourways/trials/web-1")))
    assert_conserved(report)
    assert report.sent > 20


async def test_the_page_offers_arrivals_that_work_there(page: Master) -> None:
    start_page = await ask(page, "GET", "/")
    offered = re.search(r'"arrivals": \{[^}]*"choices": \[([^\]]*)\]', start_page)
    assert offered is not None
    assert offered[1] == '"poisson", "constant", "step", "burst"'


@pytest.mark.parametrize("arrivals", ["step", "burst"])
async def test_the_page_starts_arrivals_whose_rate_varies(page: Master, arrivals: str) -> None:
    await ask(page, "POST", "/swarm", user_count="100", spawn_rate="100", arrivals=arrivals)
    await until(page, "state == 'running' and stats[-1]['num_requests'] > 20")
    await ask(page, "POST", "/stop")


async def test_the_page_starts_again_after_a_stop(page: Master) -> None:
    await ask(page, "POST", "/swarm", user_count="20", spawn_rate="20")
    await until(page, "state == 'running' and stats[-1]['num_requests'] > 0")
    await ask(page, "POST", "/stop")
    await page.ready(1)
    # Locust keeps what the page polls for two seconds; from here on it is no longer the last run's.
    await until(page, "state == 'stopped'")
    await ask(page, "POST", "/swarm", user_count="100", spawn_rate="100")
    shown = await until(page, "state == 'running' and stats[-1]['num_requests'] > 20")
    assert [(row["method"], row["num_failures"]) for row in shown["stats"][:2]] == [("accept", 0), ("finish", 0)]
    await ask(page, "POST", "/stop")


async def test_the_page_shows_microseconds(page: Master) -> None:
    await ask(page, "POST", "/swarm", user_count="20", spawn_rate="20")
    shown = await until(page, "stats[-1]['num_requests'] > 0")
    (table,) = shown["extended_stats"]
    assert [row["name"] for row in table["data"]] == ["memory/order accept", "memory/order finish"]
    assert all(0 < row["p50_us"] <= row["p99_us"] <= row["max_us"] for row in table["data"])
    assert "Microseconds" in await ask(page, "GET", "/")


async def test_what_is_typed_wrong_on_the_page_ends_the_run_with_a_sentence(page: Master) -> None:
    await ask(page, "POST", "/swarm", user_count="10", spawn_rate="10", payload_bytes="10")
    await until(page, "state == 'stopped'")
    shown = await ask(page, "GET", "/exceptions")
    assert "10 bytes" in next(row["msg"] for row in shown["exceptions"])


async def test_two_workers_share_the_load_and_their_reports_add_up(tmp_path: Path) -> None:
    setting = Setting(trial="two", workers=2)
    async with load(tmp_path, workers=2) as running:
        report = await running.run(a_spec("two", setting=setting, arrivals="constant", duration_s=0.5))
    assert_conserved(report)
    assert (report.workers, report.worker, report.planned) == (2, None, 100)


async def test_a_worker_killed_in_the_middle_is_named_and_a_new_one_goes_on(tmp_path: Path) -> None:
    async with start_master(folder=tmp_path, log=tmp_path / "master.log") as running:
        async with start_worker(running, log=tmp_path / "worker-0.log") as victim:
            trial = asyncio.ensure_future(running.run(a_spec("killed", duration_s=600)))
            await until(running, "stats[-1]['num_requests'] > 5")
            os.kill(victim.pid, signal.SIGKILL)
            with refuses("worker-ended", str(victim.pid), kind=LoadError):
                await trial
        async with start_worker(running, log=tmp_path / "worker-1.log"):
            assert_conserved(await running.run(a_spec("after-killed")))


async def test_a_worker_that_hangs_is_lost_to_the_master_which_says_so(tmp_path: Path) -> None:
    async with (
        start_master(folder=tmp_path, log=tmp_path / "master.log") as running,
        start_worker(running, log=tmp_path / "worker.log") as victim,
    ):
        trial = asyncio.ensure_future(running.run(a_spec("hangs", duration_s=600)))
        await until(running, "stats[-1]['num_requests'] > 5")
        os.kill(victim.pid, signal.SIGSTOP)
        try:
            with refuses("locust-refused", "load worker 0", "trial hangs", kind=LoadError):
                await trial
        finally:
            os.kill(victim.pid, signal.SIGCONT)


async def test_a_worker_leaves_when_the_master_says_quit(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        async with start_master(folder=tmp_path, log=tmp_path / "master.log") as running:
            one = await stack.enter_async_context(start_worker(running, log=tmp_path / "worker.log"))
        async with asyncio.timeout(PATIENCE_S):
            assert await one.process.wait() == 0
    assert (tmp_path / "worker.log").read_text() == ""


@pytest.mark.parametrize("end", ["eof", "SIGTERM", "SIGINT"])
async def test_a_worker_ends_cleanly(locust: Master, tmp_path: Path, end: str) -> None:
    log = tmp_path / "worker.log"
    async with start_worker(locust, log=log) as one:
        if end == "eof":
            assert one.process.stdin is not None
            one.process.stdin.close()
        else:
            one.process.send_signal(getattr(signal, end))
        async with asyncio.timeout(PATIENCE_S):
            assert await one.process.wait() == 0
    await locust.ready(1)
    assert log.read_text() == ""


async def test_what_a_worker_stores_lies_below_the_folder_of_its_run(tmp_path: Path) -> None:
    setting = Setting(trial="stored", durability="safe")
    async with AsyncExitStack() as stack:
        running = await stack.enter_async_context(start_master(folder=tmp_path, log=tmp_path / "master.log"))
        log, env = tmp_path / "worker.log", build_mark_environment(tmp_path)
        await stack.enter_async_context(start_worker(running, log=log, env=env))
        trial = asyncio.ensure_future(running.run(a_spec("stored", setting=setting, duration_s=None, store="sqlite")))
        await until(running, "stats[-1]['num_requests'] > 5")
        stored = sorted(path.name for path in tmp_path.rglob("*.sqlite"))
        await running.stop()
        assert_conserved(await trial)
    assert stored == ["payment.sqlite", "product.sqlite", "shipping.sqlite", "user.sqlite"]
    assert not list(tmp_path.rglob("*.sqlite"))


async def test_a_master_goes_with_whoever_started_it(tmp_path: Path) -> None:
    async with start_master(folder=tmp_path, log=tmp_path / "master.log") as running:
        assert running.process.stdin is not None
        running.process.stdin.close()
        async with asyncio.timeout(PATIENCE_S):
            await running.process.wait()


async def test_a_taken_port_is_refused_by_its_number(locust: Master, tmp_path: Path) -> None:
    taken = int(locust.web_url.rsplit(":", 1)[1])
    with refuses("port-taken", f"port {taken} on 127.0.0.1", kind=LoadError):
        async with start_master(folder=tmp_path, log=tmp_path / "master.log", web_port=taken):
            pass


async def test_a_run_without_all_its_workers_says_how_many_there_are(locust: Master) -> None:
    with refuses("locust-refused", "1 of 2", kind=LoadError):
        await locust.ready(2, within_s=0.1)


async def said(*arguments: str, cwd: Path) -> tuple[int | None, str, str]:
    """Exit code, standard output and standard error of a Python process that ends by itself."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, cwd=cwd, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(PATIENCE_S):
        out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


@pytest.mark.parametrize("arguments", [[], ["--headless", "-u", "1"], ["--worker"], ["--master"]], ids=str)
async def test_a_locustfile_started_bare_says_what_to_type(tmp_path: Path, arguments: list[str]) -> None:
    code, out, err = await said("-m", "locust", "-f", str(SCENARIO), *arguments, cwd=tmp_path)
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert "make web TRANSPORT=rest" in err


@pytest.mark.parametrize("module", ["bench.load.locust.worker", "bench.load.locust.control"])
async def test_grpc_is_safe_here_since_locust_and_gevent_are_not_imported(tmp_path: Path, module: str) -> None:
    script = f"import {module}, sys; print([name for name in ('locust', 'gevent') if name in sys.modules])"
    assert await said("-c", script, cwd=tmp_path) == (0, "[]\n", "")


async def test_a_worker_without_a_master_gives_up_and_says_where(tmp_path: Path) -> None:
    script = (
        "import bench.load.locust.worker as w, sys; w.CONNECT_TIMEOUT_S, w.CONNECT_RETRY_S = 0.2, 0.1; "
        "sys.exit(w.main(['--master-port', '1']))"
    )
    code, _, err = await said("-c", script, cwd=tmp_path)
    assert code == 1
    assert len(err.splitlines()) == 1
    assert "127.0.0.1:1" in err


async def test_a_trial_stopped_before_it_began_ends_at_once(page: Master) -> None:
    for _ in range(5):
        await page.ready(1)
        await ask(page, "POST", "/swarm", user_count="100", spawn_rate="100")
        await page.stop()
    await page.ready(1)

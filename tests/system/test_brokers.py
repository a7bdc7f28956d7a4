"""Tests brokers started natively: their open ports, and clean-up after them."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from ipaddress import ip_address
from pathlib import Path

import psutil
import pytest
import pytest_asyncio

from bench.errors import InUse
from bench.paths import STATE
from bench.provision import compose, kafka, rabbitmq
from bench.provision.base import Broker, Unavailable
from bench.provision.brokers import (
    BROKER_NAMES,
    is_broker_running,
    provide_brokers,
    start_kept_brokers,
    stop_kept_brokers,
)
from bench.provision.ports import find_listeners
from bench.provision.process import MARK_VARIABLE, find_marked_processes

pytestmark = [pytest.mark.slow, pytest.mark.broker, pytest.mark.asyncio(loop_scope="module")]

OWNER = """
import asyncio, os, signal, sys, pathlib
from bench.provision.brokers import BROKER_NAMES, provide_brokers
async def run():
    home = pathlib.Path(sys.argv[1])
    async with provide_brokers(BROKER_NAMES, given={}, home=home, say=lambda sentence: None) as found:
        print(*(broker.pids[0] for broker in found.values()), flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(run())
"""
USER = """
import asyncio, sys, pathlib
from bench.provision.brokers import provide_brokers
async def run():
    async with provide_brokers(["kafka"], given={}, home=pathlib.Path(sys.argv[1]), say=lambda sentence: None) as found:
        print(found["kafka"].provided_by, flush=True)
        await asyncio.Event().wait()
asyncio.run(run())
"""


@pytest.fixture(scope="module", autouse=True)
def natively() -> None:
    """Skip with what to type where brokers cannot be started; and use no container engine."""
    if why := rabbitmq.unavailable_reason(STATE) or kafka.unavailable_reason(STATE):
        pytest.skip(why)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return a_home(tmp_path, monkeypatch)


def a_home(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A .fourways of its own with the brokers that set-up installed."""
    monkeypatch.setattr(compose, "ENGINES", ())
    (folder / "kafka").mkdir()
    (folder / "kafka" / "libs").symlink_to(kafka.jar_folder(STATE))
    (folder / "rabbitmq").symlink_to(STATE / "rabbitmq")
    return folder


def runs(home: Path) -> list[Path]:
    return list(home.glob("run-*"))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def both(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[dict[str, Broker]]:
    """Both brokers, for every test that only looks at them."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        home = a_home(tmp_path_factory.mktemp("home"), monkeypatch)
        async with provide_brokers(BROKER_NAMES, given={}, home=home, say=lambda sentence: None) as found:
            started = {name: broker for name, broker in found.items() if isinstance(broker, Broker)}
            assert len(started) == 2, found
            yield started


async def test_both_brokers_listen_on_loopback_only(both: dict[str, Broker]) -> None:
    found = [place for broker in both.values() for place in find_listeners(broker.pids)]
    # RabbitMQ: AMQP, distribution, epmd twice (it cannot be kept from ::1).
    # Kafka: clients, clients by way of FAR, controller.
    assert len(found) == 7
    assert all(ip_address(address).is_loopback for address, _ in found)
    assert [address for address, _ in found if address != "127.0.0.1"] == ["::1"]


async def test_no_process_of_a_broker_listens_unseen(both: dict[str, Broker]) -> None:
    folder = Path(psutil.Process(both["kafka"].pids[0]).environ()[MARK_VARIABLE]).parent
    every = tuple(process.pid for process in find_marked_processes(folder))
    seen = [place for broker in both.values() for place in find_listeners(broker.pids)]
    assert sorted(find_listeners(every)) == sorted(seen)


async def test_a_started_broker_says_its_version(both: dict[str, Broker]) -> None:
    installed = rabbitmq.find_installation(STATE)
    assert installed is not None
    assert both["rabbitmq"].version == installed.version
    assert both["rabbitmq"].provided_by == installed.provided_by
    assert both["rabbitmq"].runtime.startswith("Erlang/OTP ")
    assert both["kafka"].version == compose.read_image_version("kafka")


async def test_a_started_broker_is_alive(both: dict[str, Broker]) -> None:
    assert all(map(is_broker_running, both.values()))


async def test_a_given_broker_is_used_and_left_running(both: dict[str, Broker], home: Path) -> None:
    given = {name: broker.url for name, broker in both.items()}
    async with provide_brokers(BROKER_NAMES, given=given, home=home, say=pytest.fail) as found:
        assert [broker.provided_by for broker in found.values() if isinstance(broker, Broker)] == ["given"] * 2
    assert not runs(home)
    assert all(map(is_broker_running, both.values()))


async def test_a_cancelled_run_leaves_no_process_and_no_folder(home: Path) -> None:
    entered = asyncio.Event()
    pids: list[int] = []

    async def run() -> None:
        async with provide_brokers(BROKER_NAMES, given={}, home=home, say=lambda sentence: None) as found:
            pids.extend(pid for broker in found.values() if isinstance(broker, Broker) for pid in broker.pids)
            entered.set()
            await asyncio.Event().wait()

    task = asyncio.ensure_future(run())
    await asyncio.wait_for(entered.wait(), 60)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(pids) == 4
    assert not find_marked_processes(home)
    assert not runs(home)


async def test_a_run_cancelled_while_starting_leaves_nothing(home: Path) -> None:
    async def run() -> None:
        async with provide_brokers(BROKER_NAMES, given={}, home=home, say=lambda sentence: None):
            pytest.fail("it was to be cancelled before")

    task = asyncio.ensure_future(run())
    async with asyncio.timeout(20):
        while len(find_marked_processes(home)) < 3:  # noqa: ASYNC110 (processes send no events)
            await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not find_marked_processes(home)
    assert not runs(home)


async def test_the_brokers_of_a_killed_run_are_ended_by_the_next(home: Path) -> None:
    killed = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", OWNER, str(home)], check=False, capture_output=True, text=True
    )
    assert killed.returncode == -9, killed.stderr
    assert {int(pid) for pid in killed.stdout.split()} <= {process.pid for process in find_marked_processes(home)}
    said: list[str] = []
    async with provide_brokers([], given={}, home=home, say=said.append):
        assert not find_marked_processes(home)
        assert not runs(home)
    assert "cleaned up after a run that was killed" in said[0]


async def test_a_rabbitmq_that_fails_to_start_is_one_sentence(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rabbitmq, "CONFIG", "no.such.key = 1\n")
    async with provide_brokers(["rabbitmq"], given={}, home=home, say=lambda sentence: None) as found:
        broker = found["rabbitmq"]
        assert isinstance(broker, Unavailable)
        assert "\n" not in broker.why
        log = Path(broker.why.rpartition(" ")[2])
        assert "no.such.key" in log.read_text()
        assert not find_marked_processes(home)


async def test_a_kafka_that_fails_to_start_is_one_sentence(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(kafka.SERVER_SETTINGS, "num.io.threads", "many")
    async with provide_brokers(["kafka"], given={}, home=home, say=lambda sentence: None) as found:
        broker = found["kafka"]
        assert isinstance(broker, Unavailable)
        assert "\n" not in broker.why
        log = Path(broker.why.rpartition(" ")[2])
        assert "num.io.threads" in log.read_text()
        assert not find_marked_processes(home)


async def test_kept_brokers_stay_up_while_a_run_uses_them_and_no_longer(home: Path) -> None:
    """Also when the run is killed with -9."""
    kept = await start_kept_brokers(["kafka"], home=home, say=lambda sentence: None)
    broker = kept["kafka"]
    assert isinstance(broker, Broker)
    run = await asyncio.create_subprocess_exec(sys.executable, "-c", USER, str(home), stdout=asyncio.subprocess.PIPE)
    assert run.stdout is not None
    assert await run.stdout.readline() == b"kept\n"
    with pytest.raises(InUse, match=r"^kafka is in use by a run; end it first"):
        await stop_kept_brokers(home=home, say=pytest.fail)
    assert is_broker_running(broker)
    run.kill()
    await run.communicate()
    said: list[str] = []
    await stop_kept_brokers(home=home, say=said.append)
    assert said == ["stopped kafka"]
    assert not is_broker_running(broker)


async def test_a_kept_broker_is_used_until_it_is_taken_down(home: Path) -> None:
    first = (await start_kept_brokers(["kafka"], home=home, say=lambda sentence: None))["kafka"]
    again = (await start_kept_brokers(["kafka"], home=home, say=lambda sentence: None))["kafka"]
    assert isinstance(first, Broker)
    assert isinstance(again, Broker)
    assert (first.pids, first.url) == (again.pids, again.url)
    async with provide_brokers(["kafka"], given={}, home=home, say=pytest.fail) as found:
        used = found["kafka"]
        assert isinstance(used, Broker)
        assert (used.url, used.provided_by) == (first.url, "kept")
    assert is_broker_running(first)
    await stop_kept_brokers(home=home, say=lambda sentence: None)
    assert not is_broker_running(first)
    assert not runs(home)

"""Tests real service processes: start, audit, stop, and no process left."""

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest
import uvloop

from bench.errors import StartFailed
from bench.paths import ROOT
from bench.provision.ports import find_free_ports, find_listeners
from bench.provision.process import find_marked_processes
from bench.provision.service_main import PROTOCOL_VERSION, ServiceSpec, read_spec
from bench.provision.services import ServiceProcess, run_services
from shop.messages import PlaceOrder
from shop.payments import DECLINED_CARD
from shop.workflow import SERVICES
from tests.conftest import build_order
from transports.base import Setting
from transports.registry import load_transport

pytestmark = pytest.mark.slow

CHECKOUT = ROOT


def a_setting(**changes: Any) -> Setting:
    addresses = {name: f"127.0.0.1:{port}" for name, port in zip(SERVICES, find_free_ports(len(SERVICES)), strict=True)}
    return Setting(**{"trial": f"node-{os.getpid()}", "addresses": addresses} | changes)


@asynccontextmanager
async def four(
    tmp_path: Path, setting: Setting, transport: str = "rest", *, store_folder: Path | None = None
) -> AsyncIterator[dict[str, ServiceProcess]]:
    async with run_services(
        transport, setting, folder=tmp_path, logs=tmp_path / "logs", store_folder=store_folder
    ) as running:
        yield running


async def ordered(setting: Setting, transport: str, *orders: PlaceOrder) -> list[str]:
    async with load_transport(transport)(setting).connect() as client:
        receipts = [await client.submit(order) for order in orders]
        return [(await asyncio.wait_for(_awaited(receipt.finished), 20)).outcome.status for receipt in receipts]


async def _awaited(finished: Any) -> Any:
    return await finished


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def a_node(tmp_path: Path) -> subprocess.Popen[bytes]:
    """A bare service process that waits to be told what to be."""
    return subprocess.Popen(
        [sys.executable, "-m", "bench.provision.service_main"],
        cwd=CHECKOUT,
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
        env={**os.environ, "FOURWAYS_RUN": str(tmp_path)},
    )


def a_spec(setting: Setting, **changes: Any) -> bytes:
    spec = ServiceSpec(**{"service": "shipping", "transport": "rest", "setting": setting, "folder": None} | changes)
    return msgspec.json.encode(spec) + b"\n"


def started(node: subprocess.Popen[bytes], spec: bytes) -> Mapping[str, Any]:
    assert node.stdin is not None and node.stdout is not None
    node.stdin.write(spec)
    node.stdin.flush()
    answer: Mapping[str, Any] = json.loads(node.stdout.readline())
    return answer


async def test_services_are_ready_and_say_the_facts_of_their_transport(tmp_path: Path) -> None:
    setting = a_setting()
    async with four(tmp_path, setting) as running:
        assert list(running) == list(SERVICES)
        for service in running.values():
            assert service.facts == load_transport("rest")(setting).facts()
            assert service.alive
            assert psutil.Process(service.pid).cmdline()[-1] == "bench.provision.service_main"
        assert len({service.pid for service in running.values()}) == 4


async def test_a_service_listens_at_its_own_address_and_nowhere_else(tmp_path: Path) -> None:
    setting = a_setting()
    async with four(tmp_path, setting) as running:
        for name, service in running.items():
            host, _, port = setting.addresses[name].rpartition(":")
            assert find_listeners((service.pid,)) == [(host, int(port))]


@pytest.mark.broker
@pytest.mark.parametrize("transport", ["rest", "grpc", "broker", "events"])
async def test_orders_are_counted_in_the_books_of_the_processes(
    tmp_path: Path, servers: Mapping[str, str], transport: str
) -> None:
    kind = load_transport(transport)
    setting = a_setting(trial=f"node-{transport}-{os.getpid()}", servers=servers, codec=kind.traits.codec)
    await kind(setting).prepare()
    try:
        async with four(tmp_path, setting, transport) as running:
            ships, declined = PlaceOrder(build_order("ships")), PlaceOrder(build_order("declined", card=DECLINED_CARD))
            assert await ordered(setting, transport, ships, declined) == ["shipped", "rejected"]
            books = {name: await service.audit() for name, service in running.items()}
    finally:
        await kind(setting).remove()
    counts = {name: {fact: tally["count"] for fact, tally in b["tallies"].items()} for name, b in books.items()}
    assert counts == {
        "user": {"order-placed": 2, "shipped": 1, "rejected": 1},
        "product": {"stock-reserved": 2, "stock-released": 1},
        "payment": {"payment-taken": 1, "payment-declined": 1},
        "shipping": {"order-shipped": 1},
    }
    assert (books["product"]["balance"], books["user"]["balance"]) == ({"missing": 0}, {"open": 0})
    none = {"unreadable": 0, "refused": 0, "failed": 0, "parked": 0}
    assert books["shipping"]["serving"] == {"handled": 1, "unreadable": 0, "failed": 0, "dead_letters": none}


async def test_services_over_sqlite_know_their_books_again_after_a_restart(tmp_path: Path) -> None:
    setting = a_setting(durability="safe")
    async with four(tmp_path, setting, store_folder=tmp_path) as running:
        assert await ordered(setting, "rest", PlaceOrder(build_order())) == ["shipped"]
        before = {name: await service.audit() for name, service in running.items()}
    async with four(tmp_path, setting, store_folder=tmp_path) as running:
        after = {name: await service.audit() for name, service in running.items()}
    for name in SERVICES:
        assert after[name]["tallies"] == before[name]["tallies"]
        assert after[name]["balance"] == before[name]["balance"]
        assert (before[name]["serving"]["handled"], after[name]["serving"]["handled"]) == (1, 0)


async def test_after_the_services_stop_no_process_and_no_port_is_left(tmp_path: Path) -> None:
    setting = a_setting()
    async with four(tmp_path, setting) as running:
        pids = [service.pid for service in running.values()]
        assert sorted(process.pid for process in find_marked_processes(tmp_path)) == sorted(pids)
    assert not any(psutil.pid_exists(pid) for pid in pids)
    assert not find_marked_processes(tmp_path)
    for address in setting.addresses.values():
        with socket.socket() as free:
            free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            host, _, port = address.rpartition(":")
            free.bind((host, int(port)))


async def test_services_that_had_nothing_to_say_leave_no_log(tmp_path: Path) -> None:
    async with four(tmp_path, a_setting()):
        assert len(list((tmp_path / "logs").iterdir())) == 4
    assert not list((tmp_path / "logs").iterdir())


async def test_an_exception_inside_stops_the_services_too(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        async with four(tmp_path, a_setting()):
            raise ZeroDivisionError
    assert not find_marked_processes(tmp_path)


async def test_a_cancelled_start_leaves_nothing(tmp_path: Path) -> None:
    async def starting() -> None:
        async with four(tmp_path, a_setting()):
            await asyncio.Event().wait()

    task = asyncio.create_task(starting())
    await until(lambda: bool(find_marked_processes(tmp_path)))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not find_marked_processes(tmp_path)


@pytest.mark.parametrize("transport", ["rest", "grpc"])
async def test_a_taken_port_fails_the_start_with_a_sentence(tmp_path: Path, transport: str) -> None:
    setting = a_setting()
    address = setting.addresses["payment"]
    host, _, port = address.rpartition(":")
    with socket.socket() as holder:
        holder.bind((host, int(port)))
        holder.listen()
        with pytest.raises(StartFailed, match=f"^the payment service: cannot listen on {address}: .*another port$"):
            async with four(tmp_path, setting, transport):
                pytest.fail("started although a port was taken")
    assert not find_marked_processes(tmp_path)


async def test_an_unknown_transport_fails_the_start_with_the_nearest_name(tmp_path: Path) -> None:
    with pytest.raises(StartFailed, match=r"no transport 'rst'; did you mean 'rest'\?"):
        async with four(tmp_path, a_setting(), "rst"):
            pytest.fail("started")
    assert not find_marked_processes(tmp_path)


@pytest.mark.parametrize(
    ("transport", "servers"),
    [("broker", {"rabbitmq": "amqp://guest:guest@127.0.0.1:{port}/"}), ("events", {"kafka": "127.0.0.1:{port}"})],
)
async def test_a_broker_that_is_not_there_fails_the_start_with_a_sentence(
    tmp_path: Path, transport: str, servers: Mapping[str, str]
) -> None:
    (port,) = find_free_ports(1)
    given = {name: url.format(port=port) for name, url in servers.items()}
    with pytest.raises(
        StartFailed, match=rf"^the \w+ service: \w+ does not answer at \S*127\.0\.0\.1:{port}"
    ) as raised:
        async with four(tmp_path, a_setting(servers=given, deadline_s=3.0), transport):
            pytest.fail("started")
    assert "guest:guest" not in str(raised.value)
    assert not find_marked_processes(tmp_path)


async def test_a_service_that_was_killed_is_seen_and_cannot_be_asked(tmp_path: Path) -> None:
    async with four(tmp_path, a_setting()) as running:
        payment = running["payment"]
        os.kill(payment.pid, signal.SIGKILL)
        await until(lambda: not payment.alive)
        with pytest.raises(StartFailed, match="the payment service has ended; read its log"):
            await payment.audit()
        assert (await running["user"].audit())["balance"] == {"open": 0}
    assert not find_marked_processes(tmp_path)


def test_a_service_ends_with_its_input(tmp_path: Path) -> None:
    with a_node(tmp_path) as node:
        assert "ready" in started(node, a_spec(a_setting()))
        out, err = node.communicate(timeout=10)
    assert (node.returncode, out, err) == (0, b"", b"")


def test_a_service_ends_when_it_is_told_to_stop(tmp_path: Path) -> None:
    with a_node(tmp_path) as node:
        started(node, a_spec(a_setting()) + b'"stop"\n')
        assert node.wait(10) == 0
        assert node.stderr is not None and node.stderr.read() == b""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_stop_ends_a_service_cleanly(tmp_path: Path, number: signal.Signals) -> None:
    setting = a_setting()
    with a_node(tmp_path) as node:
        started(node, a_spec(setting, folder=str(tmp_path)))
        node.send_signal(number)
        assert node.wait(10) == 0
        assert node.stderr is not None and node.stderr.read() == b""
    assert not list(tmp_path.glob("*.sqlite-wal"))  # the store was closed


def test_ctrl_c_in_the_terminal_is_left_to_the_conductor(tmp_path: Path) -> None:
    with a_node(tmp_path) as node:
        assert node.stdin is not None and node.stdout is not None
        started(node, a_spec(a_setting()))
        node.send_signal(signal.SIGINT)
        node.stdin.write(b'"audit"\n')
        node.stdin.flush()
        assert "audit" in json.loads(node.stdout.readline())
        node.communicate(timeout=10)
    assert node.returncode == 0


def test_a_service_that_cannot_start_says_why_and_ends_with_1(tmp_path: Path) -> None:
    with a_node(tmp_path) as node:
        said = started(node, a_spec(a_setting(codec="jason")))
        assert said.keys() == {"error"}
        assert {"shipping", "'jason'"} <= set(said["error"].replace(";", " ").split())
        assert "'json'" in said["error"]
        _, err = node.communicate(timeout=10)
    assert (node.returncode, err) == (1, b"")


# Found wanting


def test_a_service_that_was_killed_is_seen_on_uvloop_too(tmp_path: Path) -> None:
    """bench.calibration.baseline asks its services from there."""
    uvloop.run(test_a_service_that_was_killed_is_seen_and_cannot_be_asked(tmp_path))


def test_an_option_that_a_transport_does_not_know_is_a_sentence_too(tmp_path: Path) -> None:
    with a_node(tmp_path) as node:
        assert node.stdin is not None and node.stdout is not None
        out, err = node.communicate(a_spec(a_setting(options={"clientt": "httpx"})), timeout=20)
    assert b"clientt" in out, err.decode()
    assert (node.returncode, err) == (1, b"")


@pytest.mark.parametrize("end", ["input", "signal"])
def test_a_service_that_ends_before_it_is_told_what_to_be_complains_of_nothing(tmp_path: Path, end: str) -> None:
    with a_node(tmp_path) as node:
        if end == "signal":
            caught = 1 << (signal.SIGTERM - 1)
            while not caught & int(_status(node.pid, "SigCgt"), 16):
                assert node.poll() is None
            node.send_signal(signal.SIGTERM)
            assert node.wait(10) in (0, 1)
            assert node.stderr is not None
            err = node.stderr.read()
        else:
            _, err = node.communicate(timeout=10)
    assert b"Traceback" not in err, err.decode()


def _status(pid: int, key: str) -> str:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(line.split()[1] for line in lines if line.startswith(f"{key}:"))


@pytest.fixture
def other_python(tmp_path: Path) -> Path:
    """An environment with the packages of this one, and a program of its own."""
    environment = tmp_path / "environment"
    (environment / "bin").mkdir(parents=True)
    (environment / "bin" / "python").symlink_to(Path(sys.executable).resolve())
    (environment / "lib").symlink_to(Path(sys.prefix) / "lib")
    shutil.copy(Path(sys.prefix) / "pyvenv.cfg", environment)
    return environment / "bin" / "python"


async def test_a_service_that_was_killed_comes_back_with_the_same_python(tmp_path: Path, other_python: Path) -> None:
    async with run_services(
        "rest", a_setting(), folder=tmp_path, logs=tmp_path, store_folder=None, python=other_python
    ) as running:
        assert {psutil.Process(service.pid).cmdline()[0] for service in running.values()} == {str(other_python)}
        payment = running["payment"]
        first = payment.pid
        await payment.kill()
        await payment.start()
        assert payment.pid != first
        assert psutil.Process(payment.pid).cmdline()[0] == str(other_python)


@pytest.mark.parametrize(
    ("version", "words"), [({"version": 2}, "version 2"), ({"version": "x", "service": 7}, "version x")]
)
def test_a_conductor_of_an_unknown_protocol_is_refused_in_a_sentence(
    tmp_path: Path, version: Mapping[str, Any], words: str
) -> None:
    node = a_node(tmp_path)
    out, err = node.communicate(json.dumps({"service": "user", "then": "something new"} | version).encode() + b"\n", 20)
    assert node.returncode == 1
    assert words in json.loads(out)["error"]
    assert b"Traceback" not in err, err.decode()


def test_a_conductor_that_says_no_version_speaks_the_first_one() -> None:
    spec = {"service": "user", "transport": "rest", "setting": {"trial": "t"}, "folder": None}
    assert read_spec(json.dumps(spec).encode()).version == PROTOCOL_VERSION == 1


async def test_a_service_of_an_unknown_protocol_is_refused_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "of_tomorrow.py"
    program.write_text("""print('{"ready": {}, "version": 2}', flush=True)\ninput()\n""", "utf-8")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    with pytest.raises(StartFailed) as refused:
        async with run_services(
            "rest", a_setting(), folder=tmp_path, logs=tmp_path, store_folder=None, program="of_tomorrow"
        ):
            pytest.fail("started")
    assert refused.value.code == "service-protocol"

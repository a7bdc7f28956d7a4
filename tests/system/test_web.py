"""Tests `fourways web` through Locust's page, over real services."""

import json
import os
import re
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from bench.provision.brokers import URL_VARIABLES
from bench.provision.ports import find_free_ports
from tests.system.command_line import TIMEOUT_S, CommandLine, fetch_body, find_code, how_refused, wait_until

pytestmark = pytest.mark.slow


class Page:
    """Locust's page, as its own script talks to its server."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"

    def ready(self) -> bool:
        """Whether it is there and a load worker with it."""
        return bool(fetch_body(self.url)) and bool(self.stats().get("workers"))

    def press_start(self, user_count: int) -> None:
        form = urlencode({"user_count": user_count, "spawn_rate": user_count}).encode()
        assert json.loads(fetch_body(f"{self.url}/swarm", form))["success"]

    def press_stop(self) -> None:
        """Stops, and waits until it has: while Locust is stopping it takes no start, as its page offers none."""
        fetch_body(f"{self.url}/stop", b"")
        self.shows(lambda stats: stats["state"] == "stopped" and stats["user_count"] == 0)
        self.shows(lambda stats: [worker["state"] for worker in stats["workers"]] == ["ready"])

    def stats(self) -> Any:
        return json.loads(fetch_body(f"{self.url}/stats/requests"))

    def shows(self, condition: Callable[[Any], bool]) -> Any:
        """What it shows, once the condition holds for that."""
        wait_until(lambda: condition(self.stats()))
        return self.stats()


def web(house: CommandLine, port: int, *settings: str) -> list[str]:
    return house.fourways("web", f"WEB_PORT={port}", *settings)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """Over REST, which needs no broker."""
    house, (port,) = CommandLine(tmp_path_factory.mktemp("web"), {}), find_free_ports(1)
    with house.started(web(house, port, "TRANSPORT=rest")) as process:
        running = Page(port)
        wait_until(lambda: running.ready() or process.poll() is not None)
        yield running
        os.killpg(process.pid, signal.SIGINT)
        process.wait(TIMEOUT_S)


def test_the_page_answers_at_the_given_port(page: Page) -> None:
    assert b"<title>Locust</title>" in fetch_body(page.url)


def test_a_start_on_the_page_orders_over_rest(page: Page) -> None:
    page.press_start(20)
    shown = page.shows(lambda stats: stats["user_count"] == 20 and stats["stats"][-1]["num_requests"] > 20)
    page.press_stop()
    assert shown["fail_ratio"] == 0
    assert shown["errors"] == []


def test_the_load_is_edited_while_it_runs(page: Page) -> None:
    page.press_start(10)
    page.shows(lambda stats: stats["state"] == "running" and stats["user_count"] == 10)
    page.press_start(30)
    shown = page.shows(lambda stats: stats["user_count"] == 30)
    page.press_stop()
    assert shown["errors"] == []


def test_after_a_stop_the_page_starts_again(page: Page) -> None:
    page.press_start(5)
    # What is polled is up to two seconds old and may be of another run: a stop that comes before the start is none.
    page.shows(lambda stats: stats["state"] == "running" and stats["user_count"] == 5)
    page.press_stop()
    page.press_start(6)
    page.shows(lambda stats: stats["state"] == "running" and stats["user_count"] == 6)
    page.press_stop()


@pytest.mark.broker
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("transport", ["rest", "broker"])
def test_a_signal_ends_everything_also_under_load(house: CommandLine, number: signal.Signals, transport: str) -> None:
    (port,) = find_free_ports(1)
    page = Page(port)
    with house.started(web(house, port, f"TRANSPORT={transport}")) as process:
        wait_until(lambda: page.ready() or process.poll() is not None)
        page.press_start(20)
        page.shows(lambda stats: stats["stats"][-1]["num_requests"] > 0)
        process.send_signal(number)
        out, _ = process.communicate(timeout=TIMEOUT_S)
    assert (process.returncode, find_code(out)) == (130, "stopped"), out
    assert "Traceback" not in out
    assert house.left() == []
    assert fetch_body(page.url) == b""


def test_what_is_given_to_make_web_stands_in_the_pages_fields(tmp_path: Path) -> None:
    house, (port,) = CommandLine(tmp_path, {}), find_free_ports(1)
    page = Page(port)
    given = ("RATE=30", "PAYLOAD=4KiB", "ARRIVALS=constant")
    with house.started(web(house, port, "TRANSPORT=rest", *given)) as process:
        wait_until(lambda: page.ready() or process.poll() is not None)
        (shown,) = re.findall(r"window\.templateArgs = (\{.*\})", fetch_body(page.url).decode())
        process.send_signal(signal.SIGINT)
        process.wait(TIMEOUT_S)
    fields = json.loads(shown)
    assert fields["num_users"] == 30
    options = {name: option["default_value"] for name, option in fields["extra_options"].items()}
    assert options == {"payload_bytes": 4096, "arrivals": "constant"}


@pytest.mark.broker
def test_web_without_a_transport_says_what_to_type(house: CommandLine) -> None:
    done = house.done(web(house, find_free_ports(1)[0]))
    assert how_refused(done) == (2, "one-transport")
    assert "TRANSPORT=rest" in done.stderr


@pytest.mark.broker
def test_make_web_without_a_transport_says_what_to_type(house: CommandLine) -> None:
    done = house.done(house.make("web"))
    assert (done.returncode, find_code(done.stderr)) == (2, "one-transport")
    assert "TRANSPORT=rest" in done.stderr.splitlines()[0]


@pytest.mark.broker
def test_a_taken_port_is_said_before_anything_is_started(house: CommandLine) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = house.done(web(house, port, "TRANSPORT=rest"))
    assert how_refused(done) == (4, "port-taken")
    assert str(port) in done.stderr
    assert house.processes() == []


@pytest.mark.broker
def test_a_broker_that_is_not_there_is_said(house: CommandLine) -> None:
    house.env[URL_VARIABLES["kafka"]] = f"127.0.0.1:{find_free_ports(1)[0]}"
    done = house.done(web(house, find_free_ports(1)[0], "TRANSPORT=events"))
    assert how_refused(done) == (3, "missing-server")
    assert URL_VARIABLES["kafka"] in done.stderr

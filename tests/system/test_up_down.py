"""Tests the output and exit codes of `fourways up`, `down` and `doctor`."""

import os
import signal
import sys
from pathlib import Path

import pytest

from bench.paths import STATE
from bench.provision import kafka, rabbitmq
from bench.provision.brokers import BROKER_NAMES, URL_VARIABLES
from tests.system.command_line import TIMEOUT_S, CommandLine, find_code, how_refused, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.broker]

WITHOUT_RABBITMQ = """
from bench.cli.app import main
from bench.provision import rabbitmq
rabbitmq.find_installation = lambda home: None
main()
"""


@pytest.fixture
def alone(house: CommandLine) -> CommandLine:
    """A house that is given no broker."""
    if why := rabbitmq.unavailable_reason(STATE) or kafka.unavailable_reason(STATE):
        pytest.skip(why)
    for variable in URL_VARIABLES.values():
        house.env.pop(variable, None)
    return house


def doctor(house: CommandLine) -> list[str]:
    return house.fourways("doctor")


def without_java(house: CommandLine, tmp_path: Path) -> None:
    """A path that leads nowhere; Python is called by its full name."""
    (tmp_path / "nothing").mkdir()
    house.env["PATH"] = str(tmp_path / "nothing")


def words(text: str) -> str:
    """Without the line breaks of a table."""
    return " ".join(text.split())


def test_brokers_that_are_up_are_named_used_and_taken_down(alone: CommandLine) -> None:
    try:
        up = alone.done(alone.make("up"))
        assert up.returncode == 0, up.stderr
        assert all(f"{URL_VARIABLES[name]}=" in up.stdout for name in BROKER_NAMES)
        seen = alone.done(alone.make("doctor"))
        assert seen.returncode == 0
        assert "rabbitmq, kept" in seen.stdout
        assert "kafka, kept" in seen.stdout
        again = alone.done(alone.make("up"))
        assert again.returncode == 0
        assert "kafka is up already" in again.stdout
    finally:
        down = alone.done(alone.make("down"))
    assert down.returncode == 0
    assert "stopped" in down.stdout
    assert alone.left() == []


def test_down_with_nothing_up_says_so_and_is_content(alone: CommandLine) -> None:
    done = alone.done(alone.make("down"))
    assert (done.returncode, done.stdout) == (0, "no broker is kept: nothing to stop\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_up_that_is_interrupted_leaves_nothing(alone: CommandLine, number: signal.Signals) -> None:
    with alone.started(alone.fourways("up")) as process:
        wait_until(alone.processes)
        process.send_signal(number)
        out, _ = process.communicate(timeout=TIMEOUT_S)
    assert (process.returncode, find_code(out)) == (130, "stopped"), out
    assert "Traceback" not in out
    assert alone.left() == []


def test_up_without_java_keeps_the_other_broker_and_says_what_to_type(alone: CommandLine, tmp_path: Path) -> None:
    # What RabbitMQ's own scripts call; without apt-get, which set-up would call as root.
    tools = tmp_path / "tools"
    tools.mkdir()
    for folder in ("/usr/bin", "/bin"):
        for program in Path(folder).iterdir():
            if program.name not in ("java", "apt-get") and not (tools / program.name).exists():
                (tools / program.name).symlink_to(program)
    alone.env["PATH"] = str(tools)
    try:
        up = alone.done(alone.fourways("up"))
        assert (up.returncode, find_code(up.stderr)) == (3, "missing-server")
        assert kafka.NO_JAVA in up.stderr
        assert f"{URL_VARIABLES['rabbitmq']}=" in up.stdout
    finally:
        alone.done(alone.make("down"))
    assert alone.processes() == []


def test_doctor_is_content_where_all_four_methods_can_run(alone: CommandLine) -> None:
    done = alone.done(doctor(alone))
    assert done.returncode == 0, done.stdout
    assert "all four methods can run" in done.stdout


def test_doctor_says_what_to_type_where_java_is_missing(alone: CommandLine, tmp_path: Path) -> None:
    without_java(alone, tmp_path)
    done = alone.done(doctor(alone))
    assert how_refused(done) == (3, "methods-missing")
    assert "sudo apt-get install default-jre-headless" in words(done.stdout)
    assert "cannot run: events;" in done.stderr


def test_doctor_says_what_to_type_where_rabbitmq_is_missing(alone: CommandLine) -> None:
    """Its script is known by its full path, so that an empty PATH does not hide it."""
    done = alone.done([sys.executable, "-c", WITHOUT_RABBITMQ, "doctor", f"STATE={alone.home}"])
    assert how_refused(done) == (3, "methods-missing")
    assert "sudo apt-get install rabbitmq-server" in words(done.stdout)
    assert "cannot run: broker;" in done.stderr


def test_doctor_needs_no_java_where_a_kafka_is_given(house: CommandLine, tmp_path: Path) -> None:
    without_java(house, tmp_path)
    done = house.done(doctor(house))
    assert done.returncode == 0, done.stdout


def test_doctor_names_a_given_broker_that_does_not_answer_without_its_password(alone: CommandLine) -> None:
    alone.env[URL_VARIABLES["rabbitmq"]] = "amqp://guest:secret@127.0.0.1:1/"
    done = alone.done(doctor(alone))
    assert how_refused(done) == (3, "methods-missing")
    assert "no rabbitmq answers at" in words(done.stdout)
    assert "secret" not in done.stdout + done.stderr
    assert "cannot run: broker;" in done.stderr


def test_doctor_tells_of_a_killed_run_and_make_down_cleans_up(alone: CommandLine) -> None:
    with alone.started(alone.fourways("up")) as process:
        wait_until(lambda: len(alone.processes()) >= 2)
        os.kill(process.pid, signal.SIGKILL)
        process.wait(TIMEOUT_S)
    assert f"{alone.runs()[0]}: the next run or `make down` cleans up" in words(alone.done(doctor(alone)).stdout)
    assert alone.done(alone.make("down")).returncode == 0
    assert alone.left() == []

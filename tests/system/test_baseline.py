"""Tests `fourways harness baseline` in its shortest form: every arm runs and no process is left."""

import json
import os
import signal
from pathlib import Path

import pytest

from bench.calibration.baseline.run import BARE_TRANSPORTS
from bench.provision.brokers import URL_VARIABLES
from bench.provision.ports import find_free_ports
from shop.workflow import SERVICES
from tests.system.command_line import TIMEOUT_S, CommandLine, find_code, how_refused, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.broker]

SHORT = ("ROUNDS=1", "ORDERS=40", "SECONDS_EACH=1")


def baseline(house: CommandLine, *settings: str) -> list[str]:
    return house.fourways("harness", "baseline", *settings)


@pytest.mark.parametrize("transport", BARE_TRANSPORTS)
def test_both_arms_of_a_transport_are_measured_and_every_goal_has_a_verdict(house: CommandLine, transport: str) -> None:
    done = house.done(baseline(house, f"TRANSPORT={transport}", *SHORT))
    assert done.returncode == 0, done.stderr
    (path,) = house.results.glob("baseline-*.json")
    kept = json.loads(path.read_text())
    assert [(slot["arm"], slot["round"], slot["place"]) for slot in kept["slots"]] == [("ours", 1, 1), ("bare", 1, 2)]
    assert all(slot["measured"]["returned"] == slot["measured"]["orders"] == 400 for slot in kept["slots"])
    goals = [entry for entry in kept["comparisons"][transport] if entry["goal"]]
    assert len(goals) == 3
    assert all(isinstance(entry["met"], bool) for entry in goals)
    assert done.stdout.count("met") + done.stdout.count("MISSED") == 3
    assert path.with_suffix(".txt").is_file()
    assert house.left() == []


def test_make_baseline_hands_its_settings_on(house: CommandLine) -> None:
    done = house.done(house.make("baseline", "TRANSPORT=rest", "ROUNDS=0"))
    assert (done.returncode, find_code(done.stderr)) == (2, "bad-count")
    assert "ROUNDS" in done.stderr


@pytest.mark.parametrize("arm", ["ours", "bare"])
def test_a_signal_in_either_arm_leaves_nothing_running(house: CommandLine, arm: str) -> None:
    program = {"ours": "bench.provision.service_main", "bare": "bench.calibration.baseline.node"}[arm]
    with house.started(baseline(house, "TRANSPORT=rest", "ROUNDS=1", "ORDERS=40")) as process:
        wait_until(lambda: len(house.find_module_processes(program)) == len(SERVICES))
        os.killpg(process.pid, signal.SIGINT)
        out, _ = process.communicate(timeout=TIMEOUT_S)
    assert (process.returncode, find_code(out)) == (130, "stopped"), out
    assert "Traceback" not in out
    assert house.left() == []


def test_a_broker_that_cannot_be_had_is_skipped_and_said(house: CommandLine) -> None:
    house.env[URL_VARIABLES["kafka"]] = f"127.0.0.1:{find_free_ports(1)[0]}"
    done = house.done(baseline(house, "TRANSPORT=events", *SHORT))
    assert done.returncode == 0
    assert "events skipped: no kafka answers" in done.stdout


def test_an_order_smaller_than_the_smallest_is_refused(house: CommandLine) -> None:
    done = house.done(baseline(house, "PAYLOAD=5"))
    assert how_refused(done) == (2, "payload-too-small")


def test_a_folder_that_cannot_be_made_is_one_sentence(house: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "results").touch()
    done = house.done(baseline(house, "TRANSPORT=rest", *SHORT))
    assert how_refused(done) == (4, "system-error")
    assert str(house.results) in done.stderr

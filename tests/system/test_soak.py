"""Tests `fourways harness soak` in its shortest form; only a long run shows whether memory is bounded."""

import pytest

from shop.workflow import SERVICES
from tests.system.command_line import TIMEOUT_S, CommandLine, find_code, how_refused, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.broker]


@pytest.mark.parametrize("transport", ["rest", "events"])
def test_every_service_of_a_transport_has_its_row(house: CommandLine, transport: str) -> None:
    done = house.done(house.make("soak", f"TRANSPORT={transport}", "ORDERS=1000"))
    rows = [line for line in done.stdout.splitlines() if line.startswith("│")]
    assert [row.split("│")[4].strip() for row in rows] == list(SERVICES)
    assert all(row.split("│")[2].strip() == "1,000" for row in rows)
    assert (done.returncode == 0) == all("yes" in row for row in rows), done.stderr
    assert house.left() == []


def test_a_service_that_ends_in_the_middle_is_one_sentence(house: CommandLine) -> None:
    command = house.fourways("harness", "soak", "ORDERS=100000", "TRANSPORT=rest", "DEADLINE=2")
    with house.started(command) as process:
        wait_until(lambda: len(house.processes()) >= 4 and all(p.cpu_times().user > 1.5 for p in house.processes()))
        house.processes()[0].kill()
        out, _ = process.communicate(timeout=TIMEOUT_S)
    assert (process.returncode, bool(find_code(out))) == (4, True), out
    assert "Traceback" not in out
    assert house.processes() == []


def test_too_few_orders_are_refused(house: CommandLine) -> None:
    done = house.done(house.fourways("harness", "soak", "ORDERS=10", "TRANSPORT=rest"))
    assert how_refused(done) == (2, "bad-count")

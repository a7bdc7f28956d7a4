"""What is said of an outage, from orders that were made up."""

import io
import math
from pathlib import Path

import msgspec
import pandas as pd
import pytest
from rich.console import Console

from bench.errors import UsageError
from bench.faults import Away, Fault, fault_of
from bench.load.raw import raw_file
from bench.outage import BIN_S, Order, Outage, orders_of, outage_of
from bench.report.tables import outage_table

S = 1_000_000_000
FAULT = Fault(action="stop", part="payment", at_s=3.0, for_s=3.0)
AWAY = Away(3 * S, 6 * S)
QUICK_US = 5_000.0


def orders(*, per_s: int = 100, window_s: float = 12.0, drained_s: float = 1.0) -> list[Order]:
    """One every 10 ms: those of the outage wait for its end, and those of a second more for the backlog."""
    found = []
    for number in range(round(per_s * window_s)):
        at_s = (number + 0.5) / per_s
        took_us = QUICK_US
        if 3.0 <= at_s < 6.0 + drained_s:
            took_us += max(0.0, (6.0 + drained_s - at_s)) * 1e6
        found.append(Order(at_s, took_us, "finished"))
    return found


def said(found: list[Order], away: Away = AWAY) -> Outage:
    return outage_of(found, FAULT, away, 0, round_=1, slot=2, cell="broker")


def test_orders_of_the_outage_are_delayed_and_none_is_lost() -> None:
    outage = said(orders())
    assert (outage.failed, outage.unfinished, outage.delayed) == (0, 0, 400)
    assert (outage.began_s, outage.back_s, outage.fault) == (3.0, 6.0, "stop-payment")
    assert outage.before_p50_us == QUICK_US
    assert outage.longest_us == pytest.approx(QUICK_US + 3.995e6)


def test_the_backlog_is_gone_when_the_last_order_of_before_has_ended() -> None:
    assert said(orders(drained_s=1.0)).backlog_gone_s == pytest.approx(1.0, abs=0.02)
    assert said(orders(drained_s=2.5)).backlog_gone_s == pytest.approx(2.5, abs=0.02)


def test_orders_are_as_before_from_the_end_of_the_last_stretch_that_was_not() -> None:
    assert said(orders(drained_s=1.0)).as_before_s == pytest.approx(1.0, abs=BIN_S)
    assert said(orders(drained_s=0.0)).as_before_s == 0.0


def test_a_window_that_ends_before_it_is_as_before_does_not_say_when() -> None:
    assert said(orders(window_s=6.5, drained_s=3.0)).as_before_s is None


def test_orders_that_failed_or_never_ended_are_counted_and_not_delayed() -> None:
    found = orders()
    for number, status in ((310, "failed"), (320, "unfinished"), (330, "not_sent")):
        found[number] = Order(found[number].planned_s, math.inf, status)
    outage = said(found)
    assert (outage.failed, outage.unfinished, outage.delayed) == (1, 2, 397)
    assert outage.backlog_gone_s is None


def test_an_outage_from_the_first_order_on_has_nothing_before_it() -> None:
    outage = said(orders(), Away(0, 6 * S))
    assert (outage.before_p50_us, outage.as_before_s, outage.delayed) == (None, None, 0)


def test_orders_are_read_from_the_raw_file(tmp_path: Path) -> None:
    with raw_file(tmp_path / "raw.csv") as write:
        write(1, "failed", 7 * S, 7 * S + 10, 0, 0)
        write(0, "finished", 6 * S, 6 * S + 10, 6 * S + 20, 6 * S + 4_000_000)
    assert orders_of(tmp_path / "raw.csv", opened_ns=5 * S) == [
        Order(1.0, 4000.0, "finished"),
        Order(2.0, math.inf, "failed"),
    ]


def test_a_fault_is_an_action_and_a_part() -> None:
    assert fault_of("kill-shipping", at_s=1, for_s=2) == Fault(action="kill", part="shipping", at_s=1, for_s=2)
    assert fault_of("none", at_s=1, for_s=2) is None


@pytest.mark.parametrize("text", ["stop", "stop-everything", "break-payment", "kill-broker", "stop payment", "payment"])
def test_what_is_no_fault_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(UsageError, match=r"stop-payment|stop-broker"):
        fault_of(text, at_s=1, for_s=2)


def test_in_the_table_what_did_not_come_in_the_window_is_beyond_it() -> None:
    never = said(orders(window_s=6.5, drained_s=3.0))
    rows = [msgspec.to_builtins(one) for one in (never, never, said(orders()))]
    frame = pd.DataFrame(rows).astype({"as_before_s": float})
    Console(file=(text := io.StringIO()), width=110).print(outage_table(frame))
    assert "> window" in text.getvalue()
    assert "stop-payment" in text.getvalue()

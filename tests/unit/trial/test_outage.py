"""Tests outage figures on made-up orders."""

import io
import math
import random
from pathlib import Path
from typing import Any

import msgspec
import pandas as pd
import pytest
from rich.console import Console

from bench.errors import UsageError
from bench.load.order_log import open_order_log
from bench.load.protocol import TrialSpec
from bench.load.workload.shape import RateStep
from bench.profile.fault import Fault, parse_fault
from bench.report.terminal.run import outage_table
from bench.results.rows import OutageRow
from bench.stats.outages import summarise_outages
from bench.trial.disturbance import Disturbance, is_disturbed
from bench.trial.fault_injection import FaultWindow
from bench.trial.outage import BIN_S, RECOVERY_GROUP, LoggedOrder, build_timeline, read_orders, summarize_outage
from transports.base import Setting

S = 1_000_000_000
AWAY = FaultWindow(3 * S, 6 * S)
QUICK_US = 5_000.0


def orders(*, per_s: int = 100, window_s: float = 12.0, drained_s: float = 1.0) -> list[LoggedOrder]:
    """One every 10 ms: those of the outage wait for its end, and those of a second more for the backlog."""
    found = []
    for number in range(round(per_s * window_s)):
        at_s = (number + 0.5) / per_s
        took_us = QUICK_US
        if 3.0 <= at_s < 6.0 + drained_s:
            took_us += max(0.0, (6.0 + drained_s - at_s)) * 1e6
        found.append(LoggedOrder(at_s, took_us, "finished"))
    return found


def said(found: list[LoggedOrder], away: FaultWindow = AWAY) -> OutageRow:
    return summarize_outage(found, "stop-payment", away, 0, round_=1, slot=2, cell="broker")


def test_orders_of_the_outage_are_delayed_and_none_is_lost() -> None:
    outage = said(orders())
    assert (outage.failed, outage.unfinished, outage.delayed) == (0, 0, 400)
    assert (outage.fault_begin_s, outage.fault_end_s, outage.fault) == (3.0, 6.0, "stop-payment")
    assert outage.before_p50_us == QUICK_US
    assert outage.longest_us == pytest.approx(QUICK_US + 3.995e6)


def test_the_backlog_is_gone_when_the_last_order_of_before_has_ended() -> None:
    assert said(orders(drained_s=1.0)).backlog_drained_s == pytest.approx(1.0, abs=0.02)
    assert said(orders(drained_s=2.5)).backlog_drained_s == pytest.approx(2.5, abs=0.02)


def test_orders_are_as_before_from_the_end_of_the_last_stretch_that_was_not() -> None:
    assert said(orders(drained_s=1.0)).recovery_time_s == pytest.approx(1.0, abs=RECOVERY_GROUP / 100)
    assert said(orders(drained_s=0.0)).recovery_time_s == 0.0


def test_orders_that_take_now_longer_and_now_less_as_they_always_do_are_as_before() -> None:
    draw, late = random.Random(5), 0
    for _ in range(300):
        found = [LoggedOrder((n + 0.5) / 25, QUICK_US * math.exp(draw.gauss(0, 0.5)), "finished") for n in range(200)]
        late += said(found, FaultWindow(1 * S, 3 * S)).recovery_time_s != 0.0
    assert late <= 3


def test_a_window_that_ends_before_it_is_as_before_does_not_say_when() -> None:
    assert said(orders(window_s=6.5, drained_s=3.0)).recovery_time_s == math.inf


def test_a_window_that_ends_with_the_outage_has_no_order_to_tell_from() -> None:
    assert said(orders(window_s=6.0)).recovery_time_s is None


def test_orders_that_failed_or_never_ended_are_counted_and_not_delayed() -> None:
    found = orders()
    for number, status in ((310, "failed"), (320, "unfinished"), (330, "not_sent")):
        found[number] = LoggedOrder(found[number].planned_s, math.inf, status)
    outage = said(found)
    assert (outage.failed, outage.unfinished, outage.delayed) == (1, 2, 397)
    assert outage.backlog_drained_s == said(orders()).backlog_drained_s  # of those that finished


def test_an_outage_from_the_first_order_on_has_nothing_before_it() -> None:
    outage = said(orders(), FaultWindow(0, 6 * S))
    assert (outage.before_p50_us, outage.recovery_time_s, outage.delayed) == (None, None, 0)


def test_orders_are_read_from_the_raw_file(tmp_path: Path) -> None:
    with open_order_log(tmp_path / "raw.csv") as write:
        write(1, "failed", 7 * S, 7 * S + 10, 0, 0)
        write(0, "finished", 6 * S, 6 * S + 10, 6 * S + 20_000, 6 * S + 4_000_000)
    assert read_orders(tmp_path / "raw.csv", opened_ns=5 * S) == [
        LoggedOrder(1.0, 4000.0, "finished", 20.0),
        LoggedOrder(2.0, math.inf, "failed", math.inf),
    ]


def test_the_median_meanwhile_is_of_the_orders_planned_meanwhile() -> None:
    assert said(orders(drained_s=0.0)).during_p50_us == pytest.approx(QUICK_US + 1.5e6, rel=0.01)
    found = orders()
    for number in range(300, 460):  # more than half of the 300
        found[number] = LoggedOrder(found[number].planned_s, math.inf, "failed")
    assert said(found).during_p50_us == math.inf


def test_without_an_order_meanwhile_there_is_no_median_of_them() -> None:
    assert said([order for order in orders() if not 3 <= order.planned_s < 6]).during_p50_us is None


@pytest.mark.parametrize(("for_s", "disturbed"), [(2.0, True), (6.0, False)])
def test_a_step_that_is_over_in_the_window_has_an_end_to_look_at(for_s: float, disturbed: bool) -> None:
    given: dict[str, Any] = {"arrivals": "step", "step": RateStep(at_s=4.0, for_s=for_s), "duration_s": 10.0}
    spec = TrialSpec(id="t", transport="rest", setting=Setting(trial="t"), **given)
    assert is_disturbed(spec, None) is disturbed
    assert Disturbance(spec, None, FaultWindow(4 * S, 6 * S)).missing is None


@pytest.mark.parametrize("text", ["stop-payment", "kill-broker", "cut-user", "delay-shipping"])
def test_a_fault_is_called_as_it_was_asked_for(text: str) -> None:
    fault = parse_fault(text, at_s=1, for_s=2)
    assert fault is not None
    assert fault.name == text
    assert fault.of_network == text.startswith(("cut", "delay"))


def test_a_fault_is_an_action_and_a_part() -> None:
    assert parse_fault("kill-shipping", at_s=1, for_s=2) == Fault(action="kill", part="shipping", at_s=1, for_s=2)
    assert parse_fault("none", at_s=1, for_s=2) is None


@pytest.mark.parametrize("text", ["stop", "stop-everything", "break-payment", "cut-broker", "stop payment", "payment"])
def test_what_is_no_fault_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(UsageError, match=r"stop-payment|stop-broker") as refused:
        parse_fault(text, at_s=1, for_s=2)
    assert refused.value.code in ("unknown-fault", "fault-of-every-way")


def test_acceptance_before_and_meanwhile_is_of_the_same_orders() -> None:
    found = [
        LoggedOrder(order.planned_s, order.took_us, order.status, 500.0 if order.planned_s < 3 else 900.0)
        for order in orders()
    ]
    assert (said(found).accept_before_p50_us, said(found).accept_during_p50_us) == (500.0, 900.0)


def test_the_timeline_counts_from_when_the_part_went_away() -> None:
    found = orders(drained_s=0.0)
    found[305] = LoggedOrder(found[305].planned_s, math.inf, "failed")
    line = build_timeline(found, said(found))
    assert (line[0].from_s, line[0].planned, line[0].finish_p50_us) == (-3.0, 25, QUICK_US)
    (first,) = (stretch for stretch in line if stretch.from_s == 0.0)
    assert first.failed == 1
    assert first.finish_p50_us == pytest.approx(QUICK_US + 2.875e6, rel=0.01)
    assert len(line) == 12 / BIN_S


def rows(*found: OutageRow) -> pd.DataFrame:
    frame = pd.DataFrame([msgspec.to_builtins(one) for one in found]).assign(valid=True)
    return frame.astype({"recovery_time_s": float, "accept_during_p50_us": float})


def test_orders_are_summed_over_trials_and_times_are_medians_with_an_interval() -> None:
    trials = [
        msgspec.structs.replace(said(orders(drained_s=1.0 + n / 10)), lost=n == 5, failures="Unreachable:2")
        for n in range(6)
    ]
    (cell,) = summarise_outages(rows(*trials))
    assert (cell["orders"]["lost"], cell["orders"]["planned"]) == (1, 6 * 1200)
    assert cell["orders"]["charged_unconfirmed"] is None  # nobody knows
    assert cell["failures"] == {"Unreachable": 12}
    gone = cell["times"]["backlog_drained_s"]
    assert gone["low"] < gone["estimate"] < gone["high"]
    assert gone["estimate"] == pytest.approx(1.25, abs=0.02)


def test_an_invalid_trial_is_in_the_sums_and_not_in_the_times() -> None:
    found = rows(*(said(orders(drained_s=d)) for d in (1.0, 1.0, 1.0, 3.0)))
    found.loc[3, "valid"] = False
    (cell,) = summarise_outages(found)
    assert cell["valid"]
    assert cell["orders"]["planned"] == 4 * 1200
    assert cell["times"]["backlog_drained_s"]["estimate"] == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize(("invalid", "shown"), [(1, False), (2, True)])
def test_a_cell_with_too_many_invalid_trials_is_called_invalid_in_the_table(invalid: int, shown: bool) -> None:
    found = rows(*[said(orders())] * 4)
    found.loc[: invalid - 1, "valid"] = False
    Console(file=(text := io.StringIO()), width=80).print(outage_table(summarise_outages(found)))
    assert ("INVALID" in text.getvalue()) is shown


def test_in_the_table_what_did_not_come_in_the_window_is_beyond_it_and_it_fits_eighty_columns() -> None:
    never = said(orders(window_s=6.5, drained_s=3.0))
    table = outage_table(summarise_outages(rows(never, never, said(orders()))))
    Console(file=(text := io.StringIO()), width=80).print(table)
    assert "> window" in text.getvalue()
    assert "stop-payment" in text.getvalue()
    assert "…" not in text.getvalue()

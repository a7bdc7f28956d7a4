"""Tests that the row of a trial follows from its outcome, in one call."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from bench.load.protocol import DriverAudit, MachineUsage, PartUsage, TrialReport
from bench.load.recorder import DriverRecord
from bench.profile.fault import Fault
from bench.profile.loader import load_profile
from bench.profile.matrix import expand_cells
from bench.profile.schema import CellSettings
from bench.results.caveats import process_ended
from bench.results.measures import MEASURES
from bench.results.rows import TrialRow, trial_columns
from bench.trial.outcome import TrialOutcome
from bench.trial.row import build_trial_row
from bench.trial.tls_probe import NegotiatedTls
from transports.dead_letters import REASONS
from transports.security import CIPHER_SUITE

S = 1_000_000_000
EMPTY = {"count": 0, "amount_cents": 0, "order_ids": 0, "contents": 0, "units": 0}


def a_cell(**settings: str) -> CellSettings:
    (cell,) = expand_cells(load_profile(settings={"TRANSPORT": "rest", "RATE": "100", "DURATION": "6", **settings}))
    return cell


def a_report(**changes: Any) -> TrialReport:
    """600 orders in 6 s, each finished after 20 ms, one of them on its way at either edge of the window."""
    record = DriverRecord()
    for _ in range(600):
        for series in (record.accept, record.accept_service, record.finish, record.finish_service):
            series.record(20_000)
        record.lateness.record(100)
        record.gap_planned.record(10_000)
        record.gap_sent.record(10_000)
    report = TrialReport.of("trial-1", 0, record, "hash")
    measured: dict[str, Any] = {
        **dict.fromkeys(("planned", "sent", "accepted", "finished", "shipped"), 600),
        "window_s": 6.0,
        "achieved_per_s": 100.0,
        "warm_up_s": 2.0,
        "driver_cpu_ns": 3 * S // 10,
        "costs": {
            "services": PartUsage(cpu_ns=3 * S, peak_rss_mib=80.0, context_switches=1200),
            "broker": PartUsage(cpu_ns=6 * S, peak_rss_mib=120.0, context_switches=9),
            "database": PartUsage(cpu_ns=6 * S // 10, peak_rss_mib=140.0, context_switches=9),
        },
        "machine": MachineUsage(duration_s=6.0, busy_s=10.0, steal_s=0.0),
        "wire_bytes": 600_000,
        "in_flight_mean": 2.0,
        "in_flight_by_instants": 2.0,
        "payload_bytes": 1034,
        "gzip_share": 0.5,
        "opened_epoch_ms": 1_700_000_000_000,
    }
    return msgspec.structs.replace(report, **(measured | changes))


def a_row(outcome: TrialOutcome | None = None, cell: CellSettings | None = None) -> TrialRow:
    return build_trial_row(cell or a_cell(), 3, 2, outcome or TrialOutcome(report=a_report()))


def names(row: TrialRow) -> list[str]:
    return [caveat.name for caveat in row.caveats]


def some_books(taken: int = 0, repeated: int = 0) -> Mapping[str, Mapping[str, Any]]:
    """Audits in which so many orders were charged, and none shipped."""
    facts = {"payment-taken": {**EMPTY, "count": taken}, "stock-reserved": {**EMPTY, "count": taken}}
    balance = {"open": 0, "missing": 0, "taken_cents": 0, "units": 0}
    return {
        service: {"tallies": facts, "balance": balance, "repeated": repeated}
        for service in ("user", "product", "payment", "shipping")
    }


def test_a_trial_in_which_all_went_well_is_complete_and_valid_and_without_doubts() -> None:
    row = a_row()
    assert (row.round, row.slot, row.cell, row.transport) == (3, 2, "rest", "rest")
    assert (row.complete, row.valid, names(row)) == (True, True, [])


def test_settings_are_those_of_the_cell() -> None:
    row = a_row(cell=a_cell(PAYLOAD="2KiB", PROCESSES="2"))
    assert row.settings["order_bytes"] == 2048
    assert row.settings["processes"] == 2
    assert row.settings["rate_per_s"] == 100.0


def test_every_measure_of_the_table_is_in_the_row_and_no_other() -> None:
    row = a_row()
    columns = {spec.name for spec in MEASURES.values() if spec.column}
    assert set(row.measures) == columns
    assert list(row.row()) == list(trial_columns())


def test_dead_letters_are_counted_by_reason_over_all_services_and_a_doubt_without_a_fault() -> None:
    letters = {"unreadable": 1, "refused": 0, "failed": 0, "parked": 2}
    books = {name: {**book, "serving": {"dead_letters": letters}} for name, book in some_books().items()}
    outcome = TrialOutcome(report=a_report(), books=books)
    row = a_row(outcome)
    found = [row.measures[f"dead_letters_{reason}"] for reason in REASONS]
    assert found == [4, 0, 0, 8]
    (doubt,) = (caveat for caveat in row.caveats if caveat.name == "dead-letters")
    assert "12 messages became dead letters without any fault: 4 unreadable, 8 parked" in doubt.text
    assert row.valid == a_row(TrialOutcome(report=a_report(), books=some_books())).valid
    fault = Fault(part="payment", action="stop", at_s=1.0, for_s=1.0)
    faulty = a_cell()
    faulty = replace(faulty, profile=msgspec.structs.replace(faulty.profile, fault=fault))
    assert "dead-letters" not in names(a_row(outcome, faulty))


def test_a_store_that_refused_is_a_doubt_that_leaves_the_trial_valid() -> None:
    books = {**some_books(), "payment": {**some_books()["payment"], "store_refusals": 14}}
    row = a_row(TrialOutcome(report=a_report(), books=books))
    (doubt,) = (caveat for caveat in row.caveats if caveat.name == "store-refused")
    assert "payment 14 times" in doubt.text
    assert "store-refused" not in names(a_row(TrialOutcome(report=a_report(), books=some_books())))
    assert row.valid


@pytest.mark.parametrize(
    ("store", "durability", "refusals", "explained"),
    [("postgres", "fast", 3, True), ("postgres", "safe", 3, False), ("postgres", "fast", 0, False)],
)
def test_records_that_differ_after_a_database_was_lost_are_explained_where_commits_may_be_lost(
    store: str, durability: str, refusals: int, explained: bool
) -> None:
    books = {**some_books(), "payment": {**some_books(taken=3)["payment"], "store_refusals": refusals}}
    row = a_row(TrialOutcome(report=a_report(), books=books), a_cell(STORE=store, DURABILITY=durability))
    doubts = [caveat for caveat in row.caveats if caveat.name == "audit"]
    assert doubts and not row.complete
    assert all(("loses its last commits" in doubt.text) is explained for doubt in doubts)


@pytest.mark.parametrize(("failed", "half_done"), [(0, ""), (1, "1 order"), (5, "3 orders")])
def test_orders_that_failed_half_done_are_told(failed: int, half_done: str) -> None:
    """Three have stock reserved and nothing shipped; where none failed they may still be on their way."""
    row = a_row(TrialOutcome(report=a_report(failed=failed), books=some_books(taken=3)))
    found = [caveat.text for caveat in row.caveats if caveat.name == "half-done"]
    assert [half_done in text for text in found] == [True] * bool(half_done)


def test_a_server_whose_processes_are_not_known_is_told_by_name() -> None:
    row = a_row(TrialOutcome(report=a_report(), knows_all_processes=False, unwatched=["postgres"]))
    (doubt,) = (caveat for caveat in row.caveats if caveat.name == "background-unknown")
    assert "postgres" in doubt.text
    assert "background-unknown" not in names(a_row())


def test_where_services_count_no_dead_letters_their_number_is_not_known() -> None:
    row = a_row(TrialOutcome(report=a_report(), books=some_books())).row()
    assert [row[f"dead_letters_{reason}"] for reason in REASONS] == [""] * 4


def test_costs_are_over_the_orders_that_finished_in_the_window() -> None:
    measures = a_row().measures
    assert measures["cpu_us_per_order_services"] == pytest.approx(5000)
    assert measures["cpu_us_per_order_broker"] == pytest.approx(10_000)
    assert measures["cpu_us_per_order_database"] == pytest.approx(1000)
    assert measures["rss_mib_database"] == 140.0
    assert measures["cpu_us_per_order_driver"] == pytest.approx(500)
    assert (measures["rss_mib_services"], measures["rss_mib_broker"]) == (80.0, 120.0)
    assert (measures["wire_bytes_per_order"], measures["context_switches_per_order"]) == (1000, 2)


def test_a_part_that_died_has_no_costs() -> None:
    report = a_report()
    report.costs = {"services": PartUsage(cpu_ns=1, peak_rss_mib=1.0, context_switches=1, died=(7,))}
    row = a_row(TrialOutcome(report=report)).row()
    assert [row[name] for name in ("cpu_us_per_order_services", "rss_mib_services", "context_switches_per_order")] == (
        [""] * 3
    )
    assert row["cpu_us_per_order_driver"] == "500"


def test_no_bytes_on_the_wire_are_unknown_and_not_none() -> None:
    assert a_row(TrialOutcome(report=a_report(wire_bytes=0))).row()["wire_bytes_per_order"] == ""


def test_what_is_known_from_outside_is_in_the_row_at_once() -> None:
    tls = NegotiatedTls(version="TLSv1.3", cipher=CIPHER_SUITE, exchange="x25519")
    outcome = TrialOutcome(report=a_report(), ready_s=1.5, cpu_slowdown=1.1, tls=tls)
    row = a_row(outcome, a_cell(SECURITY="tls"))
    assert (row.measures["ready_s"], row.measures["cpu_slowdown"]) == (1.5, 1.1)
    assert row.measures["negotiated_cipher"] == CIPHER_SUITE


def test_orders_without_an_outcome_count_as_infinitely_slow_and_leave_the_trial_incomplete() -> None:
    row = a_row(TrialOutcome(report=a_report(planned=700, sent=700, unfinished=100)))
    assert row.measures["finish"].p99_us == math.inf
    assert row.measures["finish"].p50_us < 21_000
    assert not row.complete
    assert "incomplete" in names(row)


def test_failures_are_told_by_the_names_of_their_errors() -> None:
    report = a_report(planned=604, sent=604, failed=4, failures={"Unreachable": 3, "NoOutcome": 1})
    assert a_row(TrialOutcome(report=report)).row()["failures"] == "NoOutcome:1;Unreachable:3"


def test_a_trial_that_could_not_be_run_has_its_reason_and_no_numbers() -> None:
    row = a_row(TrialOutcome(report=TrialReport(trial="t", error="nobody listens there")))
    assert (row.complete, row.valid, names(row)) == (False, False, ["failed"])
    cells = row.row()
    assert cells["planned"] == "0"
    assert {cells[name] for name in ("finish_p50_us", "in_flight_mean", "gzip_share", "ready_s", "lost")} == {""}


def test_a_window_without_an_order_is_said_where_nothing_else_explains_it() -> None:
    empty = TrialReport(trial="t", window_s=6.0)
    assert names(a_row(TrialOutcome(report=empty))) == ["empty"]
    assert names(a_row(TrialOutcome(report=empty, doubts=[process_ended("rabbitmq")]))) == ["died"]


def test_what_was_seen_from_outside_makes_the_trial_invalid() -> None:
    row = a_row(TrialOutcome(report=a_report(), doubts=[process_ended("rabbitmq")]))
    assert (row.complete, row.valid, names(row)) == (False, False, ["died"])


def test_remarks_leave_a_trial_valid() -> None:
    report = a_report(steady=False, connections_closed=2)
    outcome = TrialOutcome(report=report, cpu_slowdown=1.5, clock_mismatch="clocks differ by 1 s", counts_wire=True)
    row = a_row(outcome)
    assert row.valid
    assert names(row) == ["unsteady", "machine-speed-changed", "clocks", "connections-closed"]


def test_bytes_that_were_not_to_be_counted_are_not_missed() -> None:
    assert names(a_row(TrialOutcome(report=a_report(wire_bytes=None), counts_wire=False))) == []
    assert names(a_row(TrialOutcome(report=a_report(wire_bytes=None), counts_wire=True))) == ["no-wire"]


def test_other_programs_are_not_told_apart_where_not_all_processes_are_known() -> None:
    busy = a_report(machine=MachineUsage(duration_s=6.0, busy_s=12.0, steal_s=0.0))
    assert names(a_row(TrialOutcome(report=busy))) == ["background-load"]
    row = a_row(TrialOutcome(report=busy, knows_all_processes=False))
    assert (row.measures["background_cores"], names(row)) == (None, [])


def test_a_trial_with_a_fault_is_not_asked_to_keep_up() -> None:
    report = a_report(achieved_per_s=50.0)
    assert names(a_row(TrialOutcome(report=report))) == ["below-rate"]
    cell = a_cell()
    fault = Fault(action="stop", part="payment", at_s=2, for_s=2)
    broken = replace(cell, profile=msgspec.structs.replace(cell.profile, fault=fault))
    row = a_row(TrialOutcome(report=report), broken)
    assert (row.settings["fault"], names(row)) == ("stop-payment", [])


def test_books_that_do_not_agree_make_the_trial_invalid() -> None:
    outcome = TrialOutcome(report=a_report(), books=some_books(taken=2))
    row = a_row(outcome)
    assert set(names(row)) == {"audit"}
    assert not row.valid


def test_outcomes_that_were_not_planned_make_the_trial_invalid() -> None:
    row = a_row(TrialOutcome(report=a_report(unexpected=1)))
    assert (names(row), row.valid) == (["audit"], False)


def test_losses_and_charges_are_counted_from_the_books_and_unknown_without_them() -> None:
    report = a_report(accepted_unfinished=5, audit=DriverAudit(sent=600, unfinished=5))
    outcome = TrialOutcome(report=report, books=some_books(taken=2, repeated=3))
    assert (outcome.lost, outcome.charged_unconfirmed, outcome.redelivered) == (5, 2, 12)
    assert a_row(outcome).measures["lost"] == 5
    unknown = TrialOutcome(report=report)
    assert (unknown.lost, unknown.charged_unconfirmed, unknown.redelivered) == (None, None, None)
    assert a_row(unknown).row()["lost"] == ""

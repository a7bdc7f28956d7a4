"""Tests slices of a set on a virtual clock, against shops whose answers are known."""

import asyncio
import hashlib
import os
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec
import pytest

from bench.load.protocol import MachineUsage, PartUsage, ResourceWatch, TrialReport, TrialSpec
from bench.load.recorder import DriverRecord
from bench.load.sets.merging import merge_slices
from bench.load.sets.plan import count_planned, plan_slices
from bench.load.sets.player import BegunSlice, PlayedSlice, Tools, play_slice, read_cpu_ns
from bench.load.sets.protocol import ArmSpec, CellSpec, SetSpec, SliceReport, SliceSpec
from bench.profile.loader import load_profile
from bench.profile.matrix import expand_cells
from bench.results.measures import MEASURES, MeasureSpec
from bench.results.rows import TrialRow
from bench.trial.outcome import TrialOutcome
from bench.trial.row import build_trial_row, estimate_utilisation
from bench.trial.set_trial import build_slice_row
from shop.messages import PlaceOrder
from tests.unit.load.virtual_clock import (
    ALL_SHIP,
    FakeShopClient,
    VirtualLoop,
    build_virtual_pacer,
    read_virtual_clock_ns,
)
from transports.base import Receipt, Setting
from transports.errors import Unreachable

SLICE_S, LEAD_IN_S, RATE_PER_S = 0.5, 0.1, 150.0
MS = 1_000_000
NO_PROCESS = 2**22 + 1
"""More than Linux gives."""


class FakeMeter:
    """Every slice costs services 60 ms of CPU, and the machine 100 ms in all."""

    def __init__(self, watch: ResourceWatch) -> None:
        self.readings = 0

    async def read_now(self) -> None:
        self.readings += 1

    async def compute_usage(self) -> tuple[dict[str, PartUsage], MachineUsage | None, int | None, int]:
        assert self.readings == 2
        services = PartUsage(cpu_ns=60 * MS, peak_rss_mib=80.0, context_switches=90)
        return {"services": services}, MachineUsage(duration_s=0.6, busy_s=0.1, steal_s=0.0), 9_000, 0


TOOLS = Tools(clock=read_virtual_clock_ns, pacer=build_virtual_pacer, meter=FakeMeter)


def build_spec(cells: int = 1, slices: int = 4, **changes: Any) -> SetSpec:
    """Cells of one rate, each an arm of its own, in turns."""
    whole = SetSpec(
        id="set-1",
        arms=tuple(
            ArmSpec(transport="rest", setting=Setting(trial=f"a{at}", deadline_s=5.0), prefix=f"w{at}")
            for at in range(cells)
        ),
        cells=tuple(
            CellSpec(
                name=f"cell-{at}", arm=at, prefix=f"c{at}", orders_per_s=RATE_PER_S, mix=ALL_SHIP, payload_bytes=512
            )
            for at in range(cells)
        ),
        slices=tuple(
            SliceSpec(cell=cell, number=number, seed=number) for number in range(1, slices + 1) for cell in range(cells)
        ),
        slice_s=SLICE_S,
        lead_in_s=LEAD_IN_S,
    )
    return msgspec.structs.replace(whole, **changes)


async def play(spec: SetSpec, clients: list[FakeShopClient], during: BegunSlice | None = None) -> list[PlayedSlice]:
    """Plays the whole program, as a session does, and waits for what is left."""
    played: list[PlayedSlice] = []
    for place, planned in enumerate(plan_slices(spec), 1):
        at = spec.cells[planned.spec.cell].arm
        played.append(
            await play_slice(
                spec,
                spec.arms[at],
                clients[at],
                planned,
                place=place,
                others=(),
                company=any(not before.task.done() for before in played),
                raw=None,
                begun=during or BegunSlice(),
                tools=TOOLS,
            )
        )
    await asyncio.gather(*(one.task for one in played))
    return played


def run(work: Coroutine[Any, Any, list[PlayedSlice]]) -> list[PlayedSlice]:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(work)


def play_one_cell(takes_s: Callable[[int], float], **changes: Any) -> tuple[SetSpec, list[PlayedSlice]]:
    spec = build_spec(**changes)

    async def work() -> list[PlayedSlice]:
        return await play(spec, [FakeShopClient(takes_s)])

    return spec, run(work())


def report_of(spec: SetSpec, played: list[PlayedSlice]) -> TrialReport:
    return merge_slices("t", spec, [one.end(spec) for one in played], len(played))


def row_of(report: TrialReport) -> TrialRow:
    profile = load_profile(settings={"TRANSPORT": "rest", "SLICE": "500ms", "SLICES": "4", "YARDSTICK": "none"})
    (cell,) = expand_cells(profile)
    return build_trial_row(cell, 1, 1, TrialOutcome(report=report))


def names(row: TrialRow) -> list[str]:
    return [caveat.name for caveat in row.caveats]


def slice_reports(spec: SetSpec, played: list[PlayedSlice]) -> list[SliceReport]:
    return [one.build_report(spec) for one in played]


def test_a_measure_of_the_table_alone_is_merged_over_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, merge in (("queue_depth", "max"), ("queued", "sum")):
        spec = MeasureSpec(name=name, unit="orders", help="a measure that no code knows", merge=merge)  # type: ignore[arg-type]
        monkeypatch.setitem(MEASURES, name, spec)
    set_, played = play_one_cell(lambda _: 0.020)
    for number, one in enumerate(played, 1):
        one.record.extra = {"queue_depth": float(number), "queued": number} if number != 2 else {}
    found = report_of(set_, played).extra
    assert len(played) == 4
    assert found == {"queue_depth": 4.0, "queued": 1 + 3 + 4}


def test_a_workload_setting_reaches_whole_trials_and_slices() -> None:
    """A field of TrialSpec that slices do not have is named here, where slices cannot have it."""
    of_whole_trials = {
        "step",
        "burst",
        "replay",
        "mode",
        "users",
        "orders_per_s_per_user",
        "duration_s",
        "in_flight_cap",
    }
    of_both = {"id", "transport", "setting", "seed", "warm_up_s", "warm_up_max_s", "drain_s", "watch", "store"}
    assert set(TrialSpec.__struct_fields__) - of_whole_trials - of_both == (
        set(CellSpec.__struct_fields__) - {"name", "arm", "prefix", "orders_per_s"}
    )


def test_a_fixed_latency_is_told_by_every_slice_and_by_all_together() -> None:
    spec, played = play_one_cell(lambda _: 0.020)
    for told in slice_reports(spec, played):
        assert told.finish_p50_us == pytest.approx(20_000, rel=0.001)
        assert told.lead_in_p50_us == pytest.approx(20_000, abs=1)
        assert (told.accept_p50_us, told.lateness_p50_us) == pytest.approx((0, 0), abs=1)
        assert told.finish_p99_us is None  # of so few orders
        assert (told.left, told.company) == (0, False)
        assert 0 <= told.drained_ms <= 20
    report = report_of(spec, played)
    assert report.finished == report.planned == report.histogram("finish").count
    assert report.histogram("finish").percentile_us(100) == pytest.approx(20_000, rel=0.001)
    assert report.window_s == pytest.approx(4 * SLICE_S)
    row = row_of(report)
    assert (row.valid, row.complete, names(row)) == (True, True, [])
    assert row.measures["littles_law_error"] == pytest.approx(0, abs=0.001)
    assert row.measures["achieved_share"] == pytest.approx(1, abs=0.1)
    assert row.measures["in_flight_mean"] == pytest.approx(report.planned / (4 * SLICE_S) * 0.020, rel=0.1)


def test_every_order_of_lead_in_and_window_is_counted_once() -> None:
    spec, played = play_one_cell(lambda _: 0.005)
    plans = plan_slices(spec)
    planned = [count_planned(one.window) for one in plans]
    before = [count_planned(one.lead_in) for one in plans if one.lead_in is not None]
    told = slice_reports(spec, played)
    assert [one.planned for one in told] == [one.finished for one in told] == planned
    assert [one.lead_in_planned for one in told] == [one.lead_in_finished for one in told] == before
    assert [one.first_number for one in told] == [sum(planned[:at]) for at in range(4)]
    assert [one.costed_orders for one in told] == [sum(pair) for pair in zip(planned, before, strict=True)]
    report = report_of(spec, played)
    assert report.planned == sum(planned)
    assert report.audit.sent == report.audit.shipped.count == sum(planned) + sum(before)
    digest = hashlib.sha256("".join(one.plan_hash for one in plans).encode()).hexdigest()
    assert report.plan_hash == digest


def test_orders_have_numbers_of_their_own_all_through_the_set() -> None:
    spec = build_spec()
    client = FakeShopClient()

    async def work() -> list[PlayedSlice]:
        return await play(spec, [client])

    run(work())
    assert len(client.orders) == len(set(client.orders))
    numbers = sorted(int(one.split("-", 1)[1]) for one in client.orders)
    assert numbers == list(range(numbers[0], numbers[-1] + 1))


def test_cells_of_one_rate_get_the_same_orders_at_the_same_instants() -> None:
    spec = build_spec(cells=2)
    plans = plan_slices(spec)
    for one, other in zip(plans[::2], plans[1::2], strict=True):
        assert one.plan_hash == other.plan_hash
        assert one.first_number == other.first_number
    assert len({one.plan_hash for one in plans}) == 4
    first, second = (one.orders.order(3).order for one in plans[:2])
    assert (first.lines, first.card, first.user_id) == (second.lines, second.card, second.user_id)
    assert first.order_id != second.order_id


def test_a_slow_first_order_of_each_slice_is_in_the_lead_in_and_not_in_the_window() -> None:
    spec = build_spec()
    firsts: set[int] = set()
    at = 0
    for plan in plan_slices(spec):
        firsts.add(at)
        assert plan.lead_in is not None
        at += count_planned(plan.lead_in) + count_planned(plan.window)
    spec, played = play_one_cell(lambda number: 0.060 if number in firsts else 0.005)
    report = report_of(spec, played)
    assert report.histogram("finish").percentile_us(100) == pytest.approx(5_000, rel=0.001)
    assert report.audit.shipped.count == at
    slowest = [max(one.driver.responses_outside_us) for one in played]
    assert slowest == pytest.approx([60_000] * 4, abs=1)
    assert names(row_of(report)) == []


def test_a_stall_marks_its_slice_and_the_next_and_nothing_is_lost() -> None:
    spec, played = play_one_cell(lambda number: 0.7 if number == 60 else 0.005)
    told = slice_reports(spec, played)
    assert [one.left for one in told] == [1, 0, 0, 0]
    assert [one.company for one in told] == [False, True, False, False]
    assert told[0].drained_ms == pytest.approx(250, abs=2)
    assert told[0].finished == told[0].planned
    assert told[0].costed_orders == told[0].planned + told[0].lead_in_planned - 1
    report = report_of(spec, played)
    assert report.finished == report.planned
    assert report.histogram("finish").percentile_us(100) == pytest.approx(700_000, rel=0.001)
    row = row_of(report)
    assert (row.valid, row.complete, names(row)) == (True, True, ["slices-marked"])


def test_an_order_that_never_ends_is_unfinished_once_and_holds_no_slice() -> None:
    spec, played = play_one_cell(lambda number: 1e6 if number == 60 else 0.005)
    told = slice_reports(spec, played)
    assert [one.unfinished for one in told] == [1, 0, 0, 0]
    assert [one.left for one in told] == [1, 0, 0, 0]
    assert [one.company for one in told] == [False, True, True, True]
    assert all(one.drained_ms <= 252 for one in told)
    report = report_of(spec, played)
    assert (report.unfinished, report.finished) == (1, report.planned - 1)
    assert report.audit.unfinished == 1
    assert not row_of(report).complete


def test_costs_are_divided_by_all_orders_of_lead_in_and_window() -> None:
    spec, played = play_one_cell(lambda _: 0.005)
    report = report_of(spec, played)
    orders = report.audit.sent
    assert report.totals is not None
    assert report.totals.costed_orders == orders
    measures = row_of(report).measures
    assert measures["cpu_us_per_order_services"] == pytest.approx(4 * 60_000 / orders)
    assert measures["wire_bytes_per_order"] == pytest.approx(4 * 9_000 / orders)
    assert measures["context_switches_per_order"] == pytest.approx(4 * 90 / orders)
    assert measures["rss_mib_services"] == 80.0
    assert measures["duration_s"] == pytest.approx(2.0)
    told = slice_reports(spec, played)
    row = build_slice_row(1, {"cell-0": 1}, spec, told[0], told[0].begins_ns)
    assert row.cpu_us_per_order_services == pytest.approx(60_000 / told[0].costed_orders)
    assert row.cpu_us_per_order_broker is None


def test_a_cell_that_needs_most_of_the_machine_is_said_to_be_no_cell_for_slices() -> None:
    spec, played = play_one_cell(lambda _: 0.005)
    report = report_of(spec, played)
    rate_per_s = report.planned / report.window_s
    cores = os.cpu_count() or 1
    enough_ns = int(0.75 * cores / rate_per_s * report.audit.sent * 1e9)
    services = msgspec.structs.replace(report.costs["services"], cpu_ns=enough_ns)
    busy = msgspec.structs.replace(report, costs={"services": services}, driver_cpu_ns=0)
    assert estimate_utilisation(busy, cores) == pytest.approx(0.75, rel=0.001)
    assert names(row_of(busy)) == ["slice-over-utilisation"]
    assert row_of(busy).valid
    assert estimate_utilisation(msgspec.structs.replace(busy, costs={}), cores) is None


def test_a_lead_in_that_is_shorter_than_the_latency_is_said_and_not_taken_for_an_overload() -> None:
    spec, played = play_one_cell(lambda _: 0.180)
    row = row_of(report_of(spec, played))
    assert not row.valid
    assert names(row) == ["lead-in-short"]


def test_a_queue_that_grows_in_every_slice_is_said_and_not_called_a_backlog() -> None:
    spec = build_spec()
    parts = [1.0 + 0.2 * part for part in range(12)]
    report = msgspec.structs.replace(report_of(spec, play_one_cell(lambda _: 0.005)[1]), in_flight_parts=parts)
    row = row_of(report)
    assert (row.valid, names(row)) == (False, ["slices-not-level"])


def test_slices_that_all_leave_orders_in_flight_say_nothing_of_their_cell() -> None:
    spec, played = play_one_cell(lambda _: 0.400)
    row = row_of(report_of(spec, played))
    assert not row.valid
    assert "slices-left" in names(row)
    assert not {"below-rate", "backlog", "littles-law"} & {*names(row)}


def test_a_cell_whose_orders_all_fail_is_not_told_that_its_lead_in_is_short() -> None:
    class DeadShop(FakeShopClient):
        async def submit(self, order: PlaceOrder) -> Receipt:
            raise Unreachable("nobody listens")

    spec = build_spec()

    async def work() -> list[PlayedSlice]:
        return await play(spec, [DeadShop()])

    report = report_of(spec, run(work()))
    assert (report.failed, report.finished) == (report.planned, 0)
    assert report.failures == {"Unreachable": report.planned}
    row = row_of(report)
    assert not row.complete
    assert "lead-in-short" not in names(row)


def test_a_slice_that_is_stopped_is_not_whole_and_its_orders_are_in_the_record() -> None:
    spec = build_spec(slices=1)
    begun = BegunSlice()

    async def work() -> list[PlayedSlice]:
        asyncio.get_running_loop().call_later(0.3, begun.stop)
        return await play(spec, [FakeShopClient()], begun)

    (one,) = run(work())
    assert not one.whole
    assert one.record.all.sent == one.record.all.finished > 0


def test_a_cell_without_slices_says_that_nothing_was_planned() -> None:
    report = merge_slices("t", build_spec(), [], 4)
    assert (report.planned, report.plan_hash, report.totals) == (0, "", None)


def test_records_add_up() -> None:
    _, played = play_one_cell(lambda number: 0.005 + number * 1e-5)
    whole = DriverRecord()
    for one in played:
        whole.add(one.record)
    for name in ("planned", "sent", "finished", "accepted"):
        assert getattr(whole.all, name) == sum(getattr(one.record.all, name) for one in played)
        assert getattr(whole.window, name) == sum(getattr(one.record.window, name) for one in played)
    assert whole.window_ns == sum(one.record.window_ns for one in played)
    assert whole.finish.count == whole.window.finished
    assert whole.shipped.order_ids == sum(one.record.shipped.order_ids for one in played) % 2**64
    whole.all.check()


def test_a_process_that_has_ended_has_no_cpu_time() -> None:
    assert list(read_cpu_ns([os.getpid(), NO_PROCESS])) == [os.getpid()]

"""Tests the load driver on a virtual clock, where every number is exact."""

import asyncio
import dataclasses
import gc
import itertools
from collections.abc import Callable
from typing import Any

import pytest

from bench.load.closed_loop import ClosedDriver
from bench.load.driver import Driver
from bench.load.open_loop import OpenDriver
from bench.load.phases import Phases
from bench.load.protocol import TrialReport
from bench.load.workload.arrivals import Schedule
from bench.load.workload.orders import Workload
from bench.trial.outcome import TrialOutcome
from bench.trial.row import build_health
from bench.trial.validity import find_invalidating_caveats
from shop.messages import PlaceOrder
from tests.unit.load.virtual_clock import (
    ALL_SHIP,
    NS_PER_S,
    FakeShopClient,
    VirtualLoop,
    build_virtual_pacer,
    read_virtual_clock_ns,
    run_closed_trial,
    run_on_virtual_clock,
    run_open_trial,
)
from transports.base import Finished, Receipt
from transports.errors import NotAccepted


def test_every_order_is_sent_when_it_is_due_and_counted() -> None:
    record = run_on_virtual_clock(run_open_trial(FakeShopClient())).record
    window = record.window
    assert (window.planned, window.sent, window.accepted, window.finished) == (1000, 1000, 1000, 1000)
    assert record.lateness.percentile_us(100) == 0
    assert record.finish.percentile_us(50) == pytest.approx(1000, abs=2)


def test_response_counts_from_when_the_order_was_planned() -> None:
    """A shop of one clerk who is away for one second: who came meanwhile waited, and it shows."""

    started_ns = 0

    class Stalls(FakeShopClient):
        async def submit(self, order: PlaceOrder) -> Receipt:
            gone_s = (read_virtual_clock_ns() - started_ns) / NS_PER_S
            if 5 <= gone_s < 6:
                await asyncio.sleep(6 - gone_s)
            return await super().submit(order)

    async def trial() -> Driver:
        nonlocal started_ns
        started_ns = read_virtual_clock_ns()
        return await run_open_trial(Stalls())

    record = run_on_virtual_clock(trial()).record
    assert record.window.finished == 1000
    assert record.finish.percentile_us(89.9) == pytest.approx(1000, abs=2)
    # A tenth of the orders came during the second and waited for what was left of it, evenly from none to all.
    assert record.finish.percentile_us(95) == pytest.approx(500_000, rel=0.05)
    assert record.finish.percentile_us(100) == pytest.approx(1_000_000, rel=0.05)


def test_orders_in_flight_are_averaged_over_the_time_of_the_window() -> None:
    record = run_on_virtual_clock(run_open_trial(FakeShopClient(lambda number: 0.25), warm_up_s=2)).record
    # 100 a second, each a quarter of a second under way; those of the warm-up are there when the window opens.
    assert record.in_flight_ns / record.window_ns == pytest.approx(25, abs=0.1)
    assert record.response_ns / record.window.finished == pytest.approx(0.25 * NS_PER_S)
    assert record.service_ns == record.response_ns  # nothing is late on a virtual clock


def test_orders_in_flight_are_averaged_over_twelfths_of_the_window() -> None:
    stub = FakeShopClient(lambda number: 100.0)
    record = run_on_virtual_clock(run_open_trial(stub, warm_up_s=1, duration_s=6, drain_s=200, deadline_s=200)).record
    assert len(record.in_flight_parts) == 12
    assert sum(record.in_flight_parts) / 12 == pytest.approx(record.in_flight_ns / record.window_ns, rel=0.01)
    # Nothing finishes in the window, and 50 more come in every half second.
    steps = [b - a for a, b in itertools.pairwise(record.in_flight_parts)]
    assert steps == pytest.approx([50] * 11, abs=1)


@pytest.mark.parametrize("phases", [{"drain_s": 1}, {"drain_s": 9, "deadline_s": 2}])
def test_orders_that_never_end_are_no_growing_backlog(phases: dict[str, float]) -> None:
    stub = FakeShopClient(lambda number: 0.05 if number % 10 else 1000.0)
    record = run_on_virtual_clock(run_open_trial(stub, warm_up_s=1, duration_s=6, **phases)).record
    assert record.window.unfinished == 60
    assert record.in_flight_parts == pytest.approx([0.9 * 100 * 0.05] * 12, abs=0.6)


@pytest.mark.parametrize(
    "takes_s",
    [
        pytest.param(lambda number: 0.05, id="steady"),
        pytest.param(lambda number: 0.05 * number, id="ever slower"),
        pytest.param(lambda number: 0.05 if number % 10 else 1000.0, id="some never end"),
    ],
)
def test_what_is_in_flight_is_what_the_orders_instants_come_to(takes_s: Callable[[int], float]) -> None:
    record = run_on_virtual_clock(run_open_trial(FakeShopClient(takes_s), warm_up_s=1, duration_s=6, drain_s=3)).record
    assert record.in_flight_ns == pytest.approx(record.sojourn_ns + record.in_flight_lost_ns, rel=1e-6)


def test_a_transport_that_dates_outcomes_back_breaks_littles_law() -> None:
    class Early(FakeShopClient):
        async def _finish(self, order: PlaceOrder, takes_s: float) -> Finished:
            finished = await super()._finish(order, takes_s)
            return Finished(finished.outcome, finished.at_ns - round(takes_s * NS_PER_S / 2))

    record = run_on_virtual_clock(run_open_trial(Early(lambda number: 0.05))).record
    assert record.in_flight_ns == pytest.approx(2 * (record.sojourn_ns + record.in_flight_lost_ns), rel=0.01)


@pytest.mark.parametrize("change", [{}, {"document": b""}, {"address": "?"}], ids=str)
def test_an_outcome_that_holds_another_order_than_was_sent_is_unexpected(change: dict[str, Any]) -> None:
    class Drops(FakeShopClient):
        async def _finish(self, order: PlaceOrder, takes_s: float) -> Finished:
            return await super()._finish(PlaceOrder(dataclasses.replace(order.order, **change)), takes_s)

    record = run_on_virtual_clock(run_open_trial(Drops())).record
    assert record.unexpected == (record.all.finished if change else 0)


@pytest.mark.parametrize(("early", "error"), [(0.0, 0.0), (0.1, 0.1), (1.0, 1.0)])
def test_an_acceptance_before_submit_returns_is_told_as_a_share_of_that_time(early: float, error: float) -> None:
    class Early(FakeShopClient):
        async def submit(self, order: PlaceOrder) -> Receipt:
            receipt = await super().submit(order)
            return Receipt(receipt.accepted_ns - round(early * self.accept_s * NS_PER_S), receipt.finished)

    record = run_on_virtual_clock(run_open_trial(Early(lambda number: 0.02, accept_s=0.01))).record
    health = build_health(TrialOutcome(report=TrialReport.of("t", 0, record, "")))
    assert health.acceptance_error == pytest.approx(error)
    assert health.acceptance_gap_us == pytest.approx(error * 10_000)
    assert [caveat.name for caveat in find_invalidating_caveats(health)] == (["acceptance"] if early else [])


@pytest.mark.parametrize(
    ("takes_s", "trend"),
    [
        # By part it is the eleventh of twelve steps that is seen, from the middle of the first to that of the last.
        pytest.param(lambda number: 0.005 * 8 ** (number / 350), 8 ** (11 / 12) - 1, id="from 5 to 40 ms"),
        pytest.param(lambda number: 0.040 / 8 ** (number / 350), 8 ** (-11 / 12) - 1, id="from 40 to 5 ms"),
        pytest.param(lambda number: 0.005 * (1 + number % 7), None, id="varies"),
        pytest.param(lambda number: 0.005 * 1.5 ** (number / 350), None, id="by half"),
    ],
)
def test_a_response_that_doubles_or_halves_over_the_window_is_a_trend(
    takes_s: Callable[[int], float], trend: float | None
) -> None:
    record = run_on_virtual_clock(run_open_trial(FakeShopClient(takes_s), duration_s=3.5)).record
    health = build_health(TrialOutcome(report=TrialReport.of("t", 0, record, "")))
    found = {caveat.name for caveat in find_invalidating_caveats(health)}
    assert ("trend" in found) == (trend is not None)
    if trend is not None:
        assert health.response_trend == pytest.approx(trend, rel=0.05)


def test_gaps_between_sends_and_between_plans_are_kept_side_by_side() -> None:
    class Blocks(FakeShopClient):
        async def submit(self, order: PlaceOrder) -> Receipt:
            if len(self.orders) % 10 == 0:
                asyncio.get_running_loop()._jump.now_s += 0.05  # type: ignore[attr-defined]
            return await super().submit(order)

    even, bunched = (
        run_on_virtual_clock(run_open_trial(FakeShopClient())).record,
        run_on_virtual_clock(run_open_trial(Blocks())).record,
    )
    assert even.gap_planned.counts() == even.gap_sent.counts()
    assert (even.gap_sent.count, bunched.gap_sent.count) == (999, 999)
    assert bunched.gap_planned.counts() == even.gap_planned.counts()
    assert bunched.gap_sent.counts()[0] > 300


def test_a_client_that_holds_the_loop_makes_orders_late_and_says_so() -> None:
    class Blocks(FakeShopClient):
        async def submit(self, order: PlaceOrder) -> Receipt:
            if not self.orders:
                loop = asyncio.get_running_loop()
                assert isinstance(loop, VirtualLoop)
                loop._jump.now_s += 0.5
            return await super().submit(order)

    record = run_on_virtual_clock(run_open_trial(Blocks())).record
    assert record.lateness.percentile_us(100) == pytest.approx(490_000, rel=0.03)
    assert (record.finish_service.percentile_us(90) or 0) < 2_000
    assert (record.accept_service.percentile_us(90) or 0) < 2_000
    assert record.window.sent == 1000
    # In flight is what was sent, so that Little's law goes with the time from sent.
    assert record.in_flight_ns == pytest.approx(record.service_ns, rel=0.01)
    assert record.response_ns > 2 * record.service_ns


def test_nothing_gates_sending_but_the_cap_and_what_is_over_it_counts_as_infinite() -> None:
    record = run_on_virtual_clock(
        run_open_trial(FakeShopClient(lambda number: 3600), in_flight_cap=600, drain_s=1, deadline_s=7200)
    ).record
    window = record.window
    assert (window.planned, window.sent, window.not_sent, window.unfinished) == (1000, 600, 400, 600)
    assert record.in_flight_max == 600
    assert record.lateness.censored == 400
    assert (record.finish.count, record.finish.censored) == (0, 1000)


def test_an_order_that_is_not_sent_leaves_the_others_as_planned() -> None:
    stub = FakeShopClient(lambda number: 0.015)
    run_on_virtual_clock(run_open_trial(stub, in_flight_cap=1, duration_s=1))
    assert stub.orders == [f"t-{number}" for number in range(0, 100, 2)]


def test_accepted_and_finished_are_two_instants() -> None:
    record = run_on_virtual_clock(run_open_trial(FakeShopClient(lambda number: 0.2, accept_s=0.05))).record
    assert record.accept.percentile_us(50) == pytest.approx(50_000, rel=0.01)
    assert record.finish.percentile_us(50) == pytest.approx(200_000, rel=0.01)


def test_looping_clients_order_again_as_soon_as_they_are_told() -> None:
    record = run_on_virtual_clock(run_closed_trial(FakeShopClient(lambda number: 0.1), 5, duration_s=10)).record
    assert record.window.finished == pytest.approx(500, abs=5)
    assert record.in_flight_max == 5
    assert record.lateness.percentile_us(100) == 0


def test_looping_clients_are_added_and_withdrawn_while_they_run() -> None:
    async def trial() -> Driver:
        workload = Workload(prefix="t", seed=1, payload_bytes=512, mix=ALL_SHIP)
        stub = FakeShopClient(lambda number: 0.1)
        driver = ClosedDriver(
            stub, workload, Phases(duration_s=9), 1, clock=read_virtual_clock_ns, pacer=build_virtual_pacer
        )
        running = asyncio.ensure_future(driver.run())
        await asyncio.sleep(3)
        driver.change(5)
        await asyncio.sleep(3)
        driver.change(2)
        await running
        return driver

    assert run_on_virtual_clock(trial()).record.window.finished == pytest.approx(30 + 150 + 60, abs=6)


def test_a_failing_shop_does_not_stop_looping_clients() -> None:
    class Refuses(FakeShopClient):
        async def submit(self, order: PlaceOrder) -> Receipt:
            await asyncio.sleep(0.1)
            raise NotAccepted("no")

    record = run_on_virtual_clock(run_closed_trial(Refuses(), 2, duration_s=10)).record
    assert record.window.failed == pytest.approx(200, abs=4)


def test_garbage_is_not_collected_in_the_window_and_is_afterwards() -> None:
    seen: list[bool] = []

    class Looks(FakeShopClient):
        async def submit(self, order: PlaceOrder) -> Receipt:
            seen.append(gc.isenabled())
            return await super().submit(order)

    assert gc.isenabled()
    run_on_virtual_clock(run_open_trial(Looks()))
    assert set(seen) == {False}
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0


def test_the_edges_of_the_window_are_told() -> None:
    edges: list[float] = []

    async def trial() -> Driver:
        workload = Workload(prefix="t", seed=1, payload_bytes=512)
        schedule = Schedule("constant", seed="1", orders_per_s=10, duration_s=10)
        began_ns = read_virtual_clock_ns()
        driver = OpenDriver(
            FakeShopClient(),
            workload,
            Phases(warm_up_s=5, duration_s=10),
            schedule,
            clock=read_virtual_clock_ns,
            pacer=build_virtual_pacer,
            at_edge=lambda: edges.append((read_virtual_clock_ns() - began_ns) / NS_PER_S),
        )
        await driver.run()
        return driver

    run_on_virtual_clock(trial())
    assert edges == pytest.approx([5, 15], abs=0.01)

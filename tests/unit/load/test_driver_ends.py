"""Tests how a trial ends: late, lost and duplicated outcomes, and errors."""

import asyncio
import contextlib
import dataclasses
from typing import Any

import pytest

from bench.load.driver import ClockMismatchError, Driver
from bench.load.open_loop import OpenDriver
from bench.load.phases import Phases
from bench.load.workload.arrivals import Schedule
from bench.load.workload.orders import Workload
from shop.messages import OrderClosed, PlaceOrder
from tests.unit.load.virtual_clock import (
    NS_PER_S,
    FakeShopClient,
    VirtualLoop,
    build_virtual_pacer,
    read_virtual_clock_ns,
    run_on_virtual_clock,
    run_open_trial,
)
from transports.base import Finished, Receipt
from transports.errors import Failed, NotAccepted


def test_the_window_is_as_long_as_asked_although_the_last_order_came_sooner() -> None:
    record = run_on_virtual_clock(run_open_trial(FakeShopClient(), orders_per_s=1, duration_s=10)).record
    assert record.window_ns == 10 * NS_PER_S


def test_what_finishes_after_the_window_is_no_throughput() -> None:
    record = run_on_virtual_clock(run_open_trial(FakeShopClient(lambda number: 4), duration_s=10)).record
    assert record.window.finished == 1000
    assert record.finished_within == pytest.approx(600, abs=1)


def test_errors_are_counted_by_name_and_censored() -> None:
    class Fails(FakeShopClient):
        async def submit(self, order: PlaceOrder) -> Receipt:
            receipt = await super().submit(order)
            number = len(self.orders)
            if number % 10 == 0:
                raise NotAccepted("no")
            if number % 10 == 1:
                receipt.finished.cancel()  # type: ignore[attr-defined]
                return Receipt(receipt.accepted_ns, self._fail())
            return receipt

        async def _fail(self) -> Finished:
            raise Failed("no")

    record = run_on_virtual_clock(run_open_trial(Fails())).record
    assert record.failures == {"NotAccepted": 100, "Failed": 100}
    assert (record.window.failed, record.window.accepted, record.window.finished) == (200, 900, 800)
    assert (record.accept.censored, record.finish.censored) == (100, 200)


def test_an_order_over_its_deadline_ends_as_unfinished_while_others_go_on() -> None:
    stub = FakeShopClient(lambda number: 3600 if number == 0 else 0.001)
    record = run_on_virtual_clock(run_open_trial(stub, duration_s=20, deadline_s=3, drain_s=0)).record
    assert (record.window.unfinished, record.window.accepted_unfinished) == (1, 1)
    assert record.window.finished == 1999


def test_the_drain_waits_for_the_slowest_and_no_longer() -> None:
    took_s = 0.0

    async def trial() -> Driver:
        nonlocal took_s
        began_ns = read_virtual_clock_ns()
        driver = await run_open_trial(FakeShopClient(lambda number: 7 if number == 999 else 0.001), drain_s=30)
        took_s = (read_virtual_clock_ns() - began_ns) / NS_PER_S
        return driver

    record = run_on_virtual_clock(trial()).record
    assert record.window.unfinished == 0
    assert took_s == pytest.approx(17, abs=0.1)


def test_the_drain_ends_what_never_finishes() -> None:
    record = run_on_virtual_clock(
        run_open_trial(FakeShopClient(lambda number: 3600 if number >= 990 else 0.001), drain_s=5)
    ).record
    assert (record.window.finished, record.window.accepted_unfinished) == (990, 10)
    assert record.finish.censored == 10


def test_stopping_ends_an_endless_trial_with_all_orders_accounted_for() -> None:
    async def stop(driver: Driver) -> None:
        await asyncio.sleep(4.2)
        driver.stop()

    record = run_on_virtual_clock(
        run_open_trial(FakeShopClient(lambda number: 0.5), duration_s=None, during=stop)
    ).record
    assert record.window.planned == record.window.finished == pytest.approx(420, abs=1)
    assert record.window_ns == pytest.approx(4.2 * NS_PER_S, rel=0.01)


def test_a_rate_edited_while_running_changes_the_arrivals_and_drops_the_hash() -> None:
    async def edit(driver: Driver) -> None:
        await asyncio.sleep(5)
        driver.change(300)

    driver = run_on_virtual_clock(run_open_trial(FakeShopClient(), during=edit))
    assert driver.record.window.sent == pytest.approx(500 + 1500, abs=4)
    assert driver.plan_hash == ""


def test_a_rate_of_nothing_waits_for_the_end_of_the_window() -> None:
    async def edit(driver: Driver) -> None:
        await asyncio.sleep(5)
        driver.change(0)

    record = run_on_virtual_clock(run_open_trial(FakeShopClient(), during=edit)).record
    assert record.window.sent == pytest.approx(500, abs=1)
    assert record.window_ns == 10 * NS_PER_S


def test_the_same_plan_sends_the_same_orders() -> None:
    one, other = FakeShopClient(), FakeShopClient()
    assert (
        run_on_virtual_clock(run_open_trial(one)).plan_hash
        == run_on_virtual_clock(run_open_trial(other)).plan_hash
        != ""
    )
    assert one.orders == other.orders == [f"t-{number}" for number in range(1000)]


def test_an_outcome_that_was_not_planned_is_counted() -> None:
    class Mixes(FakeShopClient):
        async def _finish(self, order: PlaceOrder, takes_s: float) -> Finished:
            finished = await super()._finish(order, takes_s)
            if order.order.order_id == "t-3":
                return Finished(OrderClosed(order.order, "rejected", 0, "", "why not"), finished.at_ns)
            if order.order.order_id == "t-4":
                other = dataclasses.replace(order.order, order_id="t-5")
                return Finished(OrderClosed(other, "shipped", 100, "RR1", ""), finished.at_ns)
            return finished

    record = run_on_virtual_clock(run_open_trial(Mixes())).record
    assert record.unexpected == 2
    assert (record.shipped_in_window, record.rejected_in_window) == (999, 1)


def test_every_order_of_the_window_is_told_as_it_ends_with_its_four_instants() -> None:
    told: list[tuple[int, str, int, int, int, int]] = []

    class Fails(FakeShopClient):
        async def submit(self, order: PlaceOrder) -> Receipt:
            receipt = await super().submit(order)
            if order.order.order_id == "t-1":
                raise NotAccepted("no")
            return receipt

    def takes_s(number: int) -> float:
        return 60.0 if number == 202 else 0.25

    run_on_virtual_clock(
        run_open_trial(
            Fails(takes_s, accept_s=0.1),
            warm_up_s=2,
            duration_s=0.05,
            drain_s=5,
            raw=lambda *ended: told.append(ended),
        )
    )
    by_number = {number: (status, *instants) for number, status, *instants in told}
    assert {number: status for number, (status, *_) in by_number.items()} == {
        0: "finished",
        1: "failed",
        2: "unfinished",
        3: "finished",
        4: "finished",
    }
    _, planned_ns, sent_ns, accepted_ns, finished_ns = by_number[0]
    assert [at_ns - planned_ns for at_ns in (sent_ns, accepted_ns, finished_ns)] == [0, NS_PER_S // 10, NS_PER_S // 4]


def test_an_order_that_was_not_sent_is_told_too() -> None:
    told: list[tuple[int, str, int, int, int, int]] = []
    run_on_virtual_clock(
        run_open_trial(
            FakeShopClient(lambda number: 1.0), duration_s=0.05, in_flight_cap=4, raw=lambda *ended: told.append(ended)
        )
    )
    (left_out,) = [ended for ended in told if ended[1] == "not_sent"]
    assert (left_out[0], left_out[3:]) == (4, (0, 0, 0))
    assert sorted(number for number, *_ in told) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("accepted_off_ns", "finished_off_ns"), [(0, -NS_PER_S), (0, NS_PER_S), (-NS_PER_S, 0), (NS_PER_S, 0)]
)
def test_a_transport_with_another_clock_ends_the_trial_with_a_sentence(
    accepted_off_ns: int, finished_off_ns: int
) -> None:
    class Elsewhere(FakeShopClient):
        async def submit(self, order: PlaceOrder) -> Receipt:
            receipt = await super().submit(order)
            done: asyncio.Future[Finished] = asyncio.get_running_loop().create_future()
            finished = await receipt.finished
            done.set_result(Finished(finished.outcome, finished.at_ns + finished_off_ns))
            return Receipt(receipt.accepted_ns + accepted_off_ns, done)

    with pytest.raises(ClockMismatchError, match=r"are not time\.monotonic_ns"):
        run_on_virtual_clock(run_open_trial(Elsewhere()))


@pytest.mark.parametrize("answer", [None, 7, Finished(None, 0)])  # type: ignore[arg-type]
def test_what_is_no_outcome_ends_the_trial_and_is_raised(answer: Any) -> None:
    class Odd(FakeShopClient):
        async def _finish(self, order: PlaceOrder, takes_s: float) -> Finished:
            if isinstance(answer, Finished):
                return Finished(answer.outcome, read_virtual_clock_ns())
            return answer  # type: ignore[no-any-return]

    with pytest.raises(AttributeError, match="has no attribute"):
        run_on_virtual_clock(run_open_trial(Odd()))


def test_a_disk_that_is_full_for_the_raw_orders_ends_the_trial() -> None:
    def write(*ended: object) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        run_on_virtual_clock(run_open_trial(FakeShopClient(), raw=write))


def test_a_defect_ends_the_trial_and_is_raised() -> None:
    class Broken(FakeShopClient):
        async def submit(self, order: PlaceOrder) -> Receipt:
            if len(self.orders) == 10:
                raise ZeroDivisionError("a defect")
            return await super().submit(order)

    stub = Broken()
    with pytest.raises(ZeroDivisionError, match="a defect"):
        run_on_virtual_clock(run_open_trial(stub))
    assert len(stub.orders) == 10


def test_a_cancelled_trial_leaves_no_order_behind() -> None:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        assert runner.run(_driver_cancelled()) == 0


async def _driver_cancelled() -> int:
    workload = Workload(prefix="t", seed=1, payload_bytes=512)
    schedule = Schedule("constant", seed="1", orders_per_s=100, duration_s=10)
    stub = FakeShopClient(lambda number: 3600)
    driver = OpenDriver(
        stub, workload, Phases(duration_s=10), schedule, clock=read_virtual_clock_ns, pacer=build_virtual_pacer
    )
    running = asyncio.ensure_future(driver.run())
    await asyncio.sleep(3)
    orders = [task for task in asyncio.all_tasks() if "_carry" in repr(task.get_coro())]
    assert len(orders) > 100
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    return sum(not task.done() for task in orders)


class Stubborn(FakeShopClient):
    """A client one of whose orders takes no cancellation for an answer."""

    def __init__(self, stubborn: int, ends_after_s: float = 60) -> None:
        super().__init__()
        self.stubborn, self.ends_after_s = stubborn, ends_after_s

    async def submit(self, order: PlaceOrder) -> Receipt:
        receipt = await super().submit(order)
        if len(self.orders) - 1 == self.stubborn:
            until_s = asyncio.get_running_loop().time() + self.ends_after_s
            while (left_s := until_s - asyncio.get_running_loop().time()) > 0:
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.sleep(left_s)
        return receipt


def test_an_order_that_cannot_be_cancelled_is_left_behind_and_not_counted_again_when_it_ends() -> None:
    took_s = 0.0

    async def trial() -> Driver:
        nonlocal took_s
        began_ns = read_virtual_clock_ns()
        driver = await run_open_trial(Stubborn(999), drain_s=3, deadline_s=3)
        took_s = (read_virtual_clock_ns() - began_ns) / NS_PER_S
        await asyncio.sleep(100)
        return driver

    driver = run_on_virtual_clock(trial())
    assert took_s == pytest.approx(10 + 3 + 1, abs=0.1)
    assert driver.left_behind == 1
    record = driver.record
    assert (record.window.planned, record.window.finished, record.window.unfinished) == (1000, 999, 1)
    assert (record.all.unfinished, record.finish.censored, record.accept.censored) == (1, 1, 1)
    record.all.check()


def test_a_cancellation_by_the_client_library_is_a_failure_with_its_name() -> None:
    class Cancels(FakeShopClient):
        async def submit(self, order: PlaceOrder) -> Receipt:
            if len(self.orders) % 10 == 0:
                self.orders.append("")
                raise asyncio.CancelledError
            return await super().submit(order)

    record = run_on_virtual_clock(run_open_trial(Cancels())).record
    assert record.failures == {"CancelledError": 100}
    assert (record.window.planned, record.window.failed, record.window.unfinished) == (1000, 100, 0)

"""The driver on a virtual clock: hours pass in milliseconds, and every number is exact."""

import asyncio
import dataclasses
import gc
import itertools
import selectors
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest

from bench.load.arrivals import Schedule
from bench.load.closed import ClosedDriver
from bench.load.driver import Driver, OtherClock, Phases
from bench.load.open import OpenDriver
from bench.load.pacer import LoopPacer, Pacer
from bench.load.raw import Write
from bench.workload import Mix, Workload
from shop.messages import OrderClosed, PlaceOrder
from transports.base import Client, Finished, Receipt
from transports.errors import Failed, NotAccepted

S = 1_000_000_000
ALL_SHIP = Mix(sold_out=0, declined=0)


class _Jump(selectors.SelectSelector):
    """Waits by moving the loop's clock."""

    now_s = 100.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        assert ready or timeout is not None, "everything waits for something that will not come"
        if not ready and timeout:
            self.now_s += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._jump = _Jump()
        super().__init__(self._jump)

    def time(self) -> float:
        return self._jump.now_s


def now_ns() -> int:
    return round(asyncio.get_running_loop().time() * S)


def virtual_pacer(wake: Callable[[], None]) -> Pacer:
    return LoopPacer(wake, now_ns)


def run(work: Coroutine[Any, Any, Driver]) -> Driver:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(work)


class Stub(Client):
    """A shop whose orders take as long as ``takes_s`` says and end as planned."""

    def __init__(self, takes_s: Callable[[int], float] = lambda number: 0.001, accept_s: float = 0.0) -> None:
        self.takes_s = takes_s
        self.accept_s = accept_s
        self.orders: list[str] = []

    async def submit(self, order: PlaceOrder) -> Receipt:
        number = len(self.orders)
        self.orders.append(order.order.order_id)
        finished = asyncio.ensure_future(self._finish(order, self.takes_s(number)))
        await asyncio.sleep(self.accept_s)
        return Receipt(now_ns(), finished)

    async def _finish(self, order: PlaceOrder, takes_s: float) -> Finished:
        await asyncio.sleep(takes_s)
        return Finished(OrderClosed(order.order, "shipped", 100, "RR1", ""), now_ns())


async def open_trial(
    client: Client,
    *,
    orders_per_s: float = 100,
    warm_up_s: float = 0,
    duration_s: float | None = 10,
    during: Callable[[Driver], Awaitable[None]] | None = None,
    raw: Write | None = None,
    **phases: Any,
) -> Driver:
    driver = OpenDriver(
        client,
        Workload(prefix="t", seed=1, payload_bytes=512, mix=ALL_SHIP),
        Phases(warm_up_s=warm_up_s, duration_s=duration_s, **phases),
        Schedule("constant", seed="1", orders_per_s=orders_per_s, duration_s=duration_s),
        clock=now_ns,
        pacer=virtual_pacer,
        raw=raw,
        warm_up=Schedule("constant", seed="1", orders_per_s=orders_per_s),
    )
    running = asyncio.ensure_future(driver.run())
    if during is not None:
        await during(driver)
    await running
    return driver


async def closed_trial(client: Client, users: int, **phases: Any) -> Driver:
    workload = Workload(prefix="t", seed=1, payload_bytes=512, mix=ALL_SHIP)
    driver = ClosedDriver(client, workload, Phases(**phases), users, clock=now_ns, pacer=virtual_pacer)
    await driver.run()
    return driver


def test_every_order_is_sent_when_it_is_due_and_counted() -> None:
    record = run(open_trial(Stub())).record
    window = record.window
    assert (window.planned, window.sent, window.accepted, window.finished) == (1000, 1000, 1000, 1000)
    assert record.lateness.percentile_us(100) == 0
    assert record.finish.percentile_us(50) == pytest.approx(1000, abs=2)


def test_response_counts_from_when_the_order_was_planned() -> None:
    """A shop of one clerk who is away for one second: who came meanwhile waited, and it shows."""

    started_ns = 0

    class Stalls(Stub):
        async def submit(self, order: PlaceOrder) -> Receipt:
            gone_s = (now_ns() - started_ns) / S
            if 5 <= gone_s < 6:
                await asyncio.sleep(6 - gone_s)
            return await super().submit(order)

    async def trial() -> Driver:
        nonlocal started_ns
        started_ns = now_ns()
        return await open_trial(Stalls())

    record = run(trial()).record
    assert record.window.finished == 1000
    assert record.finish.percentile_us(89.9) == pytest.approx(1000, abs=2)
    # A tenth of the orders came during the second and waited for what was left of it, evenly from none to all.
    assert record.finish.percentile_us(95) == pytest.approx(500_000, rel=0.05)
    assert record.finish.percentile_us(100) == pytest.approx(1_000_000, rel=0.05)


def test_orders_in_flight_are_averaged_over_the_time_of_the_window() -> None:
    record = run(open_trial(Stub(lambda number: 0.25), warm_up_s=2)).record
    # 100 a second, each a quarter of a second under way; those of the warm-up are there when the window opens.
    assert record.in_flight_ns / record.window_ns == pytest.approx(25, abs=0.1)
    assert record.response_ns / record.window.finished == pytest.approx(0.25 * S)
    assert record.service_ns == record.response_ns  # nothing is late on a virtual clock


def test_orders_in_flight_are_averaged_over_twelfths_of_the_window() -> None:
    stub = Stub(lambda number: 100.0)
    record = run(open_trial(stub, warm_up_s=1, duration_s=6, drain_s=200, deadline_s=200)).record
    assert len(record.in_flight_slices) == 12
    assert sum(record.in_flight_slices) / 12 == pytest.approx(record.in_flight_ns / record.window_ns, rel=0.01)
    # Nothing finishes in the window, and 50 more come in every half second.
    steps = [b - a for a, b in itertools.pairwise(record.in_flight_slices)]
    assert steps == pytest.approx([50] * 11, abs=1)


@pytest.mark.parametrize("phases", [{"drain_s": 1}, {"drain_s": 9, "deadline_s": 2}])
def test_orders_that_never_end_are_no_growing_backlog(phases: dict[str, float]) -> None:
    stub = Stub(lambda number: 0.05 if number % 10 else 1000.0)
    record = run(open_trial(stub, warm_up_s=1, duration_s=6, **phases)).record
    assert record.window.unfinished == 60
    assert record.in_flight_slices == pytest.approx([0.9 * 100 * 0.05] * 12, abs=0.6)


@pytest.mark.parametrize(
    "takes_s",
    [
        pytest.param(lambda number: 0.05, id="steady"),
        pytest.param(lambda number: 0.05 * number, id="ever slower"),
        pytest.param(lambda number: 0.05 if number % 10 else 1000.0, id="some never end"),
    ],
)
def test_what_is_in_flight_is_what_the_orders_instants_come_to(takes_s: Callable[[int], float]) -> None:
    record = run(open_trial(Stub(takes_s), warm_up_s=1, duration_s=6, drain_s=3)).record
    assert record.in_flight_ns == pytest.approx(record.sojourn_ns + record.in_flight_lost_ns, rel=1e-6)


def test_a_transport_that_dates_outcomes_back_breaks_littles_law() -> None:
    class Early(Stub):
        async def _finish(self, order: PlaceOrder, takes_s: float) -> Finished:
            finished = await super()._finish(order, takes_s)
            return Finished(finished.outcome, finished.at_ns - round(takes_s * S / 2))

    record = run(open_trial(Early(lambda number: 0.05))).record
    assert record.in_flight_ns == pytest.approx(2 * (record.sojourn_ns + record.in_flight_lost_ns), rel=0.01)


def test_gaps_between_sends_and_between_plans_are_kept_side_by_side() -> None:
    class Blocks(Stub):
        async def submit(self, order: PlaceOrder) -> Receipt:
            if len(self.orders) % 10 == 0:
                asyncio.get_running_loop()._jump.now_s += 0.05  # type: ignore[attr-defined]
            return await super().submit(order)

    even, bunched = run(open_trial(Stub())).record, run(open_trial(Blocks())).record
    assert even.gap_planned.counts() == even.gap_sent.counts()
    assert (even.gap_sent.count, bunched.gap_sent.count) == (999, 999)
    assert bunched.gap_planned.counts() == even.gap_planned.counts()
    assert bunched.gap_sent.counts()[0] > 300


def test_a_client_that_holds_the_loop_makes_orders_late_and_says_so() -> None:
    class Blocks(Stub):
        async def submit(self, order: PlaceOrder) -> Receipt:
            if not self.orders:
                loop = asyncio.get_running_loop()
                assert isinstance(loop, VirtualLoop)
                loop._jump.now_s += 0.5
            return await super().submit(order)

    record = run(open_trial(Blocks())).record
    assert record.lateness.percentile_us(100) == pytest.approx(490_000, rel=0.03)
    assert (record.finish_service.percentile_us(90) or 0) < 2_000
    assert (record.accept_service.percentile_us(90) or 0) < 2_000
    assert record.window.sent == 1000
    # In flight is what was sent, so that Little's law goes with the time from sent.
    assert record.in_flight_ns == pytest.approx(record.service_ns, rel=0.01)
    assert record.response_ns > 2 * record.service_ns


def test_nothing_gates_sending_but_the_cap_and_what_is_over_it_counts_as_infinite() -> None:
    record = run(open_trial(Stub(lambda number: 3600), in_flight_cap=600, drain_s=1, deadline_s=7200)).record
    window = record.window
    assert (window.planned, window.sent, window.not_sent, window.unfinished) == (1000, 600, 400, 600)
    assert record.in_flight_max == 600
    assert record.lateness.censored == 400
    assert (record.finish.count, record.finish.censored) == (0, 1000)


def test_an_order_that_is_not_sent_leaves_the_others_as_planned() -> None:
    stub = Stub(lambda number: 0.015)
    run(open_trial(stub, in_flight_cap=1, duration_s=1))
    assert stub.orders == [f"t-{number}" for number in range(0, 100, 2)]


def test_accepted_and_finished_are_two_instants() -> None:
    record = run(open_trial(Stub(lambda number: 0.2, accept_s=0.05))).record
    assert record.accept.percentile_us(50) == pytest.approx(50_000, rel=0.01)
    assert record.finish.percentile_us(50) == pytest.approx(200_000, rel=0.01)


def test_warm_up_is_audited_but_neither_counted_nor_timed() -> None:
    record = run(open_trial(Stub(), warm_up_s=5, duration_s=10)).record
    assert record.window.planned == record.finish.count == 1000
    assert record.all.planned == record.shipped.count == 1500


def warmed_up(stub: Stub, **phases: float) -> Driver:
    return run(open_trial(stub, warm_up_s=2, warm_up_max_s=10, duration_s=1, **phases))


def test_a_warm_up_in_which_nothing_rises_or_falls_ends_after_five_looks() -> None:
    record = warmed_up(Stub(lambda number: 0.1 + number % 7 / 100)).record
    assert record.steady
    assert record.warm_up_ns / S == pytest.approx(2.5, abs=0.02)


def test_a_warm_up_goes_on_while_responses_still_fall() -> None:
    record = warmed_up(Stub(lambda number: 0.01 + max(0.0, 0.4 - number / 1000))).record
    assert record.steady
    assert 4 < record.warm_up_ns / S < 8


def test_a_warm_up_that_does_not_settle_ends_at_its_cap_and_says_so() -> None:
    record = warmed_up(Stub(lambda number: number / 1000)).record
    assert not record.steady
    assert record.warm_up_ns / S == pytest.approx(10, abs=0.02)


def test_a_warm_up_at_a_rate_too_low_to_look_often_ends_at_its_cap_too() -> None:
    assert warmed_up(Stub(), tick_s=20).record.warm_up_ns / S == pytest.approx(10, abs=0.02)


def test_a_warm_up_without_a_single_answer_is_not_steady() -> None:
    record = warmed_up(Stub(lambda number: 60.0), drain_s=1).record
    assert not record.steady


@pytest.mark.parametrize("stub", [Stub(), Stub(lambda number: number / 1000)], ids=["steady", "not steady"])
def test_the_window_sends_the_same_orders_however_long_the_warm_up_was(stub: Stub) -> None:
    driver = warmed_up(stub)
    assert [order_id for order_id in stub.orders if "--" not in order_id] == [f"t-{number}" for number in range(100)]
    assert stub.orders[:2] == ["t--1", "t--2"]
    assert driver.plan_hash == run(open_trial(Stub(), duration_s=1)).plan_hash


def test_a_trial_that_is_stopped_in_its_warm_up_has_no_window() -> None:
    async def stop(driver: Driver) -> None:
        await asyncio.sleep(1)
        driver.stop()

    record = run(open_trial(Stub(), warm_up_s=2, warm_up_max_s=10, during=stop)).record
    assert (record.window.planned, record.window_ns) == (0, 0)
    assert record.all.planned == record.shipped.count > 90


def test_a_window_that_would_open_while_the_stopped_trial_drains_does_not() -> None:
    edges: list[float] = []

    async def stop(driver: Driver) -> None:
        driver._at_edge = lambda: edges.append(now_ns() / S)
        await asyncio.sleep(1)
        driver.stop()

    record = run(open_trial(Stub(lambda number: 5.0), warm_up_s=2, during=stop)).record
    assert record.shipped.count == record.all.planned
    assert (edges, record.in_flight_slices) == ([], [])


def test_a_rate_edited_in_the_warm_up_holds_in_the_window_too() -> None:
    async def double(driver: Driver) -> None:
        await asyncio.sleep(1)
        driver.change(200)

    driver = run(open_trial(Stub(), warm_up_s=2, duration_s=10, during=double))
    assert driver.record.window.planned == 2000
    assert driver.record.all.planned == pytest.approx(100 + 200 + 2000, abs=2)
    assert driver.plan_hash == ""


def test_the_window_is_as_long_as_asked_although_the_last_order_came_sooner() -> None:
    record = run(open_trial(Stub(), orders_per_s=1, duration_s=10)).record
    assert record.window_ns == 10 * S


def test_what_finishes_after_the_window_is_no_throughput() -> None:
    record = run(open_trial(Stub(lambda number: 4), duration_s=10)).record
    assert record.window.finished == 1000
    assert record.finished_within == pytest.approx(600, abs=1)


def test_errors_are_counted_by_name_and_censored() -> None:
    class Fails(Stub):
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

    record = run(open_trial(Fails())).record
    assert record.failures == {"NotAccepted": 100, "Failed": 100}
    assert (record.window.failed, record.window.accepted, record.window.finished) == (200, 900, 800)
    assert (record.accept.censored, record.finish.censored) == (100, 200)


def test_an_order_over_its_deadline_ends_as_unfinished_while_others_go_on() -> None:
    stub = Stub(lambda number: 3600 if number == 0 else 0.001)
    record = run(open_trial(stub, duration_s=20, deadline_s=3, drain_s=0)).record
    assert (record.window.unfinished, record.window.accepted_unfinished) == (1, 1)
    assert record.window.finished == 1999


def test_the_drain_waits_for_the_slowest_and_no_longer() -> None:
    took_s = 0.0

    async def trial() -> Driver:
        nonlocal took_s
        began_ns = now_ns()
        driver = await open_trial(Stub(lambda number: 7 if number == 999 else 0.001), drain_s=30)
        took_s = (now_ns() - began_ns) / S
        return driver

    record = run(trial()).record
    assert record.window.unfinished == 0
    assert took_s == pytest.approx(17, abs=0.1)


def test_the_drain_ends_what_never_finishes() -> None:
    record = run(open_trial(Stub(lambda number: 3600 if number >= 990 else 0.001), drain_s=5)).record
    assert (record.window.finished, record.window.accepted_unfinished) == (990, 10)
    assert record.finish.censored == 10


def test_stopping_ends_an_endless_trial_with_all_orders_accounted_for() -> None:
    async def stop(driver: Driver) -> None:
        await asyncio.sleep(4.2)
        driver.stop()

    record = run(open_trial(Stub(lambda number: 0.5), duration_s=None, during=stop)).record
    assert record.window.planned == record.window.finished == pytest.approx(420, abs=1)
    assert record.window_ns == pytest.approx(4.2 * S, rel=0.01)


def test_a_rate_edited_while_running_changes_the_arrivals_and_drops_the_hash() -> None:
    async def edit(driver: Driver) -> None:
        await asyncio.sleep(5)
        driver.change(300)

    driver = run(open_trial(Stub(), during=edit))
    assert driver.record.window.sent == pytest.approx(500 + 1500, abs=4)
    assert driver.plan_hash == ""


def test_a_rate_of_nothing_waits_for_the_end_of_the_window() -> None:
    async def edit(driver: Driver) -> None:
        await asyncio.sleep(5)
        driver.change(0)

    record = run(open_trial(Stub(), during=edit)).record
    assert record.window.sent == pytest.approx(500, abs=1)
    assert record.window_ns == 10 * S


def test_the_same_plan_sends_the_same_orders() -> None:
    one, other = Stub(), Stub()
    assert run(open_trial(one)).plan_hash == run(open_trial(other)).plan_hash != ""
    assert one.orders == other.orders == [f"t-{number}" for number in range(1000)]


def test_an_outcome_that_was_not_planned_is_counted() -> None:
    class Mixes(Stub):
        async def _finish(self, order: PlaceOrder, takes_s: float) -> Finished:
            finished = await super()._finish(order, takes_s)
            if order.order.order_id == "t-3":
                return Finished(OrderClosed(order.order, "rejected", 0, "", "why not"), finished.at_ns)
            if order.order.order_id == "t-4":
                other = dataclasses.replace(order.order, order_id="t-5")
                return Finished(OrderClosed(other, "shipped", 100, "RR1", ""), finished.at_ns)
            return finished

    record = run(open_trial(Mixes())).record
    assert record.unexpected == 2
    assert (record.shipped_in_window, record.rejected_in_window) == (999, 1)


def test_every_order_of_the_window_is_told_as_it_ends_with_its_four_instants() -> None:
    told: list[tuple[int, str, int, int, int, int]] = []

    class Fails(Stub):
        async def submit(self, order: PlaceOrder) -> Receipt:
            receipt = await super().submit(order)
            if order.order.order_id == "t-1":
                raise NotAccepted("no")
            return receipt

    def takes_s(number: int) -> float:
        return 60.0 if number == 202 else 0.25

    run(
        open_trial(
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
    assert [at_ns - planned_ns for at_ns in (sent_ns, accepted_ns, finished_ns)] == [0, S // 10, S // 4]


def test_an_order_that_was_not_sent_is_told_too() -> None:
    told: list[tuple[int, str, int, int, int, int]] = []
    run(open_trial(Stub(lambda number: 1.0), duration_s=0.05, in_flight_cap=4, raw=lambda *ended: told.append(ended)))
    (left_out,) = [ended for ended in told if ended[1] == "not_sent"]
    assert (left_out[0], left_out[3:]) == (4, (0, 0, 0))
    assert sorted(number for number, *_ in told) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(("accepted_off_ns", "finished_off_ns"), [(0, -S), (0, S), (-S, 0), (S, 0)])
def test_a_transport_with_another_clock_ends_the_trial_with_a_sentence(
    accepted_off_ns: int, finished_off_ns: int
) -> None:
    class Elsewhere(Stub):
        async def submit(self, order: PlaceOrder) -> Receipt:
            receipt = await super().submit(order)
            done: asyncio.Future[Finished] = asyncio.get_running_loop().create_future()
            finished = await receipt.finished
            done.set_result(Finished(finished.outcome, finished.at_ns + finished_off_ns))
            return Receipt(receipt.accepted_ns + accepted_off_ns, done)

    with pytest.raises(OtherClock, match=r"are not time\.monotonic_ns"):
        run(open_trial(Elsewhere()))


@pytest.mark.parametrize("answer", [None, 7, Finished(None, 0)])  # type: ignore[arg-type]
def test_what_is_no_outcome_ends_the_trial_and_is_raised(answer: Any) -> None:
    class Odd(Stub):
        async def _finish(self, order: PlaceOrder, takes_s: float) -> Finished:
            if isinstance(answer, Finished):
                return Finished(answer.outcome, now_ns())
            return answer  # type: ignore[no-any-return]

    with pytest.raises(AttributeError, match="has no attribute"):
        run(open_trial(Odd()))


def test_a_disk_that_is_full_for_the_raw_orders_ends_the_trial() -> None:
    def write(*ended: object) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        run(open_trial(Stub(), raw=write))


def test_a_defect_ends_the_trial_and_is_raised() -> None:
    class Broken(Stub):
        async def submit(self, order: PlaceOrder) -> Receipt:
            if len(self.orders) == 10:
                raise ZeroDivisionError("a defect")
            return await super().submit(order)

    stub = Broken()
    with pytest.raises(ZeroDivisionError, match="a defect"):
        run(open_trial(stub))
    assert len(stub.orders) == 10


def test_a_cancelled_trial_leaves_no_order_behind() -> None:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        assert runner.run(_driver_cancelled()) == 0


async def _driver_cancelled() -> int:
    workload = Workload(prefix="t", seed=1, payload_bytes=512)
    schedule = Schedule("constant", seed="1", orders_per_s=100, duration_s=10)
    stub = Stub(lambda number: 3600)
    driver = OpenDriver(stub, workload, Phases(duration_s=10), schedule, clock=now_ns, pacer=virtual_pacer)
    running = asyncio.ensure_future(driver.run())
    await asyncio.sleep(3)
    orders = [task for task in asyncio.all_tasks() if "_carry" in repr(task.get_coro())]
    assert len(orders) > 100
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    return sum(not task.done() for task in orders)


def test_looping_clients_order_again_as_soon_as_they_are_told() -> None:
    record = run(closed_trial(Stub(lambda number: 0.1), 5, duration_s=10)).record
    assert record.window.finished == pytest.approx(500, abs=5)
    assert record.in_flight_max == 5
    assert record.lateness.percentile_us(100) == 0


def test_looping_clients_are_added_and_withdrawn_while_they_run() -> None:
    async def trial() -> Driver:
        workload = Workload(prefix="t", seed=1, payload_bytes=512, mix=ALL_SHIP)
        stub = Stub(lambda number: 0.1)
        driver = ClosedDriver(stub, workload, Phases(duration_s=9), 1, clock=now_ns, pacer=virtual_pacer)
        running = asyncio.ensure_future(driver.run())
        await asyncio.sleep(3)
        driver.change(5)
        await asyncio.sleep(3)
        driver.change(2)
        await running
        return driver

    assert run(trial()).record.window.finished == pytest.approx(30 + 150 + 60, abs=6)


def test_a_failing_shop_does_not_stop_looping_clients() -> None:
    class Refuses(Stub):
        async def submit(self, order: PlaceOrder) -> Receipt:
            await asyncio.sleep(0.1)
            raise NotAccepted("no")

    record = run(closed_trial(Refuses(), 2, duration_s=10)).record
    assert record.window.failed == pytest.approx(200, abs=4)


def test_garbage_is_not_collected_in_the_window_and_is_afterwards() -> None:
    seen: list[bool] = []

    class Looks(Stub):
        async def submit(self, order: PlaceOrder) -> Receipt:
            seen.append(gc.isenabled())
            return await super().submit(order)

    assert gc.isenabled()
    run(open_trial(Looks()))
    assert set(seen) == {False}
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0


def test_the_edges_of_the_window_are_told() -> None:
    edges: list[float] = []

    async def trial() -> Driver:
        workload = Workload(prefix="t", seed=1, payload_bytes=512)
        schedule = Schedule("constant", seed="1", orders_per_s=10, duration_s=10)
        began_ns = now_ns()
        driver = OpenDriver(
            Stub(),
            workload,
            Phases(warm_up_s=5, duration_s=10),
            schedule,
            clock=now_ns,
            pacer=virtual_pacer,
            at_edge=lambda: edges.append((now_ns() - began_ns) / S),
        )
        await driver.run()
        return driver

    run(trial())
    assert edges == pytest.approx([5, 15], abs=0.01)

"""Tests how a service processes a message: calls, answers on the way back, group commit."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import pytest_asyncio

from shop.factory import open_service
from shop.messages import (
    Message,
    OrderClosed,
    OrderPlaced,
    OrderShipped,
    OutOfStock,
    PaymentDeclined,
    PaymentTaken,
    PlaceOrder,
    StockReleased,
    StockReserved,
)
from shop.payments import DECLINED_CARD, PaymentService
from shop.service import Handler, Service
from shop.store import Decision, MemoryStore, StoreUnavailable
from shop.workflow import SERVICES
from tests.conftest import build_order
from transports.dispatch import MessageProcessor, OrdersInHand, handle_in_chain
from transports.errors import Failed, Unavailable, Unreachable
from transports.wire import load_codec

ORDER = build_order()
JSON = load_codec("json")


@dataclass
class Asked:
    """Stands for the services further along: notes what it is asked and answers as told."""

    answers: Mapping[type[Message], Message]
    asked: list[tuple[str, Message]] = field(default_factory=list)

    async def __call__(self, service: str, message: Message) -> bytes:
        self.asked.append((service, message))
        return JSON.encode_answer(self.answers[type(message)])


async def answered(service: str, message: Message, ask: Asked) -> Message:
    async with MessageProcessor(open_service(service)) as processor:
        return JSON.decode_answer(await handle_in_chain(processor, JSON, message, ask))


# Who is asked, and who handles what comes back


async def test_a_fact_for_a_service_onward_is_asked_there() -> None:
    ask = Asked({OrderPlaced: OrderShipped(ORDER, 5, "RR1")})
    await answered("user", PlaceOrder(ORDER), ask)
    assert ask.asked == [("product", OrderPlaced(ORDER, "user-0001@buyers.example"))]


async def test_what_comes_back_for_the_asker_is_handled_by_the_asker() -> None:
    ask = Asked({OrderPlaced: OrderShipped(ORDER, 5, "RR1")})
    assert await answered("user", PlaceOrder(ORDER), ask) == OrderClosed(ORDER, "shipped", 5, "RR1", "")


async def test_what_comes_back_for_a_service_upstream_is_passed_back() -> None:
    ask = Asked({StockReserved: OrderShipped(ORDER, 5, "RR1")})
    assert await answered("product", OrderPlaced(ORDER, "a@b"), ask) == OrderShipped(ORDER, 5, "RR1")
    assert [service for service, _ in ask.asked] == ["payment"]


async def test_what_comes_back_for_a_service_upstream_is_not_opened() -> None:
    sealed = JSON.encode_answer(ORDER_SHIPPED)[:40]  # says what it is, and breaks off

    async def ask(service: str, message: Message) -> bytes:
        return sealed

    async with MessageProcessor(open_service("product")) as processor:
        assert await handle_in_chain(processor, JSON, OrderPlaced(ORDER, "a@b"), ask) is sealed


async def test_a_fact_for_a_service_upstream_is_the_answer_and_nobody_is_asked() -> None:
    ask = Asked({})
    assert isinstance(await answered("shipping", PaymentTaken(ORDER, 5, "PAY-1"), ask), OrderShipped)
    sold_out = await answered(
        "product", OrderPlaced(build_order(lines=()), "a@b"), Asked({StockReserved: ORDER_SHIPPED})
    )
    assert sold_out == ORDER_SHIPPED
    assert not ask.asked


ORDER_SHIPPED = OrderShipped(ORDER, 0, "RR1")


async def test_a_declined_payment_is_handled_by_product_on_the_way_back() -> None:
    service = open_service("product")
    before = service.store.quantity("SKU-0003")
    ask = Asked({StockReserved: PaymentDeclined(ORDER, 5, "no money")})
    async with MessageProcessor(service) as processor:
        content = await handle_in_chain(processor, JSON, OrderPlaced(ORDER, "a@b"), ask)
    assert JSON.decode_answer(content) == StockReleased(ORDER, "no money")
    assert service.store.quantity("SKU-0003") == before
    assert service.audit()["stock-released"].count == 1


async def test_a_declined_payment_is_not_released_by_payment_itself() -> None:
    declined = await answered("payment", StockReserved(build_order(card=DECLINED_CARD), 5), Asked({}))
    assert isinstance(declined, PaymentDeclined)


async def test_out_of_stock_is_closed_by_user() -> None:
    ask = Asked({OrderPlaced: OutOfStock(ORDER, "sold out")})
    assert await answered("user", PlaceOrder(ORDER), ask) == OrderClosed(ORDER, "rejected", 0, "", "sold out")


async def test_an_outcome_from_further_along_is_passed_on_as_it_is() -> None:
    closed = OrderClosed(ORDER, "rejected", 0, "", "odd")
    service = open_service("user")
    async with MessageProcessor(service) as processor:
        content = await handle_in_chain(processor, JSON, PlaceOrder(ORDER), Asked({OrderPlaced: closed}))
    assert JSON.decode_answer(content) == closed
    assert set(service.audit()) == {"order-placed"}


async def test_a_chain_of_four_desks_asks_each_once_and_in_order() -> None:
    asked: list[str] = []
    desks = {name: MessageProcessor(open_service(name)) for name in SERVICES}

    async def ask(service: str, message: Message) -> bytes:
        asked.append(service)
        return await handle_in_chain(desks[service], JSON, message, ask)

    closed = JSON.decode_answer(await ask("user", PlaceOrder(ORDER)))
    assert asked == ["user", "product", "payment", "shipping"]
    assert isinstance(closed, OrderClosed) and closed.status == "shipped"


@pytest.mark.parametrize("error", [Unreachable("gone"), Failed("broken")])
async def test_an_error_from_further_along_reaches_the_asker_as_it_is(error: Exception) -> None:
    async def ask(service: str, message: Message) -> bytes:
        raise error

    with pytest.raises(type(error)) as raised:
        await answered("user", PlaceOrder(ORDER), ask)  # type: ignore[arg-type]
    assert raised.value is error


async def test_an_error_from_further_along_leaves_what_was_handled_before_it() -> None:
    service = open_service("product")

    async def ask(name: str, message: Message) -> bytes:
        raise Unreachable("gone")

    async with MessageProcessor(service) as processor:
        with pytest.raises(Unreachable):
            await handle_in_chain(processor, JSON, OrderPlaced(ORDER, "a@b"), ask)
    assert service.audit()["stock-reserved"].count == 1


# A processor over memory


async def test_over_memory_handlers_run_in_the_loops_own_thread() -> None:
    threads = []

    class Spy(PaymentService):
        def _decide(self, message: StockReserved) -> Decision:
            threads.append(threading.current_thread())
            return super()._decide(message)

    async with MessageProcessor(Spy(MemoryStore())) as processor:
        await processor.handle(StockReserved(ORDER, 1))
        await processor.handle_all([StockReserved(build_order("order-2"), 1)])
    assert threads == [threading.current_thread()] * 2


async def test_over_memory_an_error_reaches_whoever_asked() -> None:
    async with MessageProcessor(open_service("payment")) as processor:
        with pytest.raises(Failed, match="payment service failed") as failed:
            await processor.handle(PlaceOrder(ORDER))
        assert isinstance(failed.value.__cause__, KeyError)
        assert isinstance(await processor.handle(StockReserved(ORDER, 1)), PaymentTaken)


# A processor over a disk


class Slow(Service):
    """A service over a disk that is as slow as the test wants, and notes its transactions."""

    name = "payment"
    blocking = True

    def __init__(self) -> None:
        super().__init__(MemoryStore())
        self.transactions: list[list[str]] = []
        self.threads: set[threading.Thread] = set()
        self.busy = threading.Event()
        self.go = threading.Event()

    def handlers(self) -> Mapping[type[Message], Handler]:
        return {StockReserved: Handler(self._decide, lambda m, d: None, self._told)}

    def _decide(self, message: StockReserved) -> Decision:
        return Decision("payment-taken", message.total_cents, message.order.order_id)

    def _told(self, message: StockReserved, decision: Decision) -> Message:
        return PaymentTaken(message.order, decision.amount_cents, decision.detail)

    def handle_all(self, messages: Iterable[Message]) -> list[Message]:
        batch = [message.order.order_id for message in messages]
        self.transactions.append(batch)
        self.threads.add(threading.current_thread())
        self.busy.set()
        assert self.go.wait(10)
        if "away" in batch and ("spoilt" not in batch or len(batch) == 1):
            raise StoreUnavailable("/secret/path is full")
        if "spoilt" in batch:
            raise ZeroDivisionError("spoilt")
        return super().handle_all(messages)


def reserved(order_id: str) -> StockReserved:
    return StockReserved(build_order(order_id), 1)


@pytest_asyncio.fixture
async def slow() -> AsyncIterator[Slow]:
    service = Slow()
    yield service
    service.go.set()


async def begun(service: Slow) -> None:
    assert await asyncio.to_thread(service.busy.wait, 10)


async def later(processor: MessageProcessor, *order_ids: str) -> list[asyncio.Task[Message]]:
    """Tasks that have all asked the processor already."""
    tasks = [asyncio.create_task(processor.handle(reserved(order_id))) for order_id in order_ids]
    await asyncio.sleep(0)
    return tasks


async def test_over_a_disk_handlers_run_in_one_thread_beside_the_loop(slow: Slow) -> None:
    slow.go.set()
    async with MessageProcessor(slow) as processor:
        for order_id in "abc":
            await processor.handle(reserved(order_id))
    assert len(slow.threads) == 1
    assert threading.current_thread() not in slow.threads


async def test_what_came_while_the_disk_was_busy_shares_one_transaction(slow: Slow) -> None:
    async with MessageProcessor(slow) as processor:
        first = await later(processor, "a")
        await begun(slow)
        rest = await later(processor, "b", "c", "d")
        slow.go.set()
        facts = await asyncio.gather(*first, *rest)
    assert slow.transactions == [["a"], ["b", "c", "d"]]
    assert [fact.order.order_id for fact in facts] == ["a", "b", "c", "d"]


async def test_batches_that_share_a_transaction_get_their_own_facts_back(slow: Slow) -> None:
    async with MessageProcessor(slow) as processor:
        first = await later(processor, "a")
        await begun(slow)
        batch = asyncio.create_task(processor.handle_all([reserved("b"), reserved("c")]))
        nothing = asyncio.create_task(processor.handle_all([]))
        single = asyncio.create_task(processor.handle(reserved("d")))
        await asyncio.sleep(0)
        slow.go.set()
        assert [fact.order.order_id for fact in await batch] == ["b", "c"]
        assert await nothing == []
        assert (await single).order.order_id == "d"
        await asyncio.gather(*first)
    assert slow.transactions == [["a"], ["b", "c", "d"]]


async def test_the_loop_goes_on_while_the_disk_is_busy(slow: Slow) -> None:
    async with MessageProcessor(slow) as processor:
        (first,) = await later(processor, "a")
        await begun(slow)
        assert not first.done()
        slow.go.set()
        assert isinstance(await first, PaymentTaken)


async def test_an_error_reaches_whoever_it_is_of_and_nobody_of_the_same_transaction(slow: Slow) -> None:
    async with MessageProcessor(slow) as processor:
        first = await later(processor, "a")
        await begun(slow)
        rest = await later(processor, "b", "spoilt", "c")
        slow.go.set()
        results = await asyncio.gather(*first, *rest, return_exceptions=True)
        assert [type(result) for result in results] == [PaymentTaken, PaymentTaken, Failed, PaymentTaken]
    assert slow.transactions == [["a"], ["b", "spoilt", "c"], ["b"], ["spoilt"], ["c"]]


async def test_a_store_that_is_away_is_so_for_all_who_wait_and_is_tried_once(slow: Slow) -> None:
    async with MessageProcessor(slow) as processor:
        first = await later(processor, "a")
        await begun(slow)
        rest = await later(processor, "b", "away", "c")
        slow.go.set()
        results = await asyncio.gather(*first, *rest, return_exceptions=True)
        assert [type(result) for result in results] == [PaymentTaken, *[Unavailable] * 3]
    assert slow.transactions == [["a"], ["b", "away", "c"]]


async def test_a_store_that_goes_away_while_each_is_tried_is_not_tried_by_those_that_follow(slow: Slow) -> None:
    async with MessageProcessor(slow) as processor:
        first = await later(processor, "a")
        await begun(slow)
        rest = await later(processor, "b", "spoilt", "away", "c")
        slow.go.set()
        results = await asyncio.gather(*first, *rest, return_exceptions=True)
        assert [type(result) for result in results] == [PaymentTaken, PaymentTaken, Failed, Unavailable, Unavailable]
    assert slow.transactions[1:] == [["b", "spoilt", "away", "c"], ["b"], ["spoilt"], ["away"]]


async def test_nobody_is_told_what_the_store_says_and_the_log_is_once(
    slow: Slow, caplog: pytest.LogCaptureFixture
) -> None:
    slow.go.set()
    async with MessageProcessor(slow) as processor:
        for _ in range(200):
            with pytest.raises(Unavailable, match=r"^the payment service cannot store anything for now") as told:
                await processor.handle(reserved("away"))
            assert "/secret/path" not in str(told.value)
    assert caplog.text.count("/secret/path") <= 3
    assert "/secret/path is full" in caplog.text
    assert "199 times" in caplog.text


async def test_an_order_in_hand_goes_on_when_its_caller_has_gone_and_is_waited_for() -> None:
    in_hand, go, done = OrdersInHand(), asyncio.Event(), []

    async def work() -> str:
        await go.wait()
        done.append("shipped")
        return "shipped"

    caller = asyncio.create_task(in_hand.run(work()))
    await asyncio.sleep(0)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    asyncio.get_running_loop().call_soon(go.set)
    await in_hand.finish()
    assert done == ["shipped"]
    assert await in_hand.run(work()) == "shipped"


async def test_a_service_further_along_that_cannot_store_is_a_failure_to_the_caller_before() -> None:
    async def ask(service: str, message: Message) -> bytes:
        raise Unavailable("the shipping service cannot store anything for now")

    with pytest.raises(Failed, match="the shipping service cannot store") as raised:
        await answered("payment", StockReserved(ORDER, 1), ask)  # type: ignore[arg-type]
    assert type(raised.value) is Failed


async def test_whoever_stops_waiting_takes_nothing_from_the_others(slow: Slow) -> None:
    async with MessageProcessor(slow) as processor:
        first = await later(processor, "a")
        await begun(slow)
        impatient, patient = await later(processor, "b", "c")
        impatient.cancel()
        slow.go.set()
        assert isinstance(await patient, PaymentTaken)
        with pytest.raises(asyncio.CancelledError):
            await impatient
        await asyncio.gather(*first)
    assert slow.transactions[1] == ["b", "c"]  # it was sent, so it is handled


async def test_whoever_stops_waiting_while_in_hand_does_not_stop_the_desk(slow: Slow) -> None:
    async with MessageProcessor(slow) as processor:
        (impatient,) = await later(processor, "a")
        await begun(slow)
        impatient.cancel()
        with pytest.raises(asyncio.CancelledError):
            await impatient
        slow.go.set()
        assert isinstance(await processor.handle(reserved("b")), PaymentTaken)


async def test_what_is_in_hand_at_exit_is_finished_first(slow: Slow) -> None:
    async with MessageProcessor(slow) as processor:
        first = await later(processor, "a")
        await begun(slow)
        rest = await later(processor, "b")
        asyncio.get_running_loop().call_soon(slow.go.set)
    assert [task.result().order.order_id for task in (*first, *rest)] == ["a", "b"]
    assert not any(thread.is_alive() for thread in slow.threads)


async def test_over_sqlite_a_fact_is_told_only_after_its_commit(tmp_path: Path) -> None:
    service = open_service("payment", folder=tmp_path)
    other = open_service("payment", folder=tmp_path)
    async with MessageProcessor(service) as processor:
        await processor.handle(reserved("a"))
        assert [order_id for order_id, _ in other.store.decisions()] == ["a"]
    service.store.close()
    other.store.close()

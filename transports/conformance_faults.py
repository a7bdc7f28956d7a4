"""Conformance checks of what a transport does with faults: a store that is away, a bad message, a buyer who has gone.

They are used as those of transports/conformance.py are.
"""

import asyncio
import threading
from collections.abc import Callable, Iterable

from shop.catalogue import SOLD_OUT_SKU
from shop.messages import Message
from shop.payments import PaymentService
from shop.service import Conflict
from shop.store import Decision, MemoryStore, StoreUnavailable
from transports.base import Acceptance, Transport
from transports.conformance import ConformanceCheck, MakeTransport, RunningShop, build_place_order, run_shop
from transports.dead_letters import FAILED, PARKED, DeadLetter
from transports.errors import Failed

_TIMEOUT_S = 20.0
_INNER_DETAIL = "/a/path/that/is/nobody's/business"


class StoreThatGoesAway(MemoryStore):
    """A store that is away for as long as it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.is_away = True
        self.tries = 0

    def find_decision(self, kind: str, order_id: str) -> Decision | None:
        self.tries += 1
        if self.is_away:
            raise StoreUnavailable(f"{_INNER_DETAIL} is full")
        return super().find_decision(kind, order_id)


def _answers(transport: Transport) -> bool:
    """Returns whether a buyer waits for the answer of a chain."""
    return transport.traits.accepted is Acceptance.ON_OUTCOME


async def check_a_store_that_is_away_for_a_while_delays_orders_and_loses_none(make: MakeTransport) -> None:
    transport, store = make(), StoreThatGoesAway()
    async with run_shop(transport, [PaymentService(store)]) as shop:
        numbers = range(40)
        if _answers(transport):
            errors = [await _fail(shop, f"order-{number}") for number in numbers]
            assert {type(error) for error in errors} == {Failed}, errors
            assert not any(_INNER_DETAIL in str(error) for error in errors)
            store.is_away = False
            outcomes = [await shop.order(build_place_order(f"order-{number}")) for number in numbers]
        else:
            waiting = [asyncio.create_task(shop.order(build_place_order(f"order-{number}"))) for number in numbers]
            await _until(lambda: store.tries >= 4)
            store.is_away = False
            outcomes = await asyncio.gather(*waiting)
        assert [outcome.status for outcome in outcomes] == ["shipped"] * 40
        assert shop.services["payment"].audit()["payment-taken"].count == 40
        assert not any(shop.serving["payment"].dead_letters.values())
        assert (await transport.read_dead_letters(10)).total == 0


async def check_a_store_that_stays_away_parks_messages_and_says_so(make: MakeTransport) -> None:
    transport, store = make(park_after_s=0.3), StoreThatGoesAway()
    if _answers(transport):
        return
    async with run_shop(transport, [PaymentService(store)]) as shop:
        waiting = {f"order-{n}": asyncio.create_task(shop.order(build_place_order(f"order-{n}"))) for n in range(20)}
        parked = shop.serving["payment"].dead_letters
        await _until(lambda: parked[PARKED] >= 2)
        store.is_away = False
        letters = await _read_dead_letters(transport, 2)
        assert {(letter.reason, letter.kind) for letter in letters} == {(PARKED, "stock-reserved")}
        lost = {letter.order_id for letter in letters}
        for order_id, task in waiting.items():
            if order_id in lost:
                task.cancel()
            else:
                assert (await task).status == "shipped"
        assert parked[PARKED] == len(lost)
        assert shop.services["shipping"].audit()["order-shipped"].count == 20 - len(lost)


async def check_a_message_that_fails_its_handler_is_alone_in_that(make: MakeTransport) -> None:
    class Picky(PaymentService):
        def _handle(self, message: Message, decided: Callable[..., None]) -> Message | Conflict:
            if message.order.order_id == "bad":
                raise ValueError(_INNER_DETAIL)
            return super()._handle(message, decided)

    transport = make()
    async with run_shop(transport, [Picky(MemoryStore())]) as shop:
        good = [build_place_order(f"order-{number}") for number in range(30)]
        waiting = [asyncio.create_task(shop.order(order)) for order in good[:15]]
        bad = asyncio.create_task(shop.order(build_place_order("bad")))
        waiting += [asyncio.create_task(shop.order(order)) for order in good[15:]]
        assert [outcome.status for outcome in await asyncio.gather(*waiting)] == ["shipped"] * 30
        if _answers(transport):
            (error,) = await asyncio.gather(bad, return_exceptions=True)
            assert type(error) is Failed and _INNER_DETAIL not in str(error), error
            assert shop.serving["payment"].failed == 1
            return
        (letter,) = await _read_dead_letters(transport, 1)
        assert (letter.reason, letter.kind, letter.order_id) == (FAILED, "stock-reserved", "bad")
        await _until(lambda: shop.serving["payment"].dead_letters[FAILED] == 1)
        assert shop.serving["payment"].failed == 1
        bad.cancel()


async def check_an_order_in_hand_goes_on_when_its_buyer_has_gone(make: MakeTransport) -> None:
    charged, go_on = threading.Event(), threading.Event()

    class Slow(PaymentService):
        blocking = True  # as for a slow disk: the processor waits in a thread

        def handle_all(self, messages: Iterable[Message]) -> list[Message | Conflict]:
            facts = super().handle_all(messages)
            charged.set()
            assert go_on.wait(_TIMEOUT_S)
            return facts

    transport = make()
    async with run_shop(transport, [Slow(MemoryStore())]) as shop:
        try:
            buyer = asyncio.create_task(shop.order(build_place_order()))
            await _until(charged.is_set)
            buyer.cancel()
            await asyncio.wait([buyer])
            for number in range(5):  # on the same connections, so that the news is there
                await shop.order(build_place_order(f"sold-out-{number}", sku=SOLD_OUT_SKU))
        finally:
            go_on.set()
        await _until(lambda: "shipped" in shop.services["user"].audit())
        assert shop.services["shipping"].audit()["order-shipped"].count == 1


async def _fail(shop: RunningShop, order_id: str) -> Exception:
    try:
        outcome = await shop.order(build_place_order(order_id))
    except Exception as error:  # noqa: BLE001 - the caller compares it
        return error
    raise AssertionError(f"an order was {outcome.status} although payment could not store it")


async def _read_dead_letters(transport: Transport, count: int) -> list[DeadLetter]:
    """Waits until there are ``count`` dead letters, and returns all."""
    found: list[DeadLetter] = []
    async with asyncio.timeout(_TIMEOUT_S):
        while len(found) < count:
            read = list((await transport.read_dead_letters(1_000)).letters)
            # Reading may take them away, and may not.
            found += [letter for letter in read if letter not in found]
            await asyncio.sleep(0.01)
    return found


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(_TIMEOUT_S):
        while not condition():  # noqa: ASYNC110 - a counter of another task or thread
            await asyncio.sleep(0.005)


FAULT_CHECKS: tuple[ConformanceCheck, ...] = (
    check_a_store_that_is_away_for_a_while_delays_orders_and_loses_none,
    check_a_store_that_stays_away_parks_messages_and_says_so,
    check_a_message_that_fails_its_handler_is_alone_in_that,
    check_an_order_in_hand_goes_on_when_its_buyer_has_gone,
)

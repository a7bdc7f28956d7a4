"""Conformance checks that every transport must pass; they use no test framework.

    for check in CHECKS:
        await check(make)

The services are over memory; ``with use_store(open_store)`` around a check has them over another store.

``make(**changes)`` builds a new transport of the kind under test, whose Setting has a trial name and addresses of its
own, and the given ``changes``. A check raises AssertionError when the transport fails it and returns None otherwise.
It leaves no queue, topic or port behind.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace

from shop.catalogue import PRICES_CENTS, PRODUCT_NAMES, SOLD_OUT_SKU
from shop.factory import open_service
from shop.messages import Message, Order, OrderClosed, OrderLine, PlaceOrder
from shop.payments import DECLINED_CARD, GOOD_CARD, PaymentService
from shop.service import Conflict, Service
from shop.store import MemoryStore, Store
from shop.users import UserService
from shop.workflow import SERVICES
from transports.base import Acceptance, Client, Finished, ServingStats, Transport
from transports.errors import NoOutcome, NotAccepted, SettingError, TooLarge, TransportError, Unreachable
from transports.wire import list_codecs

MakeTransport = Callable[..., Transport]
ConformanceCheck = Callable[[MakeTransport], Awaitable[None]]
OpenStore = Callable[[str], Store]
"""``open_store(service)`` opens an empty store."""

_open_store: ContextVar[OpenStore] = ContextVar("open_store", default=lambda service: MemoryStore())

_TIMEOUT_S = 120.0
"""The longest wait of a check for something that must come; no check measures time with it."""


@contextmanager
def use_store(open_store: OpenStore) -> Iterator[None]:
    """Context manager: the services of checks that run within it are over the stores that ``open_store`` opens."""
    before = _open_store.set(open_store)
    try:
        yield
    finally:
        _open_store.reset(before)


def _open_service(name: str, stack: AsyncExitStack) -> Service:
    service = open_service(name, store=_open_store.get()(name))
    stack.callback(service.store.close)
    return service


def build_place_order(
    order_id: str = "order-1",
    *,
    sku: str = "SKU-0003",
    card: str = GOOD_CARD,
    address: str = "3 Canal Street, Leiden",
    document: bytes = b"",
    quantity: int = 2,
) -> PlaceOrder:
    """Returns a PlaceOrder that will be shipped, unless ``sku`` or ``card`` say otherwise."""
    line = OrderLine(sku, PRODUCT_NAMES.get(sku, "Sold out"), quantity, PRICES_CENTS.get(sku, 100))
    return PlaceOrder(Order(order_id, "user-1", card, address, (line,), document))


@dataclass(slots=True)
class RunningShop:
    """The four services served over one transport, with a client."""

    client: Client
    services: dict[str, Service]
    serving: dict[str, ServingStats]

    async def order(self, order: PlaceOrder) -> OrderClosed:
        """Submits the order and returns its outcome."""
        return (await self.finish(order)).outcome

    async def finish(self, order: PlaceOrder) -> Finished:
        async with asyncio.timeout(_TIMEOUT_S):
            return await (await self.client.submit(order)).finished


@asynccontextmanager
async def run_shop(transport: Transport, services: Iterable[Service] = ()) -> AsyncIterator[RunningShop]:
    """Serves the four services over ``transport`` and opens a client; ``services`` replace those of the same name."""
    instead = {service.name: service for service in services}
    await transport.prepare()
    try:
        async with AsyncExitStack() as stack:
            chosen = {name: instead.get(name) or _open_service(name, stack) for name in SERVICES}
            serving = {
                name: await stack.enter_async_context(transport.serve(chosen[name])) for name in reversed(SERVICES)
            }
            yield RunningShop(await stack.enter_async_context(transport.connect()), chosen, serving)
    finally:
        await transport.remove()


async def check_an_order_is_shipped(make: MakeTransport) -> None:
    async with run_shop(make()) as shop:
        outcome = await shop.order(build_place_order())
    assert outcome.status == "shipped"
    assert outcome.total_cents == 2 * PRICES_CENTS["SKU-0003"]
    assert outcome.tracking_number.startswith("RR")


async def check_the_order_comes_back_as_it_was_sent(make: MakeTransport) -> None:
    address = 'Grüße, 東京 \U0001f4e6 "quoted" \\ \n' * 40
    placed = build_place_order(document=bytes(range(256)) * 40, address=address)
    async with run_shop(make()) as shop:
        outcome = await shop.order(placed)
    assert outcome.order == placed.order


async def check_a_sold_out_order_is_rejected_with_the_reason(make: MakeTransport) -> None:
    async with run_shop(make()) as shop:
        outcome = await shop.order(build_place_order(sku=SOLD_OUT_SKU))
    assert (outcome.status, outcome.reason) == ("rejected", f"{SOLD_OUT_SKU} is sold out")


async def check_a_declined_payment_releases_the_stock(make: MakeTransport) -> None:
    async with run_shop(make()) as shop:
        product = shop.services["product"]
        before = product.store.quantity("SKU-0003")
        outcome = await shop.order(build_place_order(card=DECLINED_CARD))
        assert (outcome.status, outcome.reason) == ("rejected", "the card was declined")
        assert product.store.quantity("SKU-0003") == before
        assert product.audit()["stock-released"].count == 1


async def check_the_same_order_twice_has_one_effect_and_one_answer(make: MakeTransport) -> None:
    async with run_shop(make()) as shop:
        first, second = await shop.order(build_place_order()), await shop.order(build_place_order())
        assert first == second
        assert shop.services["payment"].audit()["payment-taken"].count == 1
        assert shop.services["shipping"].audit()["order-shipped"].count == 1


async def check_an_order_id_with_other_content_is_refused_and_has_no_effect(make: MakeTransport) -> None:
    transport = make()
    async with run_shop(transport) as shop:
        first = await shop.order(build_place_order())
        other = build_place_order(quantity=1000)
        if transport.traits.accepted is Acceptance.ON_OUTCOME:
            try:
                outcome = await shop.order(other)
            except NotAccepted:
                pass
            else:
                raise AssertionError(f"an order id was taken for other content: {outcome.status}")
        else:
            assert (await shop.order(other)).status == "rejected"
        assert await shop.order(build_place_order()) == first
        assert shop.services["user"].conflicts == 1
        assert shop.services["user"].audit()["order-placed"].units == 2
        assert shop.services["payment"].audit()["payment-taken"].units == 2
        assert shop.services["shipping"].balance() == {"units": 2}


async def check_orders_in_flight_with_one_id_have_each_the_outcome_of_its_content(make: MakeTransport) -> None:
    transport = make()
    async with run_shop(transport) as shop:
        orders = [build_place_order(quantity=2 + number % 2) for number in range(10)]
        ended = await asyncio.gather(*(shop.order(order) for order in orders), return_exceptions=True)
        taken = shop.services["user"].audit()["order-placed"]
        assert taken.count == shop.services["shipping"].audit()["order-shipped"].count == 1
    for order, outcome in zip(orders, ended, strict=True):
        is_taken = order.order.lines[0].quantity == taken.units
        if transport.traits.accepted is Acceptance.ON_OUTCOME and not is_taken:
            assert isinstance(outcome, NotAccepted), outcome
        else:
            assert isinstance(outcome, OrderClosed), outcome
            assert outcome.order == order.order
            assert outcome.status == ("shipped" if is_taken else "rejected")


async def check_many_orders_in_flight_all_finish_with_their_own_outcome(make: MakeTransport) -> None:
    async with run_shop(make()) as shop:
        orders = [build_place_order(f"order-{number}") for number in range(200)]
        outcomes = await asyncio.gather(*(shop.order(order) for order in orders))
        assert [outcome.order.order_id for outcome in outcomes] == [order.order.order_id for order in orders]
        assert shop.services["shipping"].audit()["order-shipped"].count == 200
        assert shop.client.duplicated == 0


async def check_every_service_leaves_the_same_records(make: MakeTransport) -> None:
    async with run_shop(make()) as shop:
        await shop.order(build_place_order("ships"))
        await shop.order(build_place_order("sold-out", sku=SOLD_OUT_SKU))
        await shop.order(build_place_order("declined", card=DECLINED_CARD))
        decided = {name: {f: t.count for f, t in s.audit().items()} for name, s in shop.services.items()}
    assert decided == {
        "user": {"order-placed": 3, "shipped": 1, "rejected": 2},
        "product": {"stock-reserved": 2, "out-of-stock": 1, "stock-released": 1},
        "payment": {"payment-taken": 1, "payment-declined": 1},
        "shipping": {"order-shipped": 1},
    }


async def check_acceptance_is_what_the_traits_say(make: MakeTransport) -> None:
    transport = make()
    async with run_shop(transport) as shop:
        before_ns = time.monotonic_ns()
        receipt = await shop.client.submit(build_place_order())
        returned_ns = time.monotonic_ns()
        finished = await asyncio.wait_for(_await_outcome(receipt.finished), _TIMEOUT_S)
        assert before_ns <= receipt.accepted_ns <= returned_ns
        if transport.traits.accepted is Acceptance.ON_OUTCOME:
            assert receipt.accepted_ns == finished.at_ns
    if transport.traits.accepted is not Acceptance.ON_OUTCOME:
        await _check_accepted_while_nobody_consumes(make())


async def _check_accepted_while_nobody_consumes(transport: Transport) -> None:
    """Checks that an order accepted before any service consumes is kept, and finishes once they do."""
    await transport.prepare()
    try:
        async with transport.connect() as client, AsyncExitStack() as stack:
            receipt = await client.submit(build_place_order())
            for name in SERVICES:
                await stack.enter_async_context(transport.serve(_open_service(name, stack)))
            finished = await asyncio.wait_for(_await_outcome(receipt.finished), _TIMEOUT_S)
            assert finished.outcome.status == "shipped"
            assert receipt.accepted_ns < finished.at_ns
    finally:
        await transport.remove()


async def check_messages_of_one_order_keep_their_sequence_where_promised(make: MakeTransport) -> None:
    transport = make()
    if not transport.traits.ordered:
        return
    sent = [f"{number} Canal Street" for number in range(30)]
    seen: list[str] = []
    last_came = asyncio.Event()

    class Spy(UserService):
        def _handle(self, message: Message, decided: Callable[..., None]) -> Message | Conflict:
            if isinstance(message, PlaceOrder):
                seen.append(message.order.address)
                if seen[-1] == sent[-1]:
                    last_came.set()
            return super()._handle(message, decided)

    async with run_shop(transport, [Spy(MemoryStore())]) as shop:
        # A probe, which no service remembers: of another order with this id each would be refused but the first.
        order = build_place_order("probe-1").order
        for address in sent:
            await shop.client.submit(PlaceOrder(replace(order, address=address)))
        # Not for an outcome: all are of one order, and the first to come may be taken for that of the last message.
        await asyncio.wait_for(last_came.wait(), _TIMEOUT_S)
    # What was delivered twice counts where it came first.
    assert list(dict.fromkeys(seen)) == sent


async def check_an_order_over_the_limit_is_refused_and_the_client_goes_on(make: MakeTransport) -> None:
    async with run_shop(make(max_message_bytes=64 * 1024)) as shop:
        refused = [shop.client.submit(build_place_order(f"large-{n}", document=bytes(70_000))) for n in range(3)]
        small = [shop.order(build_place_order(f"small-{n}")) for n in range(3)]
        *errors, one, two, three = await asyncio.gather(*refused, *small, return_exceptions=True)
        assert all(isinstance(error, TooLarge) for error in errors), errors
        assert all(isinstance(o, OrderClosed) and o.status == "shipped" for o in (one, two, three))
        assert shop.services["user"].audit()["order-placed"].count == 3


async def check_an_order_just_under_the_limit_goes_through_every_hop(make: MakeTransport) -> None:
    transport = make(max_message_bytes=64 * 1024)
    async with run_shop(transport) as shop:
        outcome = await shop.order(
            build_place_order(document=bytes((transport.setting.max_order_bytes - 1024) // 4 * 3))
        )
    assert outcome.status == "shipped"


async def check_a_service_that_does_not_answer_costs_no_more_than_the_deadline(make: MakeTransport) -> None:
    release = asyncio.Event()
    loop = asyncio.get_running_loop()

    class Stuck(PaymentService):
        blocking = True  # as for a slow disk: the processor waits in a thread

        def handle_all(self, messages: Iterable[Message]) -> list[Message | Conflict]:
            asyncio.run_coroutine_threadsafe(release.wait(), loop).result()
            return super().handle_all(messages)

    transport = make(deadline_s=0.5)
    if transport.traits.accepted is not Acceptance.ON_OUTCOME:
        transport = make()  # accepted by a broker, which where much else runs takes longer than that
    async with run_shop(transport, [Stuck(MemoryStore())]) as shop:
        try:
            if transport.traits.accepted is Acceptance.ON_OUTCOME:
                try:
                    await asyncio.wait_for(shop.client.submit(build_place_order()), _TIMEOUT_S)
                except NoOutcome:
                    pass
                else:
                    raise AssertionError("an order was accepted although payment did not answer")
            else:
                receipt = await asyncio.wait_for(shop.client.submit(build_place_order()), _TIMEOUT_S)
                done, _ = await asyncio.wait([asyncio.ensure_future(_await_outcome(receipt.finished))], timeout=0.5)
                assert not done
        finally:
            release.set()


async def check_a_service_that_is_not_there_is_an_error_or_an_order_that_waits(make: MakeTransport) -> None:
    transport = make(deadline_s=2.0)
    await transport.prepare()
    try:
        async with transport.connect() as client:
            if transport.traits.accepted is not Acceptance.ON_OUTCOME:
                await client.submit(build_place_order())
                return
            try:
                await client.submit(build_place_order())
            except TransportError as error:
                assert isinstance(error, Unreachable), error
            else:
                raise AssertionError("an order was accepted although no service was there")
    finally:
        await transport.remove()


async def check_a_probe_leaves_no_trace(make: MakeTransport) -> None:
    async with run_shop(make()) as shop:
        outcome = await shop.order(build_place_order("probe-1"))
        assert outcome.status == "shipped"
        assert all(not service.audit() for service in shop.services.values())
        assert shop.services["product"].balance() == {"missing": 0}


async def check_sampled_orders_are_stamped_at_every_service_in_the_order_of_time(make: MakeTransport) -> None:
    transport = make(trace_every=1)
    if not transport.traits.stamped:
        return
    async with run_shop(transport) as shop:
        before_ns = time.monotonic_ns()
        finished = await shop.finish(build_place_order())
        stamps = sorted(
            (stamp.begun_ns, stamp, name) for name, serving in shop.serving.items() for stamp in serving.trace.stamps
        )
    assert [(name, stamp.kind) for _, stamp, name in stamps] == [
        ("user", "place-order"),
        ("product", "order-placed"),
        ("payment", "stock-reserved"),
        ("shipping", "payment-taken"),
        ("user", "order-shipped"),
    ]
    instants = [before_ns]
    for _, stamp, _ in stamps:
        instants += (stamp.arrived_ns, stamp.begun_ns, stamp.ended_ns)
    instants.append(finished.at_ns)
    assert instants == sorted(instants)


async def check_prepare_and_remove_may_be_repeated(make: MakeTransport) -> None:
    transport = make()
    await transport.remove()
    await transport.prepare()
    await transport.prepare()
    await transport.remove()
    await transport.remove()


async def check_every_codec_works(make: MakeTransport) -> None:
    for codec in list_codecs():
        async with run_shop(make(codec=codec)) as shop:
            assert (await shop.order(build_place_order())).status == "shipped", codec
            assert (await shop.order(build_place_order("declined", card=DECLINED_CARD))).status == "rejected", codec


async def check_every_compression_that_is_promised_works(make: MakeTransport) -> None:
    placed = build_place_order(document=b"an attachment that says the same thing again and again, " * 200)
    for compression in sorted(type(make()).traits.compressions):
        async with run_shop(make(compression=compression)) as shop:
            assert (await shop.order(placed)).order == placed.order, compression


async def check_a_compression_that_is_not_promised_is_refused_before_anything_is_sent(make: MakeTransport) -> None:
    try:
        make(compression="lzw")
    except SettingError as error:
        assert "lzw" in str(error)
    else:
        raise AssertionError("it took a compression that there is not")


async def _await_outcome(finished: Awaitable[Finished]) -> Finished:
    return await finished


CHECKS: tuple[ConformanceCheck, ...] = (
    check_an_order_is_shipped,
    check_the_order_comes_back_as_it_was_sent,
    check_a_sold_out_order_is_rejected_with_the_reason,
    check_a_declined_payment_releases_the_stock,
    check_the_same_order_twice_has_one_effect_and_one_answer,
    check_an_order_id_with_other_content_is_refused_and_has_no_effect,
    check_many_orders_in_flight_all_finish_with_their_own_outcome,
    check_every_service_leaves_the_same_records,
    check_acceptance_is_what_the_traits_say,
    check_messages_of_one_order_keep_their_sequence_where_promised,
    check_an_order_over_the_limit_is_refused_and_the_client_goes_on,
    check_an_order_just_under_the_limit_goes_through_every_hop,
    check_a_service_that_does_not_answer_costs_no_more_than_the_deadline,
    check_a_service_that_is_not_there_is_an_error_or_an_order_that_waits,
    check_a_probe_leaves_no_trace,
    check_sampled_orders_are_stamped_at_every_service_in_the_order_of_time,
    check_prepare_and_remove_may_be_repeated,
    check_every_codec_works,
    check_every_compression_that_is_promised_works,
    check_a_compression_that_is_not_promised_is_refused_before_anything_is_sent,
)

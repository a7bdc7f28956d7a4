"""Tests the broker method on RabbitMQ, inspected with plain aio_pika."""

import asyncio
import itertools
import json
import os
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aio_pika
import pytest
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage
from aio_pika.exceptions import ChannelNotFoundEntity

from shop.factory import open_service
from shop.messages import Message, OrderPlaced, PlaceOrder
from shop.payments import PaymentService
from shop.service import Service
from shop.shipping import build_tracking_number
from shop.store import MemoryStore
from shop.workflow import SERVICES
from tests.conftest import build_order
from transports.backends.rabbitmq.topology import QUORUM
from transports.base import Client, ServingStats, Setting
from transports.broker import BrokerTransport
from transports.dead_letters import FAILED, REASON_HEADER, SOURCE_HEADER, UNREADABLE
from transports.errors import NotAccepted, TooLarge, Unreachable
from transports.wire import load_codec

pytestmark = [pytest.mark.slow, pytest.mark.broker]

_trials = (f"amqp-{os.getpid()}-{number}" for number in itertools.count())
JSON = load_codec("json")


def a_transport(servers: Mapping[str, str], **changes: Any) -> BrokerTransport:
    return BrokerTransport(Setting(**{"trial": next(_trials), "servers": servers} | changes))


@dataclass
class Trial:
    """A workflow over RabbitMQ, and a channel of somebody else's."""

    name: str
    client: Client
    services: dict[str, Service]
    serving: dict[str, ServingStats]
    foreign: AbstractChannel

    async def publish(self, queue: str, body: bytes, **properties: Any) -> None:
        await self.foreign.default_exchange.publish(aio_pika.Message(body, **properties), f"{self.name}.{queue}")

    async def dead_letter(self) -> AbstractIncomingMessage:
        queue = await self.foreign.get_queue(f"{self.name}.unreadable")
        return await until_some(lambda: queue.get(fail=False, no_ack=True))

    async def ship_order(self, order_id: str = "after") -> None:
        async with asyncio.timeout(15):
            receipt = await self.client.submit(PlaceOrder(build_order(order_id)))
            assert (await receipt.finished).outcome.status == "shipped"


@asynccontextmanager
async def a_channel(servers: Mapping[str, str]) -> AsyncIterator[AbstractChannel]:
    connection = await aio_pika.connect(servers["rabbitmq"])
    async with connection:
        yield await connection.channel()


@asynccontextmanager
async def a_trial(
    servers: Mapping[str, str], *, instead: Iterable[Service] = (), serve: Iterable[str] = SERVICES, **changes: Any
) -> AsyncIterator[Trial]:
    transport = a_transport(servers, **changes)
    services = {name: open_service(name) for name in SERVICES} | {service.name: service for service in instead}
    await transport.prepare()
    try:
        async with AsyncExitStack() as stack:
            foreign = await stack.enter_async_context(a_channel(servers))
            serving = {name: await stack.enter_async_context(transport.serve(services[name])) for name in serve}
            client = await stack.enter_async_context(transport.connect())
            yield Trial(transport.setting.trial, client, services, serving, foreign)
    finally:
        await transport.remove()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def until_some(ask: Callable[[], Any]) -> Any:
    """What ``ask`` gives once it gives something."""
    async with asyncio.timeout(5):
        while (found := await ask()) is None:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        return found


async def exists(servers: Mapping[str, str], queue: str) -> bool:
    async with a_channel(servers) as channel:
        try:
            await channel.declare_queue(queue, passive=True)
        except ChannelNotFoundEntity:
            return False
        return True


async def ready_in(channel: AbstractChannel, queue: str) -> int:
    declared = await channel.declare_queue(queue, passive=True)
    return declared.declaration_result.message_count or 0


class Held(PaymentService):
    """A payment service that waits in its handler until it is let go."""

    blocking = True

    def __init__(self) -> None:
        super().__init__(MemoryStore())
        self.busy, self.go = threading.Event(), threading.Event()

    def handle_all(self, messages: Iterable[Message]) -> list[Message]:
        self.busy.set()
        assert self.go.wait(20)
        return super().handle_all(messages)


# What cannot be read


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"\xff\x00garbage", "place-order"),
        (b"{}", "place-order"),
        (b"", "place-order"),
        (JSON.encode(PlaceOrder(build_order())), "order-lost"),
        (JSON.encode(PlaceOrder(build_order())), None),
        (JSON.encode(OrderPlaced(build_order(), "a@b")), "order-placed"),
    ],
    ids=["garbage", "no order", "empty", "unknown kind", "no kind", "another service's kind"],
)
async def test_what_cannot_be_read_goes_to_the_dead_letter_queue_and_the_service_goes_on(
    servers: Mapping[str, str], body: bytes, kind: str | None
) -> None:
    async with a_trial(servers) as trial:
        await trial.publish("user", body, type=kind, message_id="mine")
        dead = await trial.dead_letter()
        assert (dead.body, dead.type, dead.message_id) == (body, kind, "mine")
        assert dead.headers == {REASON_HEADER: UNREADABLE, SOURCE_HEADER: f"{trial.name}.user"}
        assert trial.serving["user"].unreadable == 1
        await trial.ship_order()
        assert trial.serving["user"].unreadable == 1
        assert await ready_in(trial.foreign, f"{trial.name}.unreadable") == 0


async def test_an_order_that_a_service_cannot_carry_on_is_a_dead_letter_and_counted_as_failed(
    servers: Mapping[str, str],
) -> None:
    async with a_trial(servers) as trial:
        body = JSON.encode(PlaceOrder(build_order("grows", address="x" * (trial_limit := 4 * 2**20))))
        assert len(body) > trial_limit
        await trial.publish("user", body, type="place-order")
        assert (await trial.dead_letter()).body == body
        assert (trial.serving["user"].dead_letters[FAILED], trial.serving["user"].unreadable) == (1, 0)
        await trial.ship_order()


# Queues


async def test_queues_are_there_during_a_trial_and_gone_after(servers: Mapping[str, str]) -> None:
    transport = a_transport(servers, workers=2)
    names = [f"{transport.setting.trial}.{name}" for name in (*SERVICES, "reply.0", "reply.1", "unreadable")]
    assert [await exists(servers, name) for name in names] == [False] * 7
    await transport.prepare()
    assert [await exists(servers, name) for name in names] == [True] * 7
    await transport.remove()
    assert [await exists(servers, name) for name in names] == [False] * 7


async def test_queues_with_messages_in_them_are_removed_too(servers: Mapping[str, str]) -> None:
    async with a_trial(servers, serve=()) as trial:
        for number in range(5):
            await trial.client.submit(PlaceOrder(build_order(f"o{number}")))
        assert await ready_in(trial.foreign, f"{trial.name}.user") == 5
    assert not await exists(servers, f"{trial.name}.user")


@pytest.mark.parametrize(("durability", "mode"), [("fast", 1), ("safe", 2)])
async def test_safe_messages_are_persistent_and_fast_ones_are_not(
    servers: Mapping[str, str], durability: str, mode: int
) -> None:
    async with a_trial(servers, serve=(), durability=durability) as trial:
        await trial.client.submit(PlaceOrder(build_order()))
        queue = await trial.foreign.get_queue(f"{trial.name}.user")
        message = await until_some(lambda: queue.get(fail=False, no_ack=True))
        assert message.delivery_mode == mode
        assert (message.type, message.correlation_id) == ("place-order", "order-1")
        assert (message.reply_to, message.content_type) == (f"{trial.name}.reply.0", "application/json")
        assert json.loads(message.body)["order"]["order_id"] == "order-1"


async def test_safe_queues_are_quorum_queues(servers: Mapping[str, str]) -> None:
    async with a_trial(servers, serve=(), durability="safe") as trial:
        # A declaration that does not agree with what is there is refused; this one agrees.
        await trial.foreign.declare_queue(f"{trial.name}.reply.0", durable=True, arguments=QUORUM)


async def test_a_service_takes_no_more_than_its_prefetch(servers: Mapping[str, str]) -> None:
    held = Held()
    async with a_trial(servers, instead=[held], options={"prefetch": 3}) as trial:
        receipts = [await trial.client.submit(PlaceOrder(build_order(f"o{number}"))) for number in range(10)]
        async with asyncio.timeout(10):
            while await ready_in(trial.foreign, f"{trial.name}.payment") != 7:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        held.go.set()
        await asyncio.wait_for(asyncio.gather(*(receipt.finished for receipt in receipts)), 15)


async def test_what_was_consumed_is_gone(servers: Mapping[str, str]) -> None:
    async with a_trial(servers, serve=()) as trial:
        await trial.client.submit(PlaceOrder(build_order()))
        queue = await trial.foreign.get_queue(f"{trial.name}.user")
        message = await queue.get()
        assert message is not None
        await message.ack()
        assert await queue.get(fail=False) is None


async def test_two_trials_side_by_side_do_not_meet(servers: Mapping[str, str]) -> None:
    async with a_trial(servers) as one, a_trial(servers) as other:
        await asyncio.gather(
            *(one.ship_order(f"one-{n}") for n in range(5)), *(other.ship_order(f"other-{n}") for n in range(3))
        )
        assert one.services["shipping"].audit()["order-shipped"].count == 5
        assert other.services["shipping"].audit()["order-shipped"].count == 3
        assert one.client.duplicated == other.client.duplicated == 0


async def test_two_load_processes_hear_their_own_outcomes_only(servers: Mapping[str, str]) -> None:
    async with a_trial(servers, workers=2) as trial:
        second = a_transport(servers, trial=trial.name, workers=2, worker=1)
        async with second.connect() as other:
            receipt = await other.submit(PlaceOrder(build_order("from-1")))
            assert (await asyncio.wait_for(receipt.finished, 15)).outcome.order.order_id == "from-1"
            await trial.ship_order("from-0")
            assert other.duplicated == trial.client.duplicated == 0


# Somebody else's client


async def test_a_message_from_a_foreign_client_is_served_and_answered_where_it_asks(servers: Mapping[str, str]) -> None:
    async with a_trial(servers) as trial:
        mine = await trial.foreign.declare_queue(exclusive=True)
        body = JSON.encode(PlaceOrder(build_order("theirs")))
        await trial.publish("user", body, type="place-order", correlation_id="theirs", reply_to=mine.name)
        answer = await until_some(lambda: mine.get(fail=False, no_ack=True))
        assert (answer.type, answer.correlation_id) == ("order-closed", "theirs")
        closed = json.loads(answer.body)
        assert (closed["status"], closed["tracking_number"]) == ("shipped", build_tracking_number("theirs"))
        assert trial.client.duplicated == 0


async def test_an_order_without_a_reply_queue_is_handled_to_its_end(servers: Mapping[str, str]) -> None:
    async with a_trial(servers) as trial:
        await trial.publish("user", JSON.encode(PlaceOrder(build_order("silent"))), type="place-order")
        await until(lambda: trial.services["user"].balance() == {"open": 0} and trial.serving["user"].handled == 2)
        assert trial.services["user"].audit()["shipped"].count == 1


async def test_a_reply_queue_that_is_gone_makes_a_dead_letter_and_not_a_loop(servers: Mapping[str, str]) -> None:
    async with a_trial(servers) as trial:
        body = JSON.encode(PlaceOrder(build_order("lost")))
        await trial.publish("user", body, type="place-order", reply_to="nobody-listens-here")
        assert (await trial.dead_letter()).type == "order-shipped"
        assert trial.serving["user"].failed == 1
        await trial.ship_order()


async def test_an_order_whose_id_amqp_cannot_carry_on_is_a_dead_letter_and_not_a_loop(
    servers: Mapping[str, str],
) -> None:
    async with a_trial(servers) as trial:
        await trial.publish("user", JSON.encode(PlaceOrder(build_order("x" * 300))), type="place-order")
        assert (await trial.dead_letter()).type == "place-order"
        assert trial.serving["user"].failed == 1
        await trial.ship_order()


async def test_an_outcome_told_twice_is_counted_as_duplicated(servers: Mapping[str, str]) -> None:
    async with a_trial(servers) as trial:
        receipt = await trial.client.submit(PlaceOrder(build_order("twice")))
        finished = await asyncio.wait_for(receipt.finished, 15)
        await trial.publish("reply.0", JSON.encode(finished.outcome), type="order-closed", correlation_id="twice")
        await until(lambda: trial.client.duplicated == 1)
        await trial.ship_order()
        assert trial.client.duplicated == 1


# Refusals


async def test_an_order_over_the_limit_is_refused_and_the_channel_stays_usable(servers: Mapping[str, str]) -> None:
    async with a_trial(servers, max_message_bytes=16_384) as trial:
        large = PlaceOrder(build_order("large", address="x" * 20_000))
        before = await asyncio.gather(*(trial.client.submit(PlaceOrder(build_order(f"o{n}"))) for n in range(5)))
        with pytest.raises(TooLarge, match="over the limit of 12,288 bytes"):
            await trial.client.submit(large)
        await trial.ship_order()
        await asyncio.wait_for(asyncio.gather(*(receipt.finished for receipt in before)), 15)
        assert await ready_in(trial.foreign, f"{trial.name}.unreadable") == 0


async def test_an_order_of_exactly_the_limit_is_taken(servers: Mapping[str, str]) -> None:
    async with a_trial(servers, max_message_bytes=16_384) as trial:
        bare = len(JSON.encode(PlaceOrder(build_order(address=""))))
        receipt = await trial.client.submit(PlaceOrder(build_order(address="x" * (12_288 - bare))))
        assert (await asyncio.wait_for(receipt.finished, 15)).outcome.status == "shipped"
        with pytest.raises(TooLarge):
            await trial.client.submit(PlaceOrder(build_order("order-2", address="x" * (12_289 - bare))))


async def test_an_order_for_queues_that_are_not_there_is_not_accepted(servers: Mapping[str, str]) -> None:
    transport = a_transport(servers)
    await transport.prepare()
    async with transport.connect() as client, a_channel(servers) as foreign:
        await foreign.queue_delete(f"{transport.setting.trial}.user")
        with pytest.raises(NotAccepted, match=f"{transport.setting.trial}.user"):
            await client.submit(PlaceOrder(build_order()))
    await transport.remove()


async def test_a_wrong_password_is_a_sentence_without_it() -> None:
    setting = Setting(trial="t", servers={"rabbitmq": "amqp://guest:s3cret@127.0.0.1:1/"}, deadline_s=3)
    with pytest.raises(Unreachable, match=r"RabbitMQ does not answer at amqp://127\.0\.0\.1:1/") as raised:
        async with BrokerTransport(setting).connect():
            pytest.fail("connected")
    assert "s3cret" not in str(raised.value)


# Stopping


async def test_a_service_that_stops_finishes_or_gives_back_what_it_has_in_hand(servers: Mapping[str, str]) -> None:
    held = Held()
    async with a_trial(servers, serve=("user", "product", "shipping")) as trial:
        transport = a_transport(servers, trial=trial.name)
        serving = transport.serve(held)
        await serving.__aenter__()
        receipts = [await trial.client.submit(PlaceOrder(build_order(f"o{number}"))) for number in range(20)]
        assert await asyncio.to_thread(held.busy.wait, 10)
        stopping = asyncio.create_task(serving.__aexit__(None, None, None))
        held.go.set()
        await asyncio.wait_for(stopping, 10)
        done = held.audit()["payment-taken"].count
        assert done >= 1
        async with transport.serve(PaymentService(MemoryStore())):
            finished = await asyncio.wait_for(asyncio.gather(*(receipt.finished for receipt in receipts)), 15)
        assert {f.outcome.status for f in finished} == {"shipped"}
        assert trial.services["shipping"].audit()["order-shipped"].count == 20
        assert await ready_in(trial.foreign, f"{trial.name}.unreadable") == 0


async def test_what_was_handled_and_not_acknowledged_comes_again_and_has_one_effect(
    servers: Mapping[str, str],
) -> None:
    """A foreign consumer stands for a payment service that died between its effect and its acknowledgement."""
    async with a_trial(servers, serve=("user", "product", "shipping")) as trial:
        receipt = await trial.client.submit(PlaceOrder(build_order("again")))
        payment = PaymentService(MemoryStore())
        async with a_channel(servers) as dying:
            queue = await dying.get_queue(f"{trial.name}.payment")
            delivery = await until_some(lambda: queue.get(fail=False))
            fact = payment.handle(JSON.decode("stock-reserved", delivery.body))
            await dying.default_exchange.publish(
                aio_pika.Message(JSON.encode(fact), type="payment-taken", reply_to=delivery.reply_to),
                f"{trial.name}.shipping",
            )
        transport = a_transport(servers, trial=trial.name)
        async with transport.serve(payment) as serving:
            await asyncio.wait_for(receipt.finished, 15)
            await until(lambda: trial.client.duplicated == 1)
            assert serving.handled == 1
        assert payment.audit()["payment-taken"].count == 1
        assert trial.services["shipping"].audit()["order-shipped"].count == 1
        assert trial.services["user"].audit()["shipped"].count == 1


# Found wanting


async def test_a_message_nested_without_end_is_a_dead_letter_too(servers: Mapping[str, str]) -> None:
    """Else it stays in hand for good, and a prefetch of such messages is the end of the service."""
    async with a_trial(servers) as trial:
        await trial.publish("user", b'{"x":' + b"[" * 100_000, type="place-order")
        await trial.dead_letter()
        assert (trial.serving["user"].unreadable, trial.serving["user"].failed) == (1, 0)

"""Tests what a broker's consumer does with an order id that comes back with other content, on fakes of the brokers."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from shop.factory import open_service
from shop.messages import KIND_BY_TYPE, Message, OrderClosed, OrderPlaced, PlaceOrder, StockReserved
from tests.conftest import build_order
from transports.backends.kafka.config import Config
from transports.backends.kafka.headers import REPLY_HEADER
from transports.backends.kafka.server import GroupMember
from transports.backends.kafka.topology import TrialTopics
from transports.backends.kafka.unsent import UnsentFacts
from transports.backends.rabbitmq.server import DeliveryHandler
from transports.backends.rabbitmq.topology import TrialQueues
from transports.base import ServingStats, Setting
from transports.broker.routes import PIPELINE
from transports.dead_letters import REASON_HEADER, SOURCE_HEADER
from transports.dispatch import MessageProcessor
from transports.events.routes import CHOREOGRAPHY
from transports.wire import load_codec

FIRST, OTHER = build_order(), build_order(lines=())
CODEC = load_codec("json")
CHANNEL = SimpleNamespace(is_closed=False)


class Delivery(SimpleNamespace):
    def __init__(self, message: Message) -> None:
        super().__init__(
            delivery_tag=1,
            type=KIND_BY_TYPE[type(message)],
            body=CODEC.encode(message),
            reply_to="reply",
            user_id=None,
            channel=CHANNEL,
            ended="",
        )

    async def ack(self) -> None:
        self.ended = self.ended or "ack"

    async def reject(self, requeue: bool) -> None:
        self.ended = "requeue" if requeue else "dead letter"


class DeadLetters:
    """Notes the reason with the delivery."""

    async def add(self, delivery: Any, reason: str) -> bool:
        delivery.ended = reason
        return True


async def deliver(service: str, *messages: Message) -> tuple[list[str], list[Message], ServingStats]:
    """Returns how each delivery ended, what was published, and the counters."""
    published: list[Message] = []

    async def publish(key: str, fact: Message, reply_to: str | None) -> None:
        published.append(fact)

    setting, serving = Setting(trial="t"), ServingStats()
    async with MessageProcessor(open_service(service)) as desk:
        publisher: Any = SimpleNamespace(publish=publish)
        consumer = DeliveryHandler(desk, serving, publisher, DeadLetters(), TrialQueues(PIPELINE, setting), setting)
        deliveries: list[Any] = [Delivery(message) for message in messages]
        for delivery in deliveries:
            await consumer.take(delivery)
    return [delivery.ended for delivery in deliveries], published, serving


async def test_on_rabbitmq_the_buyer_is_told_and_the_message_is_a_dead_letter() -> None:
    ended, published, serving = await deliver("user", PlaceOrder(FIRST), PlaceOrder(OTHER), PlaceOrder(FIRST))
    assert ended == ["ack", "refused", "ack"]
    one, refusal, again = published
    assert isinstance(one, OrderPlaced)
    assert isinstance(refusal, OrderClosed)
    assert (refusal.status, refusal.order.lines, "other content" in refusal.reason) == ("rejected", (), True)
    assert again == one
    assert (serving.handled, serving.failed, serving.dead_letters["refused"]) == (2, 1, 1)


async def test_on_rabbitmq_a_service_behind_the_first_tells_nobody() -> None:
    ended, published, _ = await deliver("payment", StockReserved(FIRST, 1), StockReserved(OTHER, 1))
    assert ended == ["ack", "refused"]
    assert len(published) == 1


class Producer:
    def __init__(self) -> None:
        self.sent: list[tuple[str, bytes, list[tuple[str, bytes]]]] = []

    async def send(self, topic: str, body: bytes, *, headers: Any, **_: Any) -> "asyncio.Future[None]":
        self.sent.append((topic, body, headers))
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done


@pytest.mark.parametrize(("service", "topics"), [("user", 4), ("payment", 2)])
async def test_on_kafka_the_buyer_is_told_and_the_record_is_a_dead_letter_with_its_reason(
    service: str, topics: int
) -> None:
    setting, serving, producer = Setting(trial="t"), ServingStats(), Producer()
    places = TrialTopics(CHOREOGRAPHY, setting)
    batch: list[Message] = (
        [PlaceOrder(FIRST), PlaceOrder(OTHER), PlaceOrder(FIRST)]
        if service == "user"
        else [StockReserved(FIRST, 1), StockReserved(OTHER, 1)]
    )
    records: list[Any] = [
        SimpleNamespace(
            topic=places.topic_by_type[type(message)],
            partition=0,
            offset=number,
            key=b"order-1",
            value=CODEC.encode(message),
            headers=[(REPLY_HEADER, b"0")],
        )
        for number, message in enumerate(batch)
    ]
    anyone: Any = SimpleNamespace()
    async with MessageProcessor(open_service(service)) as desk:
        member = GroupMember(desk, serving, anyone, producer, places, setting, Config(), UnsentFacts(60))  # type: ignore[arg-type]
        partition: Any = (records[0].topic, 0)
        await member._take({partition: records})
    assert len(producer.sent) == topics
    (dead,) = [(body, headers) for topic, body, headers in producer.sent if topic == places.dead_letters]
    reason = [(REASON_HEADER, b"refused"), (SOURCE_HEADER, records[1].topic.encode())]
    assert dead == (records[1].value, [(REPLY_HEADER, b"0"), *reason])
    told = [body for topic, body, _ in producer.sent if topic == places.topic_by_type[OrderClosed]]
    assert len(told) == (1 if service == "user" else 0)
    assert (serving.failed, serving.unreadable) == (1, 0)

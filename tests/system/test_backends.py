"""Tests the broker method on Kafka and the events method on RabbitMQ, with plain clients."""

import asyncio
import itertools
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aio_pika
import pytest
from aio_pika.abc import AbstractChannel, AbstractQueue
from aio_pika.exceptions import ChannelNotFoundEntity

from shop.factory import open_service
from shop.messages import KIND_BY_TYPE, PlaceOrder
from shop.shipping import build_tracking_number
from shop.workflow import SERVICES
from tests.conftest import build_order
from tests.system.kafka_trial import (
    list_trial_groups,
    list_trial_topics,
    read_committed_offsets,
    read_end_offsets,
    read_records,
    start_producer,
    wait_until,
    wait_until_async,
)
from tests.system.test_broker import a_channel, until_some
from transports.base import Client, ServingStats, Setting, Transport
from transports.errors import Unreachable
from transports.registry import load_transport
from transports.wire import load_codec

pytestmark = [pytest.mark.slow, pytest.mark.broker]

_trials = (f"pair-{os.getpid()}-{number}" for number in itertools.count())
JSON = load_codec("json")
FACTS = ["place-order", "order-placed", "stock-reserved", "payment-taken", "order-shipped", "order-closed.0"]


@dataclass
class Trial:
    """A workflow over another product than its method's own."""

    name: str
    client: Client
    serving: dict[str, ServingStats]
    transport: Transport

    async def ship_order(self, order_id: str = "after") -> None:
        async with asyncio.timeout(15):
            receipt = await self.client.submit(PlaceOrder(build_order(order_id)))
            assert (await receipt.finished).outcome.status == "shipped"


def a_transport(servers: Mapping[str, str], method: str, product: str, **changes: Any) -> Transport:
    setting = {"trial": next(_trials), "servers": servers, "product": product} | changes
    return load_transport(method, product)(Setting(**setting))


@asynccontextmanager
async def a_trial(servers: Mapping[str, str], method: str, product: str, **changes: Any) -> AsyncIterator[Trial]:
    transport = a_transport(servers, method, product, **changes)
    await transport.prepare()
    try:
        async with AsyncExitStack() as stack:
            serving = {name: await stack.enter_async_context(transport.serve(open_service(name))) for name in SERVICES}
            client = await stack.enter_async_context(transport.connect())
            yield Trial(transport.setting.trial, client, serving, transport)
    finally:
        await transport.remove()


# Events on RabbitMQ


async def a_subscriber(channel: AbstractChannel, trial: str, key: str) -> AbstractQueue:
    """Somebody else who hears of facts, with a queue of its own."""
    queue = await channel.declare_queue(exclusive=True)
    await queue.bind(f"{trial}.facts", key)
    return queue


async def test_whoever_binds_a_queue_hears_every_fact_and_takes_none_from_the_others(
    servers: Mapping[str, str],
) -> None:
    async with a_trial(servers, "events", "rabbitmq") as trial, a_channel(servers) as foreign:
        queue = await a_subscriber(foreign, trial.name, "#")
        await trial.ship_order("heard")
        heard = [await until_some(lambda: queue.get(fail=False, no_ack=True)) for _ in FACTS]
        assert [message.routing_key for message in heard] == FACTS
        assert {message.exchange for message in heard} == {f"{trial.name}.facts"}
        assert {message.correlation_id for message in heard} == {"heard"}


async def test_an_exchange_and_a_queue_for_each_subscriber_are_there_during_a_trial_and_gone_after(
    servers: Mapping[str, str],
) -> None:
    async with a_channel(servers) as foreign:
        async with a_trial(servers, "events", "rabbitmq", workers=2) as trial:
            for name in (*SERVICES, "order-closed.0", "order-closed.1", "unreadable"):
                await foreign.declare_queue(f"{trial.name}.{name}", passive=True)
            await foreign.declare_exchange(f"{trial.name}.facts", "topic", durable=True)
        with pytest.raises(ChannelNotFoundEntity):
            await foreign.declare_exchange(f"{trial.name}.facts", passive=True)


async def test_a_fact_from_a_foreign_publisher_is_served_and_its_outcome_goes_to_the_buyer_that_it_names(
    servers: Mapping[str, str],
) -> None:
    async with a_trial(servers, "events", "rabbitmq", workers=2) as trial, a_channel(servers) as foreign:
        queue = await a_subscriber(foreign, trial.name, "order-closed.1")
        exchange = await foreign.get_exchange(f"{trial.name}.facts")
        body = JSON.encode(PlaceOrder(build_order("theirs")))
        order = aio_pika.Message(body, type="place-order", correlation_id="theirs", reply_to="order-closed.1")
        await exchange.publish(order, "place-order")
        closed = await until_some(lambda: queue.get(fail=False, no_ack=True))
        assert JSON.decode("order-closed", closed.body).tracking_number == build_tracking_number("theirs")
        assert trial.client.duplicated == 0


@pytest.mark.parametrize("reply_to", [None, "order-placed", "nobody"])
async def test_an_outcome_is_published_as_one_whatever_an_order_says_of_its_buyer(
    servers: Mapping[str, str], reply_to: str | None
) -> None:
    """Else who orders could have an outcome taken for another fact."""
    async with a_trial(servers, "events", "rabbitmq") as trial, a_channel(servers) as foreign:
        queue = await a_subscriber(foreign, trial.name, "order-closed.*")
        exchange = await foreign.get_exchange(f"{trial.name}.facts")
        body = JSON.encode(PlaceOrder(build_order("odd")))
        await exchange.publish(aio_pika.Message(body, type="place-order", reply_to=reply_to), "place-order")
        assert (await until_some(lambda: queue.get(fail=False, no_ack=True))).type == "order-closed"
        assert [serving.failed for serving in trial.serving.values()] == [0, 0, 0, 0]


# Commands on Kafka


async def test_every_service_has_an_inbox_and_a_group_and_they_are_gone_after(servers: Mapping[str, str]) -> None:
    async with a_trial(servers, "broker", "kafka") as trial:
        wanted = {f"{trial.name}.{name}" for name in (*SERVICES, "reply", "unreadable")}
        assert await list_trial_topics(servers, trial.name) == wanted
        assert await list_trial_groups(servers, trial.name) == {f"{trial.name}.{name}" for name in SERVICES}
    await wait_until_async(lambda: _gone(servers, trial.name))


async def _gone(servers: Mapping[str, str], trial: str) -> bool:
    return not await list_trial_topics(servers, trial) and not await list_trial_groups(servers, trial)


async def test_an_inbox_has_all_that_its_service_consumes_each_with_its_kind(servers: Mapping[str, str]) -> None:
    async with a_trial(servers, "broker", "kafka") as trial:
        await trial.ship_order("listed")
        records = await read_records(servers, f"{trial.name}.user", 2)
        assert [dict(record.headers)["kind"] for record in records] == [b"place-order", b"order-shipped"]
        assert {(record.key, dict(record.headers)["reply"]) for record in records} == {(b"listed", b"0")}
        (reply,) = await read_records(servers, f"{trial.name}.reply", 1)
        assert dict(reply.headers)["kind"] == b"order-closed"
        at_end = {f"{trial.name}.user": 2}
        await wait_until_async(lambda: _reached(servers, f"{trial.name}.user", at_end))


async def _reached(servers: Mapping[str, str], group: str, offsets: Mapping[str, int]) -> bool:
    return await read_committed_offsets(servers, group) == offsets


async def test_a_command_from_a_foreign_producer_is_served_and_answered_where_it_asks(
    servers: Mapping[str, str],
) -> None:
    async with a_trial(servers, "broker", "kafka", workers=2) as trial, start_producer(servers) as foreign:
        body, headers = JSON.encode(PlaceOrder(build_order("theirs"))), [("kind", b"place-order"), ("reply", b"1")]
        await foreign.send_and_wait(f"{trial.name}.user", body, key=b"theirs", headers=headers)
        (closed,) = await read_records(servers, f"{trial.name}.reply", 1, partition=1)
        assert JSON.decode("order-closed", closed.value).tracking_number == build_tracking_number("theirs")
        assert trial.client.duplicated == 0


@pytest.mark.parametrize("kind", [None, b"order-placed", b"\xff"], ids=["none", "another service's", "garbage"])
async def test_a_command_of_no_kind_of_its_service_is_a_dead_letter_and_the_service_goes_on(
    servers: Mapping[str, str], kind: bytes | None
) -> None:
    async with a_trial(servers, "broker", "kafka") as trial, start_producer(servers) as foreign:
        body, headers = JSON.encode(PlaceOrder(build_order("odd"))), [("from", b"afar")]
        headers += [] if kind is None else [("kind", kind)]
        await foreign.send_and_wait(f"{trial.name}.user", body, headers=headers)
        (dead,) = await read_records(servers, f"{trial.name}.unreadable", 1)
        said = [("reason", b"unreadable"), ("source", f"{trial.name}.user".encode())]
        assert (dead.value, list(dead.headers)) == (body, [*headers, *said])
        assert trial.serving["user"].unreadable == 1
        await trial.ship_order()


# confluent-kafka


async def test_both_clients_of_kafka_put_a_key_into_the_same_partition(servers: Mapping[str, str]) -> None:
    """So that what belongs to one order stays in its order whoever sent it."""
    keys = [f"key-{number}" for number in range(12)]
    partitions: dict[str, list[int]] = {}
    for client in ("aiokafka", "confluent"):
        options = {"client": client, "partitions": 5}
        transport = a_transport(servers, "events", "kafka", options=options)
        topic = f"{transport.setting.trial}.{KIND_BY_TYPE[PlaceOrder]}"
        await transport.prepare()
        try:
            async with transport.connect() as buyer:
                for key in keys:
                    await buyer.submit(PlaceOrder(build_order(key)))
            found = [await _keys(servers, topic, partition) for partition in range(5)]
        finally:
            await transport.remove()
        partitions[client] = [next(at for at, there in enumerate(found) if key in there) for key in keys]
    assert partitions["aiokafka"] == partitions["confluent"]
    assert len(set(partitions["confluent"])) > 1


async def _keys(servers: Mapping[str, str], topic: str, partition: int) -> set[str]:
    count = (await read_end_offsets(servers, [topic], partition))[topic]
    return {record.key.decode() for record in await read_records(servers, topic, count, partition)}


async def test_with_confluent_offsets_are_committed_when_a_service_stops(servers: Mapping[str, str]) -> None:
    async with a_trial(servers, "events", "kafka", options={"client": "confluent"}) as trial:
        await trial.ship_order("committed")
        group, topic = f"{trial.name}.shipping", f"{trial.name}.payment-taken"
        await wait_until_async(lambda: _reached(servers, group, {topic: 1}))


async def test_with_confluent_unreadable_records_go_to_the_dead_letter_topic(servers: Mapping[str, str]) -> None:
    async with (
        a_trial(servers, "events", "kafka", options={"client": "confluent"}) as trial,
        start_producer(servers) as foreign,
    ):
        await foreign.send_and_wait(f"{trial.name}.place-order", None, key=b"k", headers=[("from", b"afar")])
        await wait_until(lambda: trial.serving["user"].unreadable == 1)
        (dead,) = await read_records(servers, f"{trial.name}.unreadable", 1)
        said = [("reason", b"unreadable"), ("source", f"{trial.name}.place-order".encode())]
        assert (dead.value or b"", dead.key, list(dead.headers)) == (b"", b"k", [("from", b"afar"), *said])
        await trial.ship_order()


@pytest.mark.parametrize("side", ["connect", "serve"])
async def test_with_confluent_kafka_that_is_not_there_is_a_sentence(side: str) -> None:
    transport = a_transport({"kafka": "127.0.0.1:1"}, "events", "kafka", deadline_s=1, options={"client": "confluent"})
    with pytest.raises(Unreachable, match=r"Kafka does not answer at 127\.0\.0\.1:1"):
        async with transport.connect() if side == "connect" else transport.serve(open_service("user")):
            pytest.fail("connected")

"""A workflow over Kafka, looked at by plain aiokafka."""

import asyncio
import itertools
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import UnknownTopicOrPartitionError, for_code

from shop.factory import open_service
from shop.messages import PlaceOrder
from shop.service import Service
from shop.workflow import SERVICES
from tests.conftest import an_order
from transports.base import Client, Serving, Setting
from transports.events import EventsTransport
from transports.wire import codec_named

trial_names = (f"log-{os.getpid()}-{number}" for number in itertools.count())
JSON = codec_named("json")


def a_transport(servers: Mapping[str, str], **changes: Any) -> EventsTransport:
    return EventsTransport(Setting(**{"trial": next(trial_names), "servers": servers} | changes))


@dataclass
class Trial:
    """A workflow over Kafka, and a producer of somebody else's."""

    name: str
    servers: Mapping[str, str]
    client: Client
    services: dict[str, Service]
    serving: dict[str, Serving]
    foreign: AIOKafkaProducer

    async def put(self, kind: str, body: bytes | None, **record: Any) -> None:
        await self.foreign.send_and_wait(f"{self.name}.{kind}", body, **record)

    async def records(self, kind: str, count: int) -> list[ConsumerRecord]:
        return await read(self.servers, f"{self.name}.{kind}", count)

    async def ships(self, order_id: str = "after") -> None:
        async with asyncio.timeout(15):
            receipt = await self.client.submit(PlaceOrder(an_order(order_id)))
            assert (await receipt.finished).outcome.status == "shipped"


@asynccontextmanager
async def a_producer(servers: Mapping[str, str], **options: Any) -> AsyncIterator[AIOKafkaProducer]:
    producer = AIOKafkaProducer(bootstrap_servers=servers["kafka"], **options)
    try:
        await producer.start()
        yield producer
    finally:
        await producer.stop()


@asynccontextmanager
async def an_admin(servers: Mapping[str, str]) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(bootstrap_servers=servers["kafka"])
    try:
        await admin.start()
        yield admin
    finally:
        await admin.close()


@asynccontextmanager
async def a_trial(
    servers: Mapping[str, str], *, serve: tuple[str, ...] = SERVICES, **changes: Any
) -> AsyncIterator[Trial]:
    transport = a_transport(servers, **changes)
    shop = {name: open_service(name) for name in SERVICES}
    await transport.prepare()
    try:
        async with AsyncExitStack() as stack:
            foreign = await stack.enter_async_context(a_producer(servers))
            serving = {name: await stack.enter_async_context(transport.serve(shop[name])) for name in serve}
            client = await stack.enter_async_context(transport.connect())
            yield Trial(transport.setting.trial, servers, client, shop, serving, foreign)
    finally:
        await transport.remove()


async def read(servers: Mapping[str, str], topic: str, count: int, partition: int = 0) -> list[ConsumerRecord]:
    """The first ``count`` records of a topic, from its beginning."""
    consumer = AIOKafkaConsumer(bootstrap_servers=servers["kafka"])
    place, found = TopicPartition(topic, partition), []
    consumer.assign([place])
    try:
        await consumer.start()
        await consumer.seek_to_beginning(place)
        async with asyncio.timeout(10):
            while len(found) < count:
                found += [r for records in (await consumer.getmany(timeout_ms=100)).values() for r in records]
    finally:
        await consumer.stop()
    return found


async def ends(servers: Mapping[str, str], topics: list[str], partition: int = 0) -> dict[str, int]:
    """How many records each topic has in that partition."""
    consumer = AIOKafkaConsumer(bootstrap_servers=servers["kafka"])
    places = [TopicPartition(topic, partition) for topic in topics]
    consumer.assign(places)
    try:
        await consumer.start()
        return {place.topic: end for place, end in (await consumer.end_offsets(places)).items()}
    finally:
        await consumer.stop()


async def committed(servers: Mapping[str, str], group: str) -> dict[str, int]:
    async with an_admin(servers) as admin:
        offsets = await admin.list_consumer_group_offsets(group)
        return {place.topic: offset.offset for place, offset in offsets.items()}


async def configs(servers: Mapping[str, str], topic: str) -> dict[str, str]:
    """A topic's settings, once the broker knows the topic that the controller has made."""
    async with an_admin(servers) as admin, asyncio.timeout(10):
        while True:
            (response,) = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
            (code, _, _, _, entries), *_ = response.resources
            if code == 0:
                return {entry[0]: entry[1] for entry in entries}
            assert for_code(code) is UnknownTopicOrPartitionError


async def topics_of(servers: Mapping[str, str], trial: str) -> set[str]:
    async with an_admin(servers) as admin:
        return {topic for topic in await admin.list_topics() if topic.startswith(f"{trial}.")}


async def groups_of(servers: Mapping[str, str], trial: str) -> set[str]:
    async with an_admin(servers) as admin:
        return {group for group, *_ in await admin.list_consumer_groups() if group.startswith(f"{trial}.")}


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def until_true(ask: Callable[[], Any]) -> None:
    async with asyncio.timeout(10):
        while not await ask():  # noqa: ASYNC110
            await asyncio.sleep(0.02)

"""Runs the workflow over Kafka and inspects its topics with plain aiokafka."""

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
from tests.conftest import build_order
from transports.base import Client, ServingStats, Setting
from transports.events import EventsTransport
from transports.wire import load_codec

TRIAL_NAMES = (f"log-{os.getpid()}-{number}" for number in itertools.count())
JSON = load_codec("json")


def build_transport(servers: Mapping[str, str], **changes: Any) -> EventsTransport:
    return EventsTransport(Setting(**{"trial": next(TRIAL_NAMES), "servers": servers} | changes))


@dataclass
class KafkaTrial:
    """A workflow over Kafka, and a producer from outside it."""

    name: str
    servers: Mapping[str, str]
    client: Client
    services: dict[str, Service]
    serving: dict[str, ServingStats]
    foreign: AIOKafkaProducer

    async def publish(self, kind: str, body: bytes | None, **record: Any) -> None:
        await self.foreign.send_and_wait(f"{self.name}.{kind}", body, **record)

    async def records(self, kind: str, count: int) -> list[ConsumerRecord]:
        return await read_records(self.servers, f"{self.name}.{kind}", count)

    async def ship_order(self, order_id: str = "after") -> None:
        async with asyncio.timeout(15):
            receipt = await self.client.submit(PlaceOrder(build_order(order_id)))
            assert (await receipt.finished).outcome.status == "shipped"


@asynccontextmanager
async def start_producer(servers: Mapping[str, str], **options: Any) -> AsyncIterator[AIOKafkaProducer]:
    producer = AIOKafkaProducer(bootstrap_servers=servers["kafka"], **options)
    try:
        await producer.start()
        yield producer
    finally:
        await producer.stop()


@asynccontextmanager
async def start_admin_client(servers: Mapping[str, str]) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(bootstrap_servers=servers["kafka"])
    try:
        await admin.start()
        yield admin
    finally:
        await admin.close()


@asynccontextmanager
async def run_kafka_trial(
    servers: Mapping[str, str], *, serve: tuple[str, ...] = SERVICES, **changes: Any
) -> AsyncIterator[KafkaTrial]:
    transport = build_transport(servers, **changes)
    shop = {name: open_service(name) for name in SERVICES}
    await transport.prepare()
    try:
        async with AsyncExitStack() as stack:
            foreign = await stack.enter_async_context(start_producer(servers))
            serving = {name: await stack.enter_async_context(transport.serve(shop[name])) for name in serve}
            client = await stack.enter_async_context(transport.connect())
            yield KafkaTrial(transport.setting.trial, servers, client, shop, serving, foreign)
    finally:
        await transport.remove()


async def read_records(servers: Mapping[str, str], topic: str, count: int, partition: int = 0) -> list[ConsumerRecord]:
    """Returns the first ``count`` records of a topic."""
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


async def read_end_offsets(servers: Mapping[str, str], topics: list[str], partition: int = 0) -> dict[str, int]:
    """Returns the number of records in that partition, by topic."""
    consumer = AIOKafkaConsumer(bootstrap_servers=servers["kafka"])
    places = [TopicPartition(topic, partition) for topic in topics]
    consumer.assign(places)
    try:
        await consumer.start()
        return {place.topic: end for place, end in (await consumer.end_offsets(places)).items()}
    finally:
        await consumer.stop()


async def read_committed_offsets(servers: Mapping[str, str], group: str) -> dict[str, int]:
    async with start_admin_client(servers) as admin:
        offsets = await admin.list_consumer_group_offsets(group)
        return {place.topic: offset.offset for place, offset in offsets.items()}


async def read_topic_config(servers: Mapping[str, str], topic: str) -> dict[str, str]:
    """Returns a topic's settings, once the broker knows the topic."""
    async with start_admin_client(servers) as admin, asyncio.timeout(10):
        while True:
            (response,) = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
            (code, _, _, _, entries), *_ = response.resources
            if code == 0:
                return {entry[0]: entry[1] for entry in entries}
            assert for_code(code) is UnknownTopicOrPartitionError


async def list_trial_topics(servers: Mapping[str, str], trial: str) -> set[str]:
    async with start_admin_client(servers) as admin:
        return {topic for topic in await admin.list_topics() if topic.startswith(f"{trial}.")}


async def list_trial_groups(servers: Mapping[str, str], trial: str) -> set[str]:
    async with start_admin_client(servers) as admin:
        return {group for group, *_ in await admin.list_consumer_groups() if group.startswith(f"{trial}.")}


async def wait_until(condition: Callable[[], bool], within_s: float = 10) -> None:
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def wait_until_async(ask: Callable[[], Any]) -> None:
    async with asyncio.timeout(10):
        while not await ask():  # noqa: ASYNC110
            await asyncio.sleep(0.02)

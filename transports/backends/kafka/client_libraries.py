"""Two client libraries behind two functions: what sends records, and what takes them.

The interface is the part of aiokafka's that is used here, so that aiokafka itself stands behind it as it is.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from importlib import import_module
from importlib.metadata import version
from typing import Any, Protocol

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from transports.backends.kafka.config import Config, consumer_options, producer_options
from transports.backends.kafka.topology import Places, started
from transports.base import Setting


class Record(Protocol):
    """As it was fetched."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


class Producer(Protocol):
    async def send(
        self,
        topic: str,
        value: bytes | None = None,
        key: bytes | None = None,
        partition: int | None = None,
        *,
        headers: Sequence[tuple[str, bytes]] | None = None,
    ) -> "asyncio.Future[Any]":
        """Returns when the record is on its way; the future says that it is acknowledged. Both raise KafkaError."""


class Consumer(Protocol):
    async def getmany(self, *, timeout_ms: int = 0) -> dict[TopicPartition, list[Any]]:
        """What has come, waited for so long. Raises KafkaError."""

    async def commit(self, offsets: dict[TopicPartition, int]) -> None:
        """Raises KafkaError."""


def versions(config: Config) -> str:
    """The chosen library with its version, for the record."""
    if config.client == "confluent":
        library = import_module("transports.backends.kafka.librdkafka").LIBRARY
        return f"confluent-kafka {version('confluent-kafka')}, librdkafka {library}"
    return f"aiokafka {version('aiokafka')}"


@asynccontextmanager
async def producing(config: Config, setting: Setting, role: str) -> AsyncIterator[Producer]:
    """Raises KafkaError."""
    if config.client == "confluent":
        async with _confluent().producing(config, setting, role) as other:
            yield other
        return
    producer = AIOKafkaProducer(**producer_options(config, setting, role))
    async with started(producer):
        yield producer


@asynccontextmanager
async def in_group(config: Config, setting: Setting, service: str, places: Places) -> AsyncIterator[Consumer]:
    """A member of the service's group, which has its partitions. Raises KafkaError."""
    topics, group = places.heard_by[service], places.group_of[service]
    if config.client == "confluent":
        async with _confluent().in_group(config, setting, service, topics, group) as other:
            yield other
        return
    consumer = AIOKafkaConsumer(
        *topics, group_id=group, auto_offset_reset="earliest", **consumer_options(config, setting, service)
    )
    async with started(consumer):
        yield consumer


@asynccontextmanager
async def from_now_on(
    config: Config, setting: Setting, role: str, at: TopicPartition
) -> AsyncIterator[tuple[Consumer, int]]:
    """Whatever comes to this partition, which nobody else reads, and the offset of the first. Raises KafkaError."""
    if config.client == "confluent":
        async with _confluent().from_now_on(config, setting, role, at) as other:
            yield other
        return
    consumer = AIOKafkaConsumer(auto_offset_reset="earliest", **consumer_options(config, setting, role))
    # By assignment and without a group: nobody else reads this partition.
    consumer.assign([at])
    async with started(consumer):
        await consumer.seek_to_end(at)
        yield consumer, await consumer.position(at)


def _confluent() -> Any:
    """Imported when asked for: librdkafka in a process that uses aiokafka would be counted as memory of the method."""
    return import_module("transports.backends.kafka.confluent")

"""Opens Kafka producers and consumers with the chosen library, aiokafka or confluent-kafka.

The interface is the part of aiokafka's that is used here, so aiokafka's own classes fit without a wrapper.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from importlib import import_module
from importlib.metadata import version
from typing import Any, Protocol

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from transports.backends.kafka.config import Config, build_consumer_options, build_producer_options
from transports.backends.kafka.topology import TrialTopics, run_client
from transports.base import Setting


class FetchedRecord(Protocol):
    """A record as fetched from Kafka."""

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
        """Queues the record and returns a future that resolves when Kafka has acknowledged it.

        Both raise KafkaError.
        """


class Consumer(Protocol):
    async def getmany(self, *, timeout_ms: int = 0) -> dict[TopicPartition, list[Any]]:
        """Returns fetched records by partition, after waiting up to ``timeout_ms``. Raises KafkaError."""

    async def commit(self, offsets: dict[TopicPartition, int]) -> None:
        """Commits the offsets of this consumer's group. Raises KafkaError."""

    def assignment(self) -> Iterable[TopicPartition]:
        """Returns the partitions that this consumer reads now."""

    def pause(self, *partitions: TopicPartition) -> None:
        """Fetches no more from assigned partitions; what was fetched already may still come."""

    def resume(self, *partitions: TopicPartition) -> None:
        """Fetches from them again, from where it stopped."""


def describe_versions(config: Config) -> str:
    """Returns the name and version of the chosen library, for the manifest."""
    if config.client == "confluent":
        library = import_module("transports.backends.kafka.librdkafka").LIBRARY
        return f"confluent-kafka {version('confluent-kafka')}, librdkafka {library}"
    return f"aiokafka {version('aiokafka')}"


@asynccontextmanager
async def open_producer(config: Config, setting: Setting, role: str) -> AsyncIterator[Producer]:
    """Opens a producer with the role's credentials. Raises KafkaError."""
    if config.client == "confluent":
        async with _import_confluent().open_producer(config, setting, role) as other:
            yield other
        return
    producer = AIOKafkaProducer(**build_producer_options(config, setting, role))
    async with run_client(producer):
        yield producer


@asynccontextmanager
async def join_group(config: Config, setting: Setting, service: str, places: TrialTopics) -> AsyncIterator[Consumer]:
    """Opens a consumer in the service's group, with its partitions assigned. Raises KafkaError."""
    topics, group = places.subscriptions[service], places.group_by_service[service]
    if config.client == "confluent":
        async with _import_confluent().join_group(config, setting, service, topics, group) as other:
            yield other
        return
    consumer = AIOKafkaConsumer(
        *topics, group_id=group, auto_offset_reset="earliest", **build_consumer_options(config, setting, service)
    )
    async with run_client(consumer):
        yield consumer


@asynccontextmanager
async def read_from_end(
    config: Config, setting: Setting, role: str, at: TopicPartition
) -> AsyncIterator[tuple[Consumer, int]]:
    """Opens a consumer at the end of partition ``at``, and gives it with its first offset. Raises KafkaError.

    It is assigned the partition without a group: it is the only reader.
    """
    if config.client == "confluent":
        async with _import_confluent().read_from_end(config, setting, role, at) as other:
            yield other
        return
    consumer = AIOKafkaConsumer(auto_offset_reset="earliest", **build_consumer_options(config, setting, role))
    # By assignment and without a group: this is the partition's only reader.
    consumer.assign([at])
    async with run_client(consumer):
        await consumer.seek_to_end(at)
        yield consumer, await consumer.position(at)


def _import_confluent() -> Any:
    """Returns the confluent module, imported on demand.

    In a process that uses aiokafka, librdkafka would be counted as memory of the method.
    """
    return import_module("transports.backends.kafka.confluent")

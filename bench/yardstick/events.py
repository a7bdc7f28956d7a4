"""Bare Kafka chain on aiokafka: fetches a batch, sends it on, commits offsets after acks.

One commit at a time runs beside the fetching, as seldom as the transport's own.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from bench.yardstick import PassBody
from bench.yardstick.route import ROUTE, find_hops
from transports.backends.kafka.config import Config, build_consumer_options, build_producer_options
from transports.backends.kafka.topology import TrialTopics, run_client
from transports.base import Setting
from transports.events.routes import CHOREOGRAPHY
from transports.security import BUYER

_IDLE_MS = 200
_Batch = tuple[Sequence["asyncio.Future[Any]"], dict[TopicPartition, int]]


@asynccontextmanager
async def serve(service: str, setting: Setting) -> AsyncIterator[None]:
    places = TrialTopics(CHOREOGRAPHY, setting)
    hops = {places.topic_by_type[taken]: places.topic_by_type[passed] for taken, passed in find_hops(service).items()}
    producer = AIOKafkaProducer(**build_producer_options(Config(), setting, service))
    consumer = AIOKafkaConsumer(
        *hops,
        group_id=places.group_by_service[service],
        auto_offset_reset="earliest",
        **build_consumer_options(Config(), setting, service),
    )
    async with run_client(producer), run_client(consumer), asyncio.TaskGroup() as group:
        batches: asyncio.Queue[_Batch] = asyncio.Queue()
        tasks = (
            group.create_task(_pass_on(consumer, producer, hops, batches)),
            group.create_task(_commit(consumer, batches)),
        )
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()


async def _pass_on(
    consumer: AIOKafkaConsumer, producer: AIOKafkaProducer, hops: dict[str, str], batches: "asyncio.Queue[_Batch]"
) -> None:
    while True:
        fetched = await consumer.getmany(timeout_ms=_IDLE_MS)
        if not fetched:
            continue
        sent = [
            await producer.send(hops[record.topic], record.value, key=record.key)
            for records in fetched.values()
            for record in records
        ]
        batches.put_nowait((sent, {partition: records[-1].offset + 1 for partition, records in fetched.items()}))


async def _commit(consumer: AIOKafkaConsumer, batches: "asyncio.Queue[_Batch]") -> None:
    while True:
        sent, offsets = await batches.get()
        await asyncio.gather(*sent)
        while not batches.empty():
            sent, reached = batches.get_nowait()
            await asyncio.gather(*sent)
            offsets |= reached
        await consumer.commit(offsets)
        await asyncio.sleep(Config().commit_interval_ms / 1000)


@asynccontextmanager
async def connect(setting: Setting) -> AsyncIterator[PassBody]:
    waiting: dict[bytes, asyncio.Future[tuple[bytes, int]]] = {}
    places = TrialTopics(CHOREOGRAPHY, setting)
    orders, back = places.topic_by_type[ROUTE[0]], TopicPartition(places.outcome_topic, setting.worker)
    producer = AIOKafkaProducer(**build_producer_options(Config(), setting, BUYER))
    consumer = AIOKafkaConsumer(**build_consumer_options(Config(), setting, BUYER))
    consumer.assign([back])

    async def listen() -> None:
        while True:
            fetched = await consumer.getmany(timeout_ms=1000)
            at_ns = time.monotonic_ns()
            for records in fetched.values():
                for record in records:
                    waiting.pop(record.key).set_result((record.value, at_ns))

    async with run_client(producer), run_client(consumer):
        await consumer.seek_to_end(back)
        await consumer.position(back)
        listening = asyncio.create_task(listen())
        loop = asyncio.get_running_loop()

        async def pass_(key: str, body: bytes) -> tuple[bytes, int]:
            raw = key.encode()
            came: asyncio.Future[tuple[bytes, int]] = loop.create_future()
            waiting[raw] = came
            await (await producer.send(orders, body, key=raw))
            return await came

        try:
            yield pass_
        finally:
            listening.cancel()
            with suppress(asyncio.CancelledError):
                await listening

"""aiokafka: a batch is fetched and sent on; one commit at a time follows the acknowledgements, beside the fetching."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from bench.calibration.baseline.bare import Pass
from bench.calibration.baseline.bare.route import ROUTE, hops_of
from transports.backends.kafka.config import Config, consumer_options, producer_options
from transports.backends.kafka.topology import Places, started
from transports.base import Setting
from transports.events.routes import CHOREOGRAPHY
from transports.security import BUYER

_IDLE_MS = 200
_Batch = tuple[Sequence["asyncio.Future[Any]"], dict[TopicPartition, int]]


@asynccontextmanager
async def serve(service: str, setting: Setting) -> AsyncIterator[None]:
    places = Places(CHOREOGRAPHY, setting)
    hops = {places.topic_of[taken]: places.topic_of[passed] for taken, passed in hops_of(service).items()}
    producer = AIOKafkaProducer(**producer_options(Config(), setting, service))
    consumer = AIOKafkaConsumer(
        *hops,
        group_id=places.group_of[service],
        auto_offset_reset="earliest",
        **consumer_options(Config(), setting, service),
    )
    async with started(producer), started(consumer), asyncio.TaskGroup() as group:
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


@asynccontextmanager
async def connect(setting: Setting) -> AsyncIterator[Pass]:
    waiting: dict[bytes, asyncio.Future[tuple[bytes, int]]] = {}
    places = Places(CHOREOGRAPHY, setting)
    orders, back = places.topic_of[ROUTE[0]], TopicPartition(places.outcomes, setting.worker)
    producer = AIOKafkaProducer(**producer_options(Config(), setting, BUYER))
    consumer = AIOKafkaConsumer(**consumer_options(Config(), setting, BUYER))
    consumer.assign([back])

    async def listen() -> None:
        while True:
            fetched = await consumer.getmany(timeout_ms=1000)
            at_ns = time.monotonic_ns()
            for records in fetched.values():
                for record in records:
                    waiting.pop(record.key).set_result((record.value, at_ns))

    async with started(producer), started(consumer):
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

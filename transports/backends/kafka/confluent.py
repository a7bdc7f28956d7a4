"""confluent-kafka behind aiokafka's interface: its plain Producer with a thread that polls, its Consumer in a thread.

librdkafka does its network in threads of its own; what a thread of ours hears from it is handed to the event loop in
one call for as much as there is at once.
"""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, NamedTuple

from aiokafka import TopicPartition
from aiokafka.errors import KafkaConnectionError, KafkaError
from confluent_kafka import Consumer, KafkaException, Message, Producer
from confluent_kafka import KafkaError as TheirError
from confluent_kafka import TopicPartition as TheirPartition

from transports.backends.kafka.config import Config
from transports.backends.kafka.librdkafka import as_usual, consumer_options, made, producer_options, translated
from transports.backends.kafka.topology import ASK_AGAIN_S
from transports.base import Setting

_POLL_S = 0.1
"""How long a thread waits at most before it looks whether it is to end."""
_MOST = 500
"""Records that are handed on together, at most."""
_CONNECT_S = 10.0
_AHEAD = 2
"""Such handfuls that may wait for the event loop; then librdkafka keeps what it fetches."""
_FULL_S = 0.002
"""Between two looks whether librdkafka's queue has room again."""


class Record(NamedTuple):
    """As aiokafka has it."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


class ConfluentProducer:
    """Sends from the event loop, and hears of deliveries in a thread."""

    def __init__(self, options: dict[str, Any], patience_s: float) -> None:
        self._producer = made(Producer, options)
        self._patience_s = patience_s
        self._loop = asyncio.get_running_loop()
        self._told: list[tuple[asyncio.Future[None], TheirError | None]] = []
        """What the thread heard in one poll; no other thread has it."""
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="deliveries", daemon=True)

    async def start(self) -> None:
        """Raises KafkaError when no broker answers."""
        await _asked(self._producer.list_topics, timeout=self._patience_s)
        self._thread.start()

    async def send(
        self,
        topic: str,
        value: bytes | None = None,
        key: bytes | None = None,
        partition: int | None = None,
        *,
        headers: Sequence[tuple[str, bytes]] | None = None,
    ) -> "asyncio.Future[None]":
        acknowledged: asyncio.Future[None] = self._loop.create_future()
        told = partial(self._hear, acknowledged)
        while True:
            try:
                self._producer.produce(
                    topic, value, key, -1 if partition is None else partition, told, headers=list(headers or ())
                )
                return acknowledged
            except BufferError:
                await asyncio.sleep(_FULL_S)
            except KafkaException as error:
                raise translated(error.args[0]) from error

    async def stop(self) -> None:
        """What is on its way is told first, or out of time."""
        self._stopping.set()
        if self._thread.ident is not None:
            await asyncio.to_thread(self._thread.join)

    def _listen(self) -> None:
        as_usual()
        while not self._stopping.is_set() or len(self._producer):
            self._producer.poll(_POLL_S)
            if self._told:
                told, self._told = self._told, []
                self._loop.call_soon_threadsafe(_tell, told)

    def _hear(self, acknowledged: "asyncio.Future[None]", error: TheirError | None, message: Message) -> None:
        self._told.append((acknowledged, error))


def _tell(told: list[tuple["asyncio.Future[None]", TheirError | None]]) -> None:
    for acknowledged, error in told:
        if acknowledged.done():
            continue
        if error is None:
            acknowledged.set_result(None)
        else:
            acknowledged.set_exception(translated(error))


class ConfluentConsumer:
    """Takes in a thread, from which the event loop gets handfuls."""

    def __init__(self, options: dict[str, Any], patience_s: float) -> None:
        self._consumer = made(Consumer, options | {"on_commit": self._hear_committed})
        self._patience_s = patience_s
        self._loop = asyncio.get_running_loop()
        self._came = asyncio.Event()
        self._assigned = asyncio.Event()
        self._handfuls: list[list[Message]] = []
        self._error: KafkaError | None = None
        """To be raised when what came with it is taken."""
        self._committed: asyncio.Future[None] | None = None
        self._reached: list[TheirPartition] = []
        self._room = threading.Semaphore(_AHEAD)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._take, name="fetches", daemon=True)

    async def join(self, topics: Sequence[str]) -> None:
        """Of the group; returns when it has its partitions. Raises KafkaError when no broker answers in time."""
        await _asked(self._consumer.list_topics, timeout=self._patience_s)
        self._consumer.subscribe(list(topics), on_assign=self._hear_assigned)
        self._thread.start()
        try:
            async with asyncio.timeout(self._patience_s):
                await self._assigned.wait()
        except TimeoutError as error:
            raise KafkaConnectionError(f"no partitions within {self._patience_s:g} s") from error

    async def begin_at_end(self, at: TopicPartition) -> int:
        """Without a group: the offset of whatever comes next. Raises KafkaError."""
        end = await self._end_of(TheirPartition(at.topic, at.partition))
        self._consumer.assign([TheirPartition(at.topic, at.partition, end)])
        self._thread.start()
        return end

    async def _end_of(self, there: TheirPartition) -> int:
        """A partition that was only just made may not have a leader yet."""
        give_up_s = time.monotonic() + self._patience_s
        while True:
            try:
                _, end = await _asked(self._consumer.get_watermark_offsets, there, timeout=self._patience_s)
                return int(end)
            except KafkaError as error:
                if not error.retriable or time.monotonic() > give_up_s:
                    raise
                await asyncio.sleep(ASK_AGAIN_S)

    async def getmany(self, *, timeout_ms: int = 0) -> dict[TopicPartition, list[Record]]:
        if not self._handfuls and self._error is None:
            try:
                async with asyncio.timeout(timeout_ms / 1000):
                    await self._came.wait()
            except TimeoutError:
                return {}
        handfuls, self._handfuls = self._handfuls, []
        self._came.clear()
        self._room.release(len(handfuls))
        found: dict[TopicPartition, list[Record]] = {}
        for message in (message for handful in handfuls for message in handful):
            if (error := message.error()) is not None:
                self._error = translated(error)
                continue
            record = _record(message)
            found.setdefault(TopicPartition(record.topic, record.partition), []).append(record)
        if not found and self._error is not None:
            error, self._error = self._error, None
            raise error
        return found

    async def commit(self, offsets: dict[TopicPartition, int]) -> None:
        """One after the other: librdkafka does not say which commit it tells of.

        By the thread that polls, between two polls. Seen with 2.16.1: one from another thread may wait without end
        while this one polls again and again.
        """
        self._committed = committed = self._loop.create_future()
        self._reached = [TheirPartition(at.topic, at.partition, offset) for at, offset in offsets.items()]
        await committed

    async def stop(self) -> None:
        """Leave the group, so that the next member need not wait."""
        self._stopping.set()
        self._room.release()
        if self._thread.ident is not None:
            await asyncio.to_thread(self._thread.join)
        await asyncio.to_thread(self._consumer.close)

    def _take(self) -> None:
        as_usual()
        while not self._stopping.is_set():
            if self._reached:
                reached, self._reached = self._reached, []
                self._commit(reached)
            first = self._consumer.poll(_POLL_S)
            if first is None:
                continue
            # Whatever is there beside it; asked for several, librdkafka would wait until they have all come.
            handful = [first, *self._consumer.consume(_MOST - 1, 0)]
            self._room.acquire()
            self._loop.call_soon_threadsafe(self._hear, handful)

    def _commit(self, reached: list[TheirPartition]) -> None:
        try:
            self._consumer.commit(offsets=reached, asynchronous=True)
        except KafkaException as error:
            self._hear_committed(error.args[0], reached)

    def _hear(self, handful: list[Message]) -> None:
        self._handfuls.append(handful)
        self._came.set()

    def _hear_committed(self, error: TheirError | None, partitions: list[TheirPartition]) -> None:
        if self._committed is not None:
            self._loop.call_soon_threadsafe(_tell, [(self._committed, error)])

    def _hear_assigned(self, consumer: Consumer, partitions: list[TheirPartition]) -> None:
        self._loop.call_soon_threadsafe(self._assigned.set)


def _record(message: Any) -> Record:
    headers = tuple(message.headers() or ())
    return Record(message.topic(), message.partition(), message.offset(), message.key(), message.value(), headers)


def _patience_s(setting: Setting) -> float:
    """For an answer while connecting: a deadline for orders may be shorter than what librdkafka takes for that."""
    return max(setting.deadline_s, _CONNECT_S)


async def _asked(ask: Any, *args: Any, **options: Any) -> Any:
    """What blocks, in a thread of its own. Raises KafkaError."""
    try:
        return await asyncio.to_thread(ask, *args, **options)
    except KafkaException as error:
        raise translated(error.args[0]) from error


@asynccontextmanager
async def producing(config: Config, setting: Setting, role: str) -> AsyncIterator[ConfluentProducer]:
    producer = ConfluentProducer(producer_options(config, setting, role), _patience_s(setting))
    try:
        await producer.start()
        yield producer
    finally:
        await producer.stop()


@asynccontextmanager
async def in_group(
    config: Config, setting: Setting, role: str, topics: Sequence[str], group: str
) -> AsyncIterator[ConfluentConsumer]:
    consumer = ConfluentConsumer(consumer_options(config, setting, role, group), _patience_s(setting))
    try:
        await consumer.join(topics)
        yield consumer
    finally:
        await consumer.stop()


@asynccontextmanager
async def from_now_on(
    config: Config, setting: Setting, role: str, at: TopicPartition
) -> AsyncIterator[tuple[ConfluentConsumer, int]]:
    # librdkafka wants the name of a group, which nobody joins.
    options = consumer_options(config, setting, role, f"{at.topic}.{at.partition}")
    consumer = ConfluentConsumer(options, _patience_s(setting))
    try:
        yield consumer, await consumer.begin_at_end(at)
    finally:
        await consumer.stop()

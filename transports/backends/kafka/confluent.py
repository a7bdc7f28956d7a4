"""Wraps confluent-kafka in aiokafka's interface: producer and consumer with a thread each.

confluent-kafka is a binding of librdkafka, which does its network calls in threads of its own. Our thread polls it and
hands everything that is ready to the event loop in one call.
"""

import asyncio
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, NamedTuple

from aiokafka import TopicPartition
from aiokafka.errors import KafkaConnectionError, KafkaError
from confluent_kafka import Consumer, KafkaException, Message, Producer
from confluent_kafka import KafkaError as TheirError
from confluent_kafka import TopicPartition as TheirPartition

from transports.backends.kafka.config import Config
from transports.backends.kafka.librdkafka import (
    build_client,
    build_consumer_options,
    build_producer_options,
    translate_error,
    use_normal_scheduling,
)
from transports.backends.kafka.topology import RETRY_PAUSE_S
from transports.base import Setting

_POLL_TIMEOUT_S = 0.1
"""The longest wait of a thread until it checks whether it must end."""
_MAX_BATCH_RECORDS = 500
"""The most records that are handed on together."""
_MIN_CONNECT_TIMEOUT_S = 10.0
_MAX_WAITING_BATCHES = 2
"""The most such batches that wait for the event loop; then librdkafka keeps what it fetches."""
_QUEUE_FULL_PAUSE_S = 0.002
"""The pause between two checks whether librdkafka's queue has room again."""


class ConfluentRecord(NamedTuple):
    """A record with the fields that aiokafka gives it."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


class ConfluentProducer:
    """Produces from the event loop; a thread polls for delivery reports."""

    def __init__(self, options: dict[str, Any], patience_s: float) -> None:
        self._producer = build_client(Producer, options)
        self._patience_s = patience_s
        self._loop = asyncio.get_running_loop()
        self._told: list[tuple[asyncio.Future[None], TheirError | None]] = []
        """The delivery reports of one poll; only the polling thread uses the list."""
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="deliveries", daemon=True)

    async def start(self) -> None:
        """Raises KafkaError when no broker answers."""
        await _run_in_thread(self._producer.list_topics, timeout=self._patience_s)
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
        told = partial(self._collect, acknowledged)
        while True:
            try:
                self._producer.produce(
                    topic, value, key, -1 if partition is None else partition, told, headers=list(headers or ())
                )
                return acknowledged
            except BufferError:
                await asyncio.sleep(_QUEUE_FULL_PAUSE_S)
            except KafkaException as error:
                raise translate_error(error.args[0]) from error

    async def stop(self) -> None:
        """Waits until every record is acknowledged or has timed out."""
        self._stopping.set()
        if self._thread.ident is not None:
            await asyncio.to_thread(self._thread.join)

    def _listen(self) -> None:
        use_normal_scheduling()
        while not self._stopping.is_set() or len(self._producer):
            self._producer.poll(_POLL_TIMEOUT_S)
            if self._told:
                told, self._told = self._told, []
                self._loop.call_soon_threadsafe(_resolve_futures, told)

    def _collect(self, acknowledged: "asyncio.Future[None]", error: TheirError | None, message: Message) -> None:
        self._told.append((acknowledged, error))


def _resolve_futures(told: list[tuple["asyncio.Future[None]", TheirError | None]]) -> None:
    for acknowledged, error in told:
        if acknowledged.done():
            continue
        if error is None:
            acknowledged.set_result(None)
        else:
            acknowledged.set_exception(translate_error(error))


class ConfluentConsumer:
    """Consumes in a thread, which hands batches to the event loop."""

    def __init__(self, options: dict[str, Any], patience_s: float) -> None:
        self._consumer = build_client(Consumer, options | {"on_commit": self._on_commit})
        self._patience_s = patience_s
        self._loop = asyncio.get_running_loop()
        self._batch_arrived = asyncio.Event()
        self._assigned = asyncio.Event()
        self._received_batches: list[list[Message]] = []
        self._error: KafkaError | None = None
        """The error to raise when the batch that came with it is taken."""
        self._committed: asyncio.Future[None] | None = None
        self._offsets_to_commit: list[TheirPartition] = []
        self._is_paused: dict[TopicPartition, bool] = {}
        """The assigned partitions, and whether they are paused or about to be."""
        self._calls: deque[Callable[[], None]] = deque()
        """What the polling thread has to call."""
        self._free_slots = threading.Semaphore(_MAX_WAITING_BATCHES)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._take, name="fetches", daemon=True)

    async def join(self, topics: Sequence[str]) -> None:
        """Joins the group and returns when partitions are assigned. Raises KafkaError if no broker answers in time."""
        await _run_in_thread(self._consumer.list_topics, timeout=self._patience_s)
        self._consumer.subscribe(list(topics), on_assign=self._on_assign)
        self._thread.start()
        try:
            async with asyncio.timeout(self._patience_s):
                await self._assigned.wait()
        except TimeoutError as error:
            raise KafkaConnectionError(f"no partitions within {self._patience_s:g} s") from error

    async def assign_at_end(self, at: TopicPartition) -> int:
        """Assigns partition ``at`` without a group and returns the offset of the next record. Raises KafkaError."""
        end = await self._find_end_offset(TheirPartition(at.topic, at.partition))
        self._consumer.assign([TheirPartition(at.topic, at.partition, end)])
        self._thread.start()
        return end

    async def _find_end_offset(self, there: TheirPartition) -> int:
        """Returns the end offset; retries, as a partition that was just created may not have a leader yet."""
        give_up_s = time.monotonic() + self._patience_s
        while True:
            try:
                _, end = await _run_in_thread(self._consumer.get_watermark_offsets, there, timeout=self._patience_s)
                return int(end)
            except KafkaError as error:
                if not error.retriable or time.monotonic() > give_up_s:
                    raise
                await asyncio.sleep(RETRY_PAUSE_S)

    async def getmany(self, *, timeout_ms: int = 0) -> dict[TopicPartition, list[ConfluentRecord]]:
        if not self._received_batches and self._error is None:
            try:
                async with asyncio.timeout(timeout_ms / 1000):
                    await self._batch_arrived.wait()
            except TimeoutError:
                return {}
        handfuls, self._received_batches = self._received_batches, []
        self._batch_arrived.clear()
        self._free_slots.release(len(handfuls))
        found: dict[TopicPartition, list[ConfluentRecord]] = {}
        for message in (message for handful in handfuls for message in handful):
            if (error := message.error()) is not None:
                self._error = translate_error(error)
                continue
            record = _build_record(message)
            found.setdefault(TopicPartition(record.topic, record.partition), []).append(record)
        if not found and self._error is not None:
            error, self._error = self._error, None
            raise error
        return found

    async def commit(self, offsets: dict[TopicPartition, int]) -> None:
        """Commits offsets; one call at a time, as librdkafka does not say which commit a report is about.

        The polling thread commits between two polls. Seen with 2.16.1: a commit from another thread may wait for ever
        while this one keeps polling.
        """
        self._committed = committed = self._loop.create_future()
        self._offsets_to_commit = [TheirPartition(at.topic, at.partition, offset) for at, offset in offsets.items()]
        await committed

    def assignment(self) -> list[TopicPartition]:
        return list(self._is_paused)

    def pause(self, *partitions: TopicPartition) -> None:
        self._ask_to(self._consumer.pause, partitions, paused=True)

    def resume(self, *partitions: TopicPartition) -> None:
        self._ask_to(self._consumer.resume, partitions, paused=False)

    def _ask_to(self, call: Callable[..., Any], partitions: Sequence[TopicPartition], *, paused: bool) -> None:
        """Has the polling thread call this before its next poll, for those partitions that are not so already."""
        concerned = [at for at in partitions if self._is_paused.get(at) is not paused]
        self._is_paused.update(dict.fromkeys(concerned, paused))
        if concerned:
            self._calls.append(partial(call, [TheirPartition(at.topic, at.partition) for at in concerned]))

    async def stop(self) -> None:
        """Leaves the group, so that the next member waits for no session timeout."""
        self._stopping.set()
        self._free_slots.release()
        if self._thread.ident is not None:
            await asyncio.to_thread(self._thread.join)
        await asyncio.to_thread(self._consumer.close)

    def _take(self) -> None:
        use_normal_scheduling()
        while not self._stopping.is_set():
            if self._offsets_to_commit:
                reached, self._offsets_to_commit = self._offsets_to_commit, []
                self._commit(reached)
            while self._calls:
                self._calls.popleft()()
            first = self._consumer.poll(_POLL_TIMEOUT_S)
            if first is None:
                continue
            # Takes those that are there already; asked for several, librdkafka would wait until all have come.
            handful = [first, *self._consumer.consume(_MAX_BATCH_RECORDS - 1, 0)]
            self._free_slots.acquire()
            self._loop.call_soon_threadsafe(self._collect, handful)

    def _commit(self, reached: list[TheirPartition]) -> None:
        try:
            self._consumer.commit(offsets=reached, asynchronous=True)
        except KafkaException as error:
            self._on_commit(error.args[0], reached)

    def _collect(self, handful: list[Message]) -> None:
        self._received_batches.append(handful)
        self._batch_arrived.set()

    def _on_commit(self, error: TheirError | None, partitions: list[TheirPartition]) -> None:
        if self._committed is not None:
            self._loop.call_soon_threadsafe(_resolve_futures, [(self._committed, error)])

    def _on_assign(self, consumer: Consumer, partitions: list[TheirPartition]) -> None:
        self._loop.call_soon_threadsafe(self._note_assignment, partitions)

    def _note_assignment(self, partitions: list[TheirPartition]) -> None:
        self._is_paused = dict.fromkeys((TopicPartition(at.topic, at.partition) for at in partitions), False)
        self._assigned.set()


def _build_record(message: Any) -> ConfluentRecord:
    place = message.topic(), message.partition(), message.offset(), message.key(), message.value()
    try:
        return ConfluentRecord(*place, tuple(message.headers() or ()))
    except (UnicodeDecodeError, SystemError):
        # The name of one is no UTF-8. Seen with 2.16.1: the error may come from the next call, as a SystemError.
        return ConfluentRecord(*place, ())


def _choose_connect_timeout_s(setting: Setting) -> float:
    """Returns the timeout for connecting: a deadline for orders may be shorter than librdkafka takes to connect."""
    return max(setting.deadline_s, _MIN_CONNECT_TIMEOUT_S)


async def _run_in_thread(ask: Any, *args: Any, **options: Any) -> Any:
    """Runs a blocking call in a thread and returns its result. Raises KafkaError."""
    try:
        return await asyncio.to_thread(ask, *args, **options)
    except KafkaException as error:
        raise translate_error(error.args[0]) from error


@asynccontextmanager
async def open_producer(config: Config, setting: Setting, role: str) -> AsyncIterator[ConfluentProducer]:
    producer = ConfluentProducer(build_producer_options(config, setting, role), _choose_connect_timeout_s(setting))
    try:
        await producer.start()
        yield producer
    finally:
        await producer.stop()


@asynccontextmanager
async def join_group(
    config: Config, setting: Setting, role: str, topics: Sequence[str], group: str
) -> AsyncIterator[ConfluentConsumer]:
    consumer = ConfluentConsumer(
        build_consumer_options(config, setting, role, group), _choose_connect_timeout_s(setting)
    )
    try:
        await consumer.join(topics)
        yield consumer
    finally:
        await consumer.stop()


@asynccontextmanager
async def read_from_end(
    config: Config, setting: Setting, role: str, at: TopicPartition
) -> AsyncIterator[tuple[ConfluentConsumer, int]]:
    # librdkafka requires the name of a group; no consumer joins it.
    options = build_consumer_options(config, setting, role, f"{at.topic}.{at.partition}")
    consumer = ConfluentConsumer(options, _choose_connect_timeout_s(setting))
    try:
        yield consumer, await consumer.assign_at_end(at)
    finally:
        await consumer.stop()

"""A service in its consumer group: a batch is handled in order, its facts are sent, acknowledged, then committed."""

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import Any

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError, MessageSizeTooLargeError

from shop.messages import Message
from shop.workflow import is_outcome, kinds_consumed_by
from transports.backends.kafka.bounded_decompression import Reader, up_to
from transports.backends.kafka.client_libraries import Consumer, Producer, Record
from transports.backends.kafka.config import max_batch_bytes
from transports.backends.kafka.headers import LIES_AT, REPLY, WHAT, header, kind_header, reply_header
from transports.backends.kafka.topology import ASK_AGAIN_S, Places, passes, unreachable
from transports.base import Serving, Setting
from transports.dispatch import Desk
from transports.errors import TooLarge, Unreadable
from transports.wire import codec_named

_log = logging.getLogger(__name__)

_IDLE_MS = 200
Offsets = dict[TopicPartition, int]


class Member:
    """One process of a service's group."""

    def __init__(
        self,
        desk: Desk,
        serving: Serving,
        consumer: Consumer,
        producer: Producer,
        places: Places,
        setting: Setting,
    ) -> None:
        self._desk = desk
        self._serving = serving
        self._consumer = consumer
        self._producer = producer
        self._setting = setting
        self._codec = codec_named(setting.codec)
        self._places = places
        self._reply_partitions = {reply_header(worker)[1]: worker for worker in range(setting.workers)}
        self._kinds = frozenset(kinds_consumed_by(desk.service.name))
        self._stopping = False
        self._failing_since_s = 0.0
        self._reader = Reader(consumer)
        self._commits = _Commits(consumer, setting)

    async def run(self) -> None:
        """Until ``stop``; then what is in hand is acknowledged and committed.

        Raises Unreachable when Kafka does not take a fact: whoever is next in the group gets its cause again.
        """
        committing = asyncio.create_task(self._commits.run())
        try:
            with up_to(max_batch_bytes(self._setting)):
                while not self._stopping and not committing.done():
                    fetched = await self._fetched()
                    if fetched:
                        await self._take(fetched)
        except KafkaError as error:
            raise unreachable(self._setting, error) from error
        finally:
            self._commits.finish()
            await committing

    def stop(self) -> None:
        self._stopping = True

    async def _fetched(self) -> dict[TopicPartition, list[Record]]:
        """Raises KafkaError for what will not pass, or has not within the deadline."""
        try:
            fetched, left_out = await self._reader.fetched(_IDLE_MS)
        except KafkaError as error:
            now_s = time.monotonic()
            self._failing_since_s = self._failing_since_s or now_s
            if not passes(error) or now_s - self._failing_since_s > self._setting.deadline_s:
                raise
            _log.warning("Kafka is not ready: %r", error)
            await asyncio.sleep(ASK_AGAIN_S)
            return {}
        self._failing_since_s = 0.0
        for place in left_out:
            self._serving.unreadable += 1
            _log.warning("over the limit when it is inflated, to the dead-letter topic: %s", place)
            await (await self._note(place))
        return fetched

    async def _take(self, fetched: dict[TopicPartition, list[Record]]) -> None:
        """Facts are on their way when this returns. Their acknowledgements and the commit are waited for elsewhere:
        waiting here would add both to every batch that comes next."""
        arrived_ns = time.monotonic_ns()
        readable: list[Record] = []
        messages: list[Message] = []
        sent: list[asyncio.Future[Any]] = []
        for records in fetched.values():
            for record in records:
                try:
                    messages.append(self._read(record))
                    readable.append(record)
                except Unreadable as error:
                    self._serving.unreadable += 1
                    _log.warning("unreadable, to the dead-letter topic: %s", error)
                    sent.append(await self._bury(record))
        for record, fact in zip(readable, await self._handle(messages, arrived_ns), strict=True):
            if fact is None:
                self._serving.failed += 1
                sent.append(await self._bury(record))
                continue
            body = self._codec.encode(fact)
            partition = self._reply_partition(record) if is_outcome(fact) else None
            try:
                if len(body) > self._setting.max_message_bytes:
                    raise TooLarge(len(body), self._setting.max_message_bytes)
                topic, headers = self._places.topic_of[type(fact)], self._headers_of(fact, record)
                sent.append(await self._send(topic, body, record, headers, partition))
            except (TooLarge, MessageSizeTooLargeError) as error:
                self._serving.failed += 1
                _log.warning("a fact is too large, its cause goes to the dead-letter topic: %s", error)
                sent.append(await self._bury(record))
            else:
                self._serving.handled += 1
        self._commits.add(sent, {partition: records[-1].offset + 1 for partition, records in fetched.items()})

    async def _handle(self, messages: list[Message], arrived_ns: int) -> Sequence[Message | None]:
        """The facts that follow, None for a message that cannot be handled at all."""
        try:
            return await self._desk.handle_all(messages, arrived_ns)
        except Exception as error:  # noqa: BLE001 - one bad message must not stop the others
            if len(messages) == 1:
                _log.exception("cannot be handled, to the dead-letter topic", exc_info=error)
                return [None]
        # One of them spoils the batch: each by itself tells which.
        return [fact for message in messages for fact in await self._handle([message], arrived_ns)]

    def _read(self, record: Record) -> Message:
        kind = self._places.kind_at.get(record.topic) or header(record, WHAT).decode(errors="replace")
        if kind not in self._kinds:
            raise Unreadable(f"the {self._desk.service.name} service consumes no {kind!r}")
        return self._codec.decode(kind, record.value or b"")

    def _headers_of(self, fact: Message, cause: Record) -> list[tuple[str, bytes]]:
        """Those of its cause travel along."""
        if self._places.kind_at:
            return list(cause.headers)
        return [kind_header(type(fact)), *(pair for pair in cause.headers if pair[0] != WHAT)]

    async def _send(
        self,
        topic: str,
        body: bytes,
        cause: Record,
        headers: list[tuple[str, bytes]],
        partition: int | None = None,
    ) -> "asyncio.Future[Any]":
        acknowledged: asyncio.Future[Any] = await self._producer.send(
            topic, body, key=cause.key, partition=partition, headers=headers
        )
        return acknowledged

    async def _bury(self, record: Record) -> "asyncio.Future[Any]":
        """To the dead-letter topic as it is; where it lies instead, when it is too large to be sent once more.

        Kafka limits a record as its producer compressed it, and here it is not compressed.
        """
        try:
            return await self._send(self._places.dead_letters, record.value or b"", record, list(record.headers))
        except MessageSizeTooLargeError as error:
            place = f"{record.topic}/{record.partition}/{record.offset}"
            _log.warning("too large for a dead letter, which only says that it lies at %s: %s", place, error)
            return await self._note(place)

    async def _note(self, place: str) -> "asyncio.Future[Any]":
        """A dead letter that says where it lies."""
        note: asyncio.Future[Any] = await self._producer.send(
            self._places.dead_letters, b"", headers=[(LIES_AT, place.encode())]
        )
        return note

    def _reply_partition(self, record: Record) -> int:
        """Where the buyer listens; 0 for an order that does not say, or names a partition that is not there."""
        return self._reply_partitions.get(header(record, REPLY), 0)


class _Commits:
    """Offsets are committed after the facts that follow from them are acknowledged, in the order of the batches.

    While one commit is on its way the next batches gather, and one commit takes them all.
    """

    def __init__(self, consumer: Consumer, setting: Setting) -> None:
        self._consumer = consumer
        self._setting = setting
        self._batches: asyncio.Queue[tuple[Sequence[asyncio.Future[Any]], Offsets] | None] = asyncio.Queue()

    def add(self, sent: Sequence[asyncio.Future[Any]], offsets: Offsets) -> None:
        self._batches.put_nowait((sent, offsets))

    def finish(self) -> None:
        """Have ``run`` commit what was added and return."""
        self._batches.put_nowait(None)

    async def run(self) -> None:
        """Raises Unreachable when a fact was not taken; nothing at or behind its batch is committed."""
        finishing = False
        while not finishing:
            batch = await self._batches.get()
            offsets: Offsets = {}
            while batch is not None:
                sent, reached = batch
                try:
                    await asyncio.gather(*sent)
                except KafkaError as error:
                    raise unreachable(self._setting, error) from error
                offsets |= reached
                if self._batches.empty():
                    break
                batch = self._batches.get_nowait()
            finishing = batch is None
            if offsets:
                await self._commit(offsets)

    async def _commit(self, offsets: Offsets) -> None:
        try:
            await self._consumer.commit(offsets)
        except KafkaError as error:
            # Delivered again after a restart; remembered decisions make that harmless.
            _log.warning("a commit was refused: %r", error)

"""Consumes for a service on Kafka: handles batches, sends facts, then commits offsets."""

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import Any

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError, MessageSizeTooLargeError

from shop.messages import Message
from shop.service import Conflict
from shop.workflow import is_outcome, list_consumed_kinds
from transports.backends.kafka.bounded_decompression import BoundedReader, limit_decompression
from transports.backends.kafka.client_libraries import Consumer, FetchedRecord, Producer
from transports.backends.kafka.commits import CommitQueue
from transports.backends.kafka.config import Config, max_batch_bytes
from transports.backends.kafka.headers import (
    CONFLICT_REASON,
    KIND_HEADER,
    LOCATION_HEADER,
    REASON_HEADER,
    REPLY_HEADER,
    build_kind_header,
    build_reply_header,
    read_header,
)
from transports.backends.kafka.topology import RETRY_PAUSE_S, TrialTopics, build_unreachable, is_transient
from transports.base import ServingStats, Setting
from transports.dispatch import MessageProcessor, build_refusal
from transports.errors import TooLarge, Unreadable
from transports.wire import load_codec

_log = logging.getLogger(__name__)

_FETCH_WAIT_MS = 200


class GroupMember:
    """One process of a service's consumer group."""

    def __init__(
        self,
        processor: MessageProcessor,
        serving: ServingStats,
        consumer: Consumer,
        producer: Producer,
        places: TrialTopics,
        setting: Setting,
        config: Config,
    ) -> None:
        self._processor = processor
        self._serving = serving
        self._consumer = consumer
        self._producer = producer
        self._setting = setting
        self._codec = load_codec(setting.codec)
        self._places = places
        self._reply_partitions = {build_reply_header(worker)[1]: worker for worker in range(setting.workers)}
        self._kinds = frozenset(list_consumed_kinds(processor.service.name))
        self._stopping = False
        self._failing_since_s = 0.0
        self._reader = BoundedReader(consumer)
        self._commits = CommitQueue(consumer, setting, config.commit_interval_ms / 1000)

    async def run(self) -> None:
        """Consumes until ``stop``, then waits for the acknowledgements and commits.

        Raises Unreachable when Kafka does not take a fact: the message that led to it is delivered again to the next
        member.
        """
        committing = asyncio.create_task(self._commits.run())
        try:
            with limit_decompression(max_batch_bytes(self._setting)):
                while not self._stopping and not committing.done():
                    fetched = await self._fetch()
                    if fetched:
                        await self._take(fetched)
        except KafkaError as error:
            raise build_unreachable(self._setting, error) from error
        finally:
            self._commits.finish()
            await committing

    def stop(self) -> None:
        self._stopping = True

    async def _fetch(self) -> dict[TopicPartition, list[FetchedRecord]]:
        """Returns fetched records. Raises KafkaError for a permanent error, or one that outlasts the deadline."""
        try:
            fetched, left_out = await self._reader.fetch(_FETCH_WAIT_MS)
        except KafkaError as error:
            now_s = time.monotonic()
            self._failing_since_s = self._failing_since_s or now_s
            if not is_transient(error) or now_s - self._failing_since_s > self._setting.deadline_s:
                raise
            _log.warning("Kafka is not ready: %r", error)
            await asyncio.sleep(RETRY_PAUSE_S)
            return {}
        self._failing_since_s = 0.0
        for place in left_out:
            self._serving.unreadable += 1
            _log.warning("over the limit when it is inflated, to the dead-letter topic: %s", place)
            await (await self._note(place))
        return fetched

    async def _take(self, fetched: dict[TopicPartition, list[FetchedRecord]]) -> None:
        """Handles fetched records and sends the facts.

        Acknowledgements and commits are awaited elsewhere: waiting here would add both to every following batch.
        """
        arrived_ns = time.monotonic_ns()
        readable: list[FetchedRecord] = []
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
                    sent.append(await self._send_to_dead_letters(record))
        facts = await self._handle(messages, arrived_ns)
        for record, message, fact in zip(readable, messages, facts, strict=True):
            if isinstance(fact, Conflict):
                sent += await self._refuse(record, message, fact)
            elif fact is None:
                self._serving.failed += 1
                sent.append(await self._send_to_dead_letters(record))
            else:
                sent.append(await self._send_fact(record, fact))
        self._commits.add(sent, {partition: records[-1].offset + 1 for partition, records in fetched.items()})

    async def _refuse(self, record: FetchedRecord, message: Message, conflict: Conflict) -> "list[asyncio.Future[Any]]":
        """Sends the record to the dead-letter topic, and tells the buyer of an order that it was refused."""
        self._serving.failed += 1
        _log.warning("refused, to the dead-letter topic: %s", conflict)
        sent = [await self._send_to_dead_letters(record, CONFLICT_REASON)]
        if (refusal := build_refusal(message, str(conflict))) is not None:
            sent.append(await self._send_fact(record, refusal))
        return sent

    async def _send_fact(self, record: FetchedRecord, fact: Message) -> "asyncio.Future[Any]":
        """Sends the fact that follows from a record; of one that is too large its cause, to the dead-letter topic."""
        body = self._codec.encode(fact)
        partition = self._find_reply_partition(record) if is_outcome(fact) else None
        try:
            if len(body) > self._setting.max_message_bytes:
                raise TooLarge(len(body), self._setting.max_message_bytes)
            topic, headers = self._places.topic_by_type[type(fact)], self._build_headers(fact, record)
            sent = await self._send(topic, body, record, headers, partition)
        except (TooLarge, MessageSizeTooLargeError) as error:
            self._serving.failed += 1
            _log.warning("a fact is too large, its cause goes to the dead-letter topic: %s", error)
            return await self._send_to_dead_letters(record)
        self._serving.handled += 1
        return sent

    async def _handle(self, messages: list[Message], arrived_ns: int) -> Sequence[Message | Conflict | None]:
        """Returns the facts that follow; a Conflict for a message that is refused, None if its handler raises."""
        try:
            return await self._processor.handle_all(messages, arrived_ns)
        except Exception as error:  # noqa: BLE001 - one bad message must not stop the others
            if len(messages) == 1:
                _log.exception("cannot be handled, to the dead-letter topic", exc_info=error)
                return [None]
        # One of them spoils the batch: handling each by itself shows which.
        return [fact for message in messages for fact in await self._handle([message], arrived_ns)]

    def _read(self, record: FetchedRecord) -> Message:
        kind = self._places.kind_by_topic.get(record.topic) or read_header(record, KIND_HEADER).decode(errors="replace")
        if kind not in self._kinds:
            raise Unreadable(f"the {self._processor.service.name} service consumes no {kind!r}")
        return self._codec.decode(kind, record.value or b"")

    def _build_headers(self, fact: Message, cause: FetchedRecord) -> list[tuple[str, bytes]]:
        """Returns the headers of a fact; those of the record that led to it are copied."""
        if self._places.kind_by_topic:
            return list(cause.headers)
        return [build_kind_header(type(fact)), *(pair for pair in cause.headers if pair[0] != KIND_HEADER)]

    async def _send(
        self,
        topic: str,
        body: bytes,
        cause: FetchedRecord,
        headers: list[tuple[str, bytes]],
        partition: int | None = None,
    ) -> "asyncio.Future[Any]":
        acknowledged: asyncio.Future[Any] = await self._producer.send(
            topic, body, key=cause.key, partition=partition, headers=headers
        )
        return acknowledged

    async def _send_to_dead_letters(self, record: FetchedRecord, reason: str = "") -> "asyncio.Future[Any]":
        """Sends the record to the dead-letter topic, or only its location if it is too large to be sent again.

        Kafka limits a record by its compressed size, and here it is sent uncompressed.
        """
        headers = [*record.headers, *([(REASON_HEADER, reason.encode())] if reason else ())]
        try:
            return await self._send(self._places.dead_letters, record.value or b"", record, headers)
        except MessageSizeTooLargeError as error:
            place = f"{record.topic}/{record.partition}/{record.offset}"
            _log.warning("too large for a dead letter, which only says that it lies at %s: %s", place, error)
            return await self._note(place)

    async def _note(self, place: str) -> "asyncio.Future[Any]":
        """Sends a dead letter that says where the record is."""
        note: asyncio.Future[Any] = await self._producer.send(
            self._places.dead_letters, b"", headers=[(LOCATION_HEADER, place.encode())]
        )
        return note

    def _find_reply_partition(self, record: FetchedRecord) -> int:
        """Returns the buyer's reply partition; 0 if the record names none or one that does not exist."""
        return self._reply_partitions.get(read_header(record, REPLY_HEADER), 0)

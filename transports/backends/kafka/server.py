"""Consumes for a service on Kafka: handles batches, sends facts, then commits offsets.

While the service cannot store, its partitions are paused and polled on; see transports/probing.py.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError, MessageSizeTooLargeError

from shop.messages import Message
from shop.service import Conflict
from shop.workflow import is_outcome, list_consumed_kinds
from transports.backends.kafka.bounded_decompression import BoundedReader, limit_decompression
from transports.backends.kafka.client_libraries import Consumer, FetchedRecord, Producer
from transports.backends.kafka.commits import CommitQueue, build_not_acknowledged
from transports.backends.kafka.config import Config, max_batch_bytes
from transports.backends.kafka.dead_letters import DeadLetterTopic
from transports.backends.kafka.headers import (
    KIND_HEADER,
    REPLY_HEADER,
    build_kind_header,
    build_reply_header,
    read_header,
)
from transports.backends.kafka.topology import RETRY_PAUSE_S, TrialTopics, build_unreachable, is_transient
from transports.backends.kafka.unsent import UnsentFacts
from transports.base import ServingStats, Setting
from transports.dead_letters import FAILED, PARKED, REFUSED, UNREADABLE
from transports.dispatch import MessageProcessor, build_refusal
from transports.errors import Failed, TooLarge, Unavailable, Unreadable
from transports.probing import Halted, Parked, ProbingGate
from transports.wire import load_codec

_log = logging.getLogger(__name__)

_FETCH_WAIT_MS = 200
_PAUSED_WAIT_MS = 50
"""Of a fetch while the store is away: so late it is noticed that it is back."""

Fetched = dict[TopicPartition, list[FetchedRecord]]
Result = Message | Conflict | str
"""What became of a message: the fact that follows, its refusal, or the reason for which it is a dead letter."""


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
        unsent: UnsentFacts,
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
        self._dead_letters = DeadLetterTopic(producer, places)
        self._unsent = unsent
        self._gate = ProbingGate(setting.park_after_s)
        self._arrived_meanwhile: deque[Fetched] = deque()
        """Records that came while the partitions were paused."""

    async def run(self) -> None:
        """Consumes until ``stop``, then waits for the acknowledgements and commits.

        Raises NotAcknowledged when Kafka does not take a fact, for now: the message that led to it is delivered again
        to the next member. Raises Unreachable for a permanent error of a fetch.
        """
        committing = asyncio.create_task(self._commits.run())
        try:
            # Halted: what is in hand is neither sent nor committed, so the next member gets it.
            with limit_decompression(max_batch_bytes(self._setting)), suppress(Halted):
                while not self._stopping and not committing.done():
                    fetched = self._arrived_meanwhile.popleft() if self._arrived_meanwhile else await self._fetch()
                    if fetched and self._unsent.is_careful:
                        await self._take_one_by_one(fetched)
                    elif fetched:
                        await self._take(fetched)
        except KafkaError as error:
            raise build_not_acknowledged(self._setting, error) from error
        finally:
            self._commits.finish()
            await committing

    def stop(self) -> None:
        self._stopping = True
        self._gate.halt()

    async def _fetch(self, wait_ms: int = _FETCH_WAIT_MS) -> Fetched:
        """Returns fetched records.

        Raises Unreachable for a permanent error, and KafkaError for another that outlasts the deadline.
        """
        try:
            fetched, left_out = await self._reader.fetch(wait_ms)
        except KafkaError as error:
            now_s = time.monotonic()
            self._failing_since_s = self._failing_since_s or now_s
            if not is_transient(error):
                raise build_unreachable(self._setting, error) from error
            if now_s - self._failing_since_s > self._setting.deadline_s:
                raise
            _log.warning("Kafka is not ready: %r", error)
            await asyncio.sleep(RETRY_PAUSE_S)
            return {}
        self._failing_since_s = 0.0
        for place in left_out:
            self._serving.count_dead_letter(UNREADABLE)
            _log.warning("damaged, or over the limit when it is inflated, to the dead-letter topic: %s", place)
            await (await self._dead_letters.note(place, UNREADABLE))
        return fetched

    async def _take_one_by_one(self, fetched: Fetched) -> None:
        """Handles fetched records, each when the fact before it is acknowledged; parks one whose fact fails too long.

        Raises KafkaError when a fact is not acknowledged.
        """
        for partition, records in fetched.items():
            for record in records:
                place, began_s = (partition, record.offset), time.monotonic()
                try:
                    await self._take_alone(partition, record, is_given_up=self._unsent.is_given_up(place))
                except KafkaError:
                    self._unsent.fail(place, began_s)
                    raise
                self._unsent.succeed(place)
        self._unsent.is_careful = False

    async def _take_alone(self, partition: TopicPartition, record: FetchedRecord, *, is_given_up: bool) -> None:
        """Handles a record, or parks it, and returns when that is acknowledged. Raises KafkaError."""
        if not is_given_up:
            await asyncio.gather(*await self._take({partition: [record]}))
            return
        _log.warning("parked, to the dead-letter topic: its fact was not taken for %g s", self._setting.park_after_s)
        sent = await self._dead_letters.add(record, PARKED)
        self._commits.add([sent], {partition: record.offset + 1})
        await sent
        self._serving.count_dead_letter(PARKED)

    async def _take(self, fetched: Fetched) -> "Sequence[asyncio.Future[Any]]":
        """Handles fetched records, sends the facts, and returns what is to be acknowledged.

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
                    _log.warning("unreadable, to the dead-letter topic: %s", error)
                    sent.append(await self._bury(record, UNREADABLE))
        pairs = iter(zip(readable, messages, strict=True))
        async for results in self._handle(messages, arrived_ns):
            for result, (record, message) in zip(results, pairs, strict=False):
                if isinstance(result, Conflict):
                    sent += await self._refuse(record, message, result)
                elif isinstance(result, str):
                    sent.append(await self._bury(record, result))
                else:
                    sent.append(await self._send_fact(record, result))
        self._commits.add(sent, {partition: records[-1].offset + 1 for partition, records in fetched.items()})
        return sent

    async def _refuse(self, record: FetchedRecord, message: Message, conflict: Conflict) -> "list[asyncio.Future[Any]]":
        """Sends the record to the dead-letter topic, and tells the buyer of an order that it was refused."""
        _log.warning("refused, to the dead-letter topic: %s", conflict)
        sent = [await self._bury(record, REFUSED)]
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
            _log.warning("a fact is too large, its cause goes to the dead-letter topic: %s", error)
            return await self._bury(record, FAILED)
        self._serving.handled += 1
        return sent

    async def _handle(self, messages: Sequence[Message], arrived_ns: int) -> AsyncIterator[Sequence[Result]]:
        """Yields what became of the messages, in order, as soon as it is known: as a rule of all at once.

        Waits for as long as the store is away. Raises Halted.
        """
        done = 0
        while rest := messages[done:]:
            results: Sequence[Result]
            try:
                results = await self._processor.handle_all(rest, arrived_ns)
            except Unavailable:
                results = [await self._probe(rest[0], arrived_ns)]
            except Exception as error:  # noqa: BLE001 - one bad message must not stop the others
                if len(rest) > 1:
                    # One of them spoils the batch: handling each by itself shows which.
                    for message in rest:
                        async for result in self._handle([message], arrived_ns):
                            yield result
                    return
                _log.warning("cannot be handled, to the dead-letter topic: %s", error)
                results = [FAILED]
            done += len(results)
            yield results

    async def _probe(self, message: Message, arrived_ns: int) -> Result:
        """Returns what became of a message once the store is back, or that it is parked.

        Until then nothing is fetched, and polling goes on: a member that does not poll is taken for dead. Raises
        Halted, and what ``_fetch`` raises.
        """
        retry = self._gate.retry(partial(self._processor.handle_all, [message], arrived_ns))
        probing = asyncio.create_task(retry)
        try:
            while not probing.done():
                # Each time, since the group may have given us others.
                self._consumer.pause(*self._consumer.assignment())
                if fetched := await self._fetch(_PAUSED_WAIT_MS):
                    self._arrived_meanwhile.append(fetched)
        finally:
            probing.cancel()
            await asyncio.wait([probing])
            self._consumer.resume(*self._consumer.assignment())
        try:
            (result,) = probing.result()
        except Parked as error:
            _log.warning("parked, to the dead-letter topic: %s", error)
            return PARKED
        except Failed as error:  # the store is back, and the message is a bad one
            _log.warning("cannot be handled, to the dead-letter topic: %s", error)
            return FAILED
        return result

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

    async def _bury(self, record: FetchedRecord, reason: str) -> "asyncio.Future[Any]":
        """Sends the record to the dead-letter topic and counts it."""
        self._serving.count_dead_letter(reason)
        return await self._dead_letters.add(record, reason)

    def _find_reply_partition(self, record: FetchedRecord) -> int:
        """Returns the buyer's reply partition; 0 if the record names none or one that does not exist."""
        return self._reply_partitions.get(read_header(record, REPLY_HEADER), 0)

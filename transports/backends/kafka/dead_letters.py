"""Sends records to a trial's dead-letter topic with a reason, and reads what lies there."""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, MessageSizeTooLargeError

from transports.backends.kafka.bounded_decompression import limit_decompression
from transports.backends.kafka.client_libraries import FetchedRecord, Producer
from transports.backends.kafka.config import Config, build_consumer_options, max_batch_bytes
from transports.backends.kafka.headers import KIND_HEADER, LOCATION_HEADER, read_header
from transports.backends.kafka.topology import TrialTopics, build_unreachable, run_client
from transports.base import Setting
from transports.dead_letters import (
    MAX_BYTES,
    REASON_HEADER,
    SOURCE_HEADER,
    DeadLetter,
    DeadLetters,
    read_order_id,
)
from transports.security import HARNESS
from transports.wire import Codec, load_codec

_log = logging.getLogger(__name__)

_FETCH_WAIT_MS = 200


class DeadLetterTopic:
    """The dead-letter topic as a service writes to it."""

    def __init__(self, producer: Producer, places: TrialTopics) -> None:
        self._producer = producer
        self._name = places.dead_letters

    async def add(self, record: FetchedRecord, reason: str) -> "asyncio.Future[Any]":
        """Sends a copy of the record with its reason, or only its location if it is too large to be sent again.

        Kafka limits a record by its compressed size, and here it is sent uncompressed.
        """
        headers = [*record.headers, *_build_headers(reason, record.topic)]
        try:
            sent: asyncio.Future[Any] = await self._producer.send(
                self._name, record.value or b"", key=record.key, headers=headers
            )
        except MessageSizeTooLargeError as error:
            place = f"{record.topic}/{record.partition}/{record.offset}"
            _log.warning("too large for a dead letter, which only says that it lies at %s: %s", place, error)
            return await self.note(place, reason)
        return sent

    async def note(self, place: str, reason: str) -> "asyncio.Future[Any]":
        """Sends a dead letter that says where the record is."""
        headers = [(LOCATION_HEADER, place.encode()), *_build_headers(reason, place.partition("/")[0])]
        note: asyncio.Future[Any] = await self._producer.send(self._name, b"", headers=headers)
        return note


def _build_headers(reason: str, topic: str) -> list[tuple[str, bytes]]:
    return [(REASON_HEADER, reason.encode()), (SOURCE_HEADER, topic.encode())]


async def read_dead_letters(setting: Setting, config: Config, places: TrialTopics, limit: int) -> DeadLetters:
    """Returns the oldest dead letters of the topic, ``limit`` at the most. Raises Unreachable."""
    at = TopicPartition(places.dead_letters, 0)
    consumer = AIOKafkaConsumer(auto_offset_reset="earliest", **build_consumer_options(config, setting, HARNESS))
    consumer.assign([at])
    try:
        async with run_client(consumer):
            begin, end = (await consumer.beginning_offsets([at]))[at], (await consumer.end_offsets([at]))[at]
            with limit_decompression(max_batch_bytes(setting)):
                records = await _read_records(consumer, begin, end, limit, setting.deadline_s)
    except KafkaError as error:
        raise build_unreachable(setting, error) from error
    codec = load_codec(setting.codec)
    return DeadLetters([_read(record, places, codec) for record in records], end - begin)


async def _read_records(
    consumer: AIOKafkaConsumer, begin: int, end: int, limit: int, deadline_s: float
) -> Sequence[FetchedRecord]:
    found: list[FetchedRecord] = []
    at, size_bytes = begin, 0
    with suppress(TimeoutError):  # a broker that went meanwhile: aiokafka asks it again and again
        async with asyncio.timeout(deadline_s):
            while at < end and len(found) < limit and size_bytes < MAX_BYTES:
                fetched = await consumer.getmany(timeout_ms=_FETCH_WAIT_MS, max_records=limit - len(found))
                for records in fetched.values():
                    found += records
                    size_bytes += sum(len(record.value or b"") for record in records)
                    at = records[-1].offset + 1
    return found


def _read(record: FetchedRecord, places: TrialTopics, codec: Codec) -> DeadLetter:
    topic = _read_last(record, SOURCE_HEADER)
    kind = places.kind_by_topic.get(topic) or read_header(record, KIND_HEADER).decode(errors="replace")
    body = record.value or b""
    return DeadLetter(
        reason=_read_last(record, REASON_HEADER),
        source=read_header(record, LOCATION_HEADER).decode(errors="replace") or topic,
        kind=kind,
        order_id=read_order_id(codec, kind, body),
        body=body,
    )


def _read_last(record: FetchedRecord, wanted: str) -> str:
    """Returns the last header of this name, which is ours: the record may have come with one."""
    return next((value or b"" for name, value in reversed(record.headers) if name == wanted), b"").decode(
        errors="replace"
    )

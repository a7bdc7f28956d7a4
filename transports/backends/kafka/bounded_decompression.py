"""Batches of records that are inflated up to a limit and no further.

Kafka limits a batch as it is compressed, and aiokafka inflates it whole, whatever it becomes: 4 MiB of gzip may be
4 GiB. Its decoders are replaced by ones that stop at the limit of whoever consumes. What is over it raises Inflated; a
``Reader`` then takes record by record what comes before it, and goes on behind it.
"""

import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

import cramjam
import zstandard
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.codec import gzip_decode, lz4_decode, snappy_decode, zstd_decode
from aiokafka.errors import KafkaError
from aiokafka.record import default_records
from aiokafka.record._crecords import default_records as fast_records

Fetched = dict[TopicPartition, list[ConsumerRecord]]
Decode = Callable[[bytes], bytes]

_GZIP = 16 + zlib.MAX_WBITS
"""Tells zlib of gzip's header and trailer."""
_LIMIT_BYTES: ContextVar[int | None] = ContextVar("limit_bytes", default=None)
_AT_MOST = {"gzip": 1032, "lz4": 255, "snappy": 22}
"""How many times larger than it is a body can become: what is known beforehand to stay small is not counted. zstd's has
no such bound, and mostly says its size."""


class Inflated(KafkaError):  # type: ignore[misc]
    """A batch that would become larger than its consumer allows."""


@contextmanager
def up_to(limit_bytes: int) -> Iterator[None]:
    """Whatever this task, and those that it starts, consume within the context."""
    token = _LIMIT_BYTES.set(limit_bytes)
    try:
        yield
    finally:
        _LIMIT_BYTES.reset(token)


class Reader:
    """A consumer that goes on behind what must not be inflated."""

    def __init__(self, consumer: AIOKafkaConsumer, begins: Mapping[TopicPartition, int] | None = None) -> None:
        """``begins``: where one without a group begins; a member of a group begins where its group was."""
        self._consumer = consumer
        self._next_offset = dict(begins or {})

    async def fetched(self, timeout_ms: int) -> tuple[Fetched, list[str]]:
        """What has come, by partition; and as TOPIC/PARTITION/OFFSET what was left out since it would have been too
        large. Raises KafkaError."""
        left_out: list[str] = []
        try:
            found: Fetched = await self._consumer.getmany(timeout_ms=timeout_ms)
        except Inflated:
            return await self._one_by_one(timeout_ms, left_out), left_out
        for partition, records in found.items():
            self._next_offset[partition] = records[-1].offset + 1
        return found, left_out

    async def _one_by_one(self, timeout_ms: int, left_out: list[str]) -> Fetched:
        """A batch that cannot be inflated takes with it all that was fetched with it, so that all is fetched again."""
        found: Fetched = {}
        for partition in self._consumer.assignment():
            await self._back(partition)
            try:
                while one := await self._consumer.getmany(partition, timeout_ms=timeout_ms, max_records=1):
                    (record,) = one[partition]
                    found.setdefault(partition, []).append(record)
                    self._next_offset[partition] = record.offset + 1
            except Inflated:
                at = await self._consumer.position(partition)
                left_out.append(f"{partition.topic}/{partition.partition}/{at}")
                self._next_offset[partition] = at + 1
                self._consumer.seek(partition, at + 1)
        return found

    async def _back(self, partition: TopicPartition) -> None:
        """To where we were."""
        at = self._next_offset.get(partition)
        if at is None:
            at = await self._consumer.committed(partition)
        if at is None:
            await self._consumer.seek_to_beginning(partition)
        else:
            self._consumer.seek(partition, at)


def _bounded(name: str, decode: Decode, within: Callable[[bytes, int], bytes]) -> Decode:
    """``decode``, or ``within`` the limit where there is one that could be reached."""

    def decoded(payload: bytes) -> bytes:
        limit_bytes = _LIMIT_BYTES.get()
        if limit_bytes is None or (name in _AT_MOST and _AT_MOST[name] * len(payload) <= limit_bytes):
            return decode(payload)
        return within(bytes(payload), limit_bytes)

    return decoded


def _gzip(payload: bytes, limit_bytes: int) -> bytes:
    found, rest = b"", payload
    while rest:  # a file of gzip may be several, one behind the other
        inflating = zlib.decompressobj(_GZIP)
        found = _checked(found + inflating.decompress(rest, limit_bytes + 1 - len(found)), limit_bytes)
        rest = inflating.unused_data
    return found


def _zstd(payload: bytes, limit_bytes: int) -> bytes:
    said_bytes = zstandard.frame_content_size(payload)
    if 0 <= said_bytes <= limit_bytes:
        return bytes(zstd_decode(payload))
    with zstandard.ZstdDecompressor().stream_reader(payload, read_across_frames=True) as reader:
        return _checked(reader.read(limit_bytes + 1), limit_bytes)


def _lz4(payload: bytes, limit_bytes: int) -> bytes:
    room = bytearray(limit_bytes + 1)
    try:
        size_bytes = cramjam.lz4.decompress_into(payload, room)
    except cramjam.DecompressionError as error:
        raise Inflated(f"a batch of {len(payload):,} bytes is over {limit_bytes:,} inflated, or broken") from error
    return _checked(bytes(memoryview(room)[:size_bytes]), limit_bytes)


_XERIAL_BYTES = 16
"""Of the head that Java's snappy puts before blocks, each behind its length in four bytes."""


def _snappy(payload: bytes, limit_bytes: int) -> bytes:
    total = 0
    if payload.startswith(b"\x82SNAPPY\x00"):
        at = _XERIAL_BYTES
        while at + 4 <= len(payload):
            size = int.from_bytes(payload[at : at + 4])
            total += cramjam.snappy.decompress_raw_len(payload[at + 4 : at + 4 + size])
            at += 4 + size
    else:
        total = cramjam.snappy.decompress_raw_len(payload)
    if total > limit_bytes:
        raise _over(limit_bytes)
    return bytes(snappy_decode(payload))


def _checked(inflated: bytes, limit_bytes: int) -> bytes:
    if len(inflated) > limit_bytes:
        raise _over(limit_bytes)
    return inflated


def _over(limit_bytes: int) -> Inflated:
    return Inflated(f"a batch is over the limit of {limit_bytes:,} bytes when it is inflated")


for _module in (default_records, fast_records):
    _module.gzip_decode = _bounded("gzip", gzip_decode, _gzip)
    _module.zstd_decode = _bounded("zstd", zstd_decode, _zstd)
    _module.lz4_decode = _bounded("lz4", lz4_decode, _lz4)
    _module.snappy_decode = _bounded("snappy", snappy_decode, _snappy)

"""Decompresses Kafka record batches up to a size limit.

Kafka limits a batch by its compressed size, and aiokafka decompresses it whole: 4 MiB of gzip can become 4 GiB. This
module replaces aiokafka's decoders by ones that stop at the consumer's limit and raise DecompressionLimitExceeded. A
``BoundedReader`` then fetches the records before the oversized one one by one, and continues behind it.
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

RecordsByPartition = dict[TopicPartition, list[ConsumerRecord]]
Decode = Callable[[bytes], bytes]

_GZIP_WBITS = 16 + zlib.MAX_WBITS
"""The window bits with which zlib expects gzip's header and trailer."""
_LIMIT_BYTES: ContextVar[int | None] = ContextVar("limit_bytes", default=None)
_MAX_RATIO = {"gzip": 1032, "lz4": 255, "snappy": 22}
"""The most by which a body can grow: one that surely stays small is not counted. zstd has no such bound, and mostly
says its size."""


class DecompressionLimitExceeded(KafkaError):  # type: ignore[misc]
    """A batch would be larger than the consumer's limit after decompression."""


@contextmanager
def limit_decompression(limit_bytes: int) -> Iterator[None]:
    """Limits decompression to ``limit_bytes`` for this task, and those it starts, within the context."""
    token = _LIMIT_BYTES.set(limit_bytes)
    try:
        yield
    finally:
        _LIMIT_BYTES.reset(token)


UNREADABLE_ERRORS = (DecompressionLimitExceeded, UnicodeDecodeError)
"""What aiokafka raises for a batch that it cannot give out, with the batches fetched beside it: the second for a header
whose name is no UTF-8, and for every record behind it in its batch."""


class BoundedReader:
    """A consumer that skips records that are too large to decompress, or damaged."""

    def __init__(self, consumer: AIOKafkaConsumer, begins: Mapping[TopicPartition, int] | None = None) -> None:
        """``begins`` is the first offset per partition, for a consumer without a group.

        A member of a group starts at the offset that the group has committed.
        """
        self._consumer = consumer
        self._next_offset = dict(begins or {})

    async def fetch(self, timeout_ms: int) -> tuple[RecordsByPartition, list[str]]:
        """Returns the fetched records by partition, and the records skipped, as TOPIC/PARTITION/OFFSET.

        Raises KafkaError.
        """
        left_out: list[str] = []
        try:
            found: RecordsByPartition = await self._consumer.getmany(timeout_ms=timeout_ms)
        except UNREADABLE_ERRORS:
            return await self._fetch_one_by_one(timeout_ms, left_out), left_out
        for partition, records in found.items():
            self._next_offset[partition] = records[-1].offset + 1
        return found, left_out

    async def _fetch_one_by_one(self, timeout_ms: int, left_out: list[str]) -> RecordsByPartition:
        """Fetches record by record: a batch that cannot be read takes all that was fetched with it along."""
        found: RecordsByPartition = {}
        for partition in self._consumer.assignment():
            await self._rewind(partition)
            try:
                while one := await self._consumer.getmany(partition, timeout_ms=timeout_ms, max_records=1):
                    (record,) = one[partition]
                    found.setdefault(partition, []).append(record)
                    self._next_offset[partition] = record.offset + 1
            except UNREADABLE_ERRORS:
                at = await self._consumer.position(partition)
                left_out.append(f"{partition.topic}/{partition.partition}/{at}")
                self._next_offset[partition] = at + 1
                self._consumer.seek(partition, at + 1)
        return found

    async def _rewind(self, partition: TopicPartition) -> None:
        """Seeks to the offset after the last record returned."""
        at = self._next_offset.get(partition)
        if at is None:
            at = await self._consumer.committed(partition)
        if at is None:
            await self._consumer.seek_to_beginning(partition)
        else:
            self._consumer.seek(partition, at)


def _limit_decoder(name: str, decode: Decode, within: Callable[[bytes, int], bytes]) -> Decode:
    """Returns a decoder that calls ``decode``, or ``within`` if a limit is set and could be exceeded."""

    def decoded(payload: bytes) -> bytes:
        limit_bytes = _LIMIT_BYTES.get()
        if limit_bytes is None or (name in _MAX_RATIO and _MAX_RATIO[name] * len(payload) <= limit_bytes):
            return decode(payload)
        return within(bytes(payload), limit_bytes)

    return decoded


def _decompress_gzip(payload: bytes, limit_bytes: int) -> bytes:
    found, rest = b"", payload
    while rest:  # a file of gzip may be several, one behind the other
        inflating = zlib.decompressobj(_GZIP_WBITS)
        found = _check_size(found + inflating.decompress(rest, limit_bytes + 1 - len(found)), limit_bytes)
        rest = inflating.unused_data
    return found


def _decompress_zstd(payload: bytes, limit_bytes: int) -> bytes:
    said_bytes = zstandard.frame_content_size(payload)
    if 0 <= said_bytes <= limit_bytes:
        return bytes(zstd_decode(payload))
    with zstandard.ZstdDecompressor().stream_reader(payload, read_across_frames=True) as reader:
        return _check_size(reader.read(limit_bytes + 1), limit_bytes)


def _decompress_lz4(payload: bytes, limit_bytes: int) -> bytes:
    room = bytearray(limit_bytes + 1)
    try:
        size_bytes = cramjam.lz4.decompress_into(payload, room)
    except cramjam.DecompressionError as error:
        raise DecompressionLimitExceeded(
            f"a batch of {len(payload):,} bytes is over {limit_bytes:,} inflated, or broken"
        ) from error
    return _check_size(bytes(memoryview(room)[:size_bytes]), limit_bytes)


_XERIAL_HEADER_BYTES = 16
"""The length of the head that Java's snappy puts before its blocks; four bytes of length come before each block."""


def _decompress_snappy(payload: bytes, limit_bytes: int) -> bytes:
    total = 0
    if payload.startswith(b"\x82SNAPPY\x00"):
        at = _XERIAL_HEADER_BYTES
        while at + 4 <= len(payload):
            size = int.from_bytes(payload[at : at + 4])
            total += cramjam.snappy.decompress_raw_len(payload[at + 4 : at + 4 + size])
            at += 4 + size
    else:
        total = cramjam.snappy.decompress_raw_len(payload)
    if total > limit_bytes:
        raise _build_limit_error(limit_bytes)
    return bytes(snappy_decode(payload))


def _check_size(inflated: bytes, limit_bytes: int) -> bytes:
    if len(inflated) > limit_bytes:
        raise _build_limit_error(limit_bytes)
    return inflated


def _build_limit_error(limit_bytes: int) -> DecompressionLimitExceeded:
    return DecompressionLimitExceeded(f"a batch is over the limit of {limit_bytes:,} bytes when it is inflated")


for _module in (default_records, fast_records):
    _module.gzip_decode = _limit_decoder("gzip", gzip_decode, _decompress_gzip)
    _module.zstd_decode = _limit_decoder("zstd", zstd_decode, _decompress_zstd)
    _module.lz4_decode = _limit_decoder("lz4", lz4_decode, _decompress_lz4)
    _module.snappy_decode = _limit_decoder("snappy", snappy_decode, _decompress_snappy)

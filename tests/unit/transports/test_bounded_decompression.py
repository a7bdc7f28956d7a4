"""Tests that Kafka's decoders stop at the size limit."""

import tracemalloc

import cramjam
import pytest
import zstandard
from aiokafka import codec
from aiokafka.record import default_records
from aiokafka.record._crecords import default_records as fast_records
from hypothesis import given
from hypothesis import strategies as st

from transports.backends.kafka.bounded_decompression import DecompressionLimitExceeded, limit_decompression

LIMIT_BYTES = 50_000
CODECS = ("gzip", "snappy", "lz4", "zstd")
ENCODERS = {name: getattr(codec, f"{name}_encode") for name in CODECS}


def decode(name: str, payload: bytes, module: object = fast_records) -> bytes:
    decoded: bytes = getattr(module, f"{name}_decode")(payload)
    return decoded


@pytest.mark.parametrize("module", [fast_records, default_records])
@pytest.mark.parametrize("name", CODECS)
def test_what_is_over_the_limit_when_it_is_inflated_is_refused(name: str, module: object) -> None:
    packed = ENCODERS[name](bytes(LIMIT_BYTES + 1))
    with limit_decompression(LIMIT_BYTES), pytest.raises(DecompressionLimitExceeded, match="50,000"):
        decode(name, packed, module)
    assert decode(name, packed, module) == bytes(LIMIT_BYTES + 1)


@pytest.mark.parametrize("name", CODECS)
@given(body=st.binary(min_size=1, max_size=2_000), repeated=st.integers(1, 25))
def test_what_is_within_the_limit_comes_as_it_was(name: str, body: bytes, repeated: int) -> None:
    with limit_decompression(LIMIT_BYTES):
        assert decode(name, ENCODERS[name](body * repeated)) == body * repeated


def test_a_frame_of_zstd_that_does_not_say_how_large_it_becomes_is_stopped_all_the_same() -> None:
    packed = zstandard.ZstdCompressor(write_content_size=False).compress(bytes(LIMIT_BYTES + 1))
    with limit_decompression(LIMIT_BYTES), pytest.raises(DecompressionLimitExceeded):
        decode("zstd", packed)


def test_snappy_without_javas_head_is_stopped_as_well() -> None:
    packed = bytes(cramjam.snappy.compress_raw(bytes(40 * LIMIT_BYTES)))
    with limit_decompression(LIMIT_BYTES), pytest.raises(DecompressionLimitExceeded):
        decode("snappy", packed)


def test_a_bomb_of_gzip_takes_no_more_memory_than_the_limit() -> None:
    bomb = codec.gzip_encode(bytes(2**26))
    tracemalloc.start()
    try:
        with limit_decompression(LIMIT_BYTES), pytest.raises(DecompressionLimitExceeded):
            decode("gzip", bomb)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 2 * len(bomb) + 4 * LIMIT_BYTES

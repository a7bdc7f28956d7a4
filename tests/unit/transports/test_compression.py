"""Tests compression and decompression of bodies."""

import gzip
import zlib

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from transports.errors import TooLarge, Unreadable
from transports.wire.compression import COMPRESSIONS

each = pytest.mark.parametrize("compression", COMPRESSIONS.values(), ids=COMPRESSIONS)
MIB = 2**20


@each
@settings(max_examples=30, deadline=None)
@given(body=st.binary(max_size=5_000))
def test_a_body_comes_back_as_it_was(compression, body) -> None:
    assert compression.decompress(compression.compress(body), len(body)) == body


def test_the_standard_tools_read_it() -> None:
    body = b"an order" * 100
    assert gzip.decompress(COMPRESSIONS["gzip"].compress(body)) == body
    assert zstandard.ZstdDecompressor().decompress(COMPRESSIONS["zstd"].compress(body)) == body


@each
def test_a_bomb_is_refused_at_the_limit(compression) -> None:
    bomb = compression.compress(bytes(64 * MIB))
    assert len(bomb) < 100_000
    with pytest.raises(TooLarge, match="1,048,576"):
        compression.decompress(bomb, MIB)


@each
def test_what_is_exactly_as_large_as_the_limit_is_taken(compression) -> None:
    assert len(compression.decompress(compression.compress(bytes(MIB)), MIB)) == MIB
    with pytest.raises(TooLarge):
        compression.decompress(compression.compress(bytes(MIB + 1)), MIB)


@each
@pytest.mark.parametrize("damage", [lambda b: b[:-5], lambda b: b"no such format", lambda b: b"", lambda b: b[4:]])
def test_what_is_not_whole_is_unreadable(compression, damage) -> None:
    with pytest.raises(Unreadable):
        compression.decompress(damage(compression.compress(b"some order or other" * 50)), MIB)


def test_a_bomb_whose_header_lies_about_its_size_is_refused_too() -> None:
    unsized = zstandard.ZstdCompressor().compressobj()
    bomb = unsized.compress(bytes(64 * MIB)) + unsized.flush()
    with pytest.raises(TooLarge):
        COMPRESSIONS["zstd"].decompress(bomb, MIB)


def test_a_frame_that_does_not_say_its_size_is_read() -> None:
    body = b"an order" * 1000
    unsized = zstandard.ZstdCompressor().compressobj()
    frame = unsized.compress(body) + unsized.flush()
    assert COMPRESSIONS["zstd"].decompress(frame, MIB) == body
    with pytest.raises(Unreadable):
        COMPRESSIONS["zstd"].decompress(frame[:-3], MIB)


def test_gzip_with_something_behind_it_is_unreadable() -> None:
    with pytest.raises(Unreadable):
        COMPRESSIONS["gzip"].decompress(gzip.compress(b"one") + zlib.compress(b"two"), MIB)

"""Tests the Avro codec against Apache's own library."""

import io
import json

import avro.io
import avro.schema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.paths import ROOT
from shop.messages import KIND_BY_TYPE, MESSAGES, OutOfStock, PlaceOrder
from tests.conftest import build_order
from tests.unit.transports.test_wire import each_message, few, messages_of
from transports.errors import Unreadable
from transports.wire import load_codec
from transports.wire.avro import SCHEMA, AvroCodec, build_head

AVSC = ROOT / "transports" / "wire" / "orders.avsc"
APACHE = avro.schema.parse(AVSC.read_text())
CODEC = load_codec("avro")
HEAD_BYTES = 10


def rabin(text: str) -> int:
    """CRC-64-AVRO, as the specification writes it down."""
    empty = 0xC15D213AA4D7A795
    table = []
    for number in range(256):
        fp = number
        for _ in range(8):
            fp = (fp >> 1) ^ (empty & -(fp & 1) & (2**64 - 1))
        table.append(fp)
    fp = empty
    for byte in text.encode():
        fp = (fp >> 8) ^ table[(fp ^ byte) & 0xFF]
    return fp


@each_message
@few
@given(data=st.data())
def test_a_body_is_read_by_apaches_library_with_the_schema_alone(message_type, data) -> None:
    message = data.draw(messages_of(message_type))
    body = CODEC.encode(message)
    reader = avro.io.DatumReader(APACHE)
    read = reader.read(avro.io.BinaryDecoder(io.BytesIO(body[HEAD_BYTES:])))
    assert read == CODEC.convert(message)


def test_a_body_of_apaches_library_is_the_same_bytes() -> None:
    message = PlaceOrder(build_order(document=b"x" * 50))
    written = io.BytesIO()
    avro.io.DatumWriter(APACHE).write(CODEC.convert(message), avro.io.BinaryEncoder(written))
    assert CODEC.encode(message)[HEAD_BYTES:] == written.getvalue()


def test_the_fingerprint_is_the_specifications_of_the_canonical_form() -> None:
    assert rabin('"null"') == 0x63DD24E7CC258F8A  # of the specification's own test vectors
    body = CODEC.encode(PlaceOrder(build_order()))
    assert body[:2] == b"\xc3\x01"
    assert int.from_bytes(body[2:HEAD_BYTES], "little") == rabin(APACHE.canonical_form)


def test_the_schema_names_every_message_and_nothing_else() -> None:
    assert [record["name"] for record in SCHEMA] == [message.__name__ for message in MESSAGES]


def test_of_an_unknown_schema_the_fingerprint_is_said() -> None:
    body = b"\xc3\x01" + bytes(range(8)) + b"\x00"
    with pytest.raises(Unreadable, match="c3010001020304050607"):
        CODEC.decode_answer(body)


def test_a_record_of_another_kind_is_unreadable() -> None:
    with pytest.raises(Unreadable, match="PlaceOrder"):
        CODEC.decode(KIND_BY_TYPE[PlaceOrder], CODEC.encode(OutOfStock(build_order(), "")))


def test_bytes_behind_a_record_are_no_part_of_it() -> None:
    with pytest.raises(Unreadable, match="3 bytes"):
        CODEC.decode(KIND_BY_TYPE[PlaceOrder], CODEC.encode(PlaceOrder(build_order())) + b"abc")


def test_a_known_schema_without_a_message_of_ours_is_said() -> None:
    other = json.loads(json.dumps(SCHEMA).replace('"OutOfStock"', '"OutOfLuck"'))
    codec = AvroCodec(known=[other])
    number = [record["name"] for record in other].index("OutOfLuck")
    with pytest.raises(Unreadable, match="OutOfLuck"):
        codec.read_answer_type(build_head(other, number))

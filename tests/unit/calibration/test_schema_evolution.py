"""Tests that today's services read orders with newer schemas, in each format."""

import dataclasses

import pytest

from bench.calibration.schema_evolution import (
    NEW_VALUE,
    NEWER_SCHEMA,
    check_evolution,
    encode_newer_avro,
    encode_newer_protobuf,
)
from shop.messages import KIND_BY_TYPE, PlaceOrder
from tests.conftest import build_order
from transports.wire import load_codec
from transports.wire import orders_pb2 as pb
from transports.wire.avro import AvroCodec

ORDER = PlaceOrder(build_order(document=b"attached"))
READINGS = list(check_evolution(ORDER))


@pytest.mark.parametrize("codec", ["json", "msgpack", "protobuf"])
def test_a_newer_order_is_read_as_the_order_that_is_known(codec: str) -> None:
    (reading,) = (reading for reading in READINGS if reading.codec == codec)
    assert reading.reads


def test_in_avro_a_newer_order_is_read_by_whoever_has_the_newer_schema() -> None:
    without, with_it = (reading for reading in READINGS if reading.codec == "avro")
    assert (without.reads, with_it.reads) == (False, True)


def test_a_service_that_rebuilds_a_fact_does_not_pass_on_what_it_does_not_know() -> None:
    assert not any(reading.keeps for reading in READINGS)


def test_the_newer_orders_do_have_the_new_field() -> None:
    assert all(NEW_VALUE.encode() in body for body in (encode_newer_protobuf(ORDER), encode_newer_avro(ORDER)))
    # The generated module of today keeps a field that it does not know; our services make new facts.
    assert NEW_VALUE.encode() in pb.PlaceOrder.FromString(encode_newer_protobuf(ORDER)).SerializeToString()


def test_an_order_without_a_document_is_read_as_one_with_an_empty_one() -> None:
    plain = PlaceOrder(dataclasses.replace(ORDER.order, document=b""))
    body = load_codec("json").encode(plain).replace(b',"document":""', b"")
    assert load_codec("json").decode(KIND_BY_TYPE[PlaceOrder], body) == plain


def test_the_newer_schema_differs_by_one_field() -> None:
    assert AvroCodec(known=[NEWER_SCHEMA]).decode(KIND_BY_TYPE[PlaceOrder], load_codec("avro").encode(ORDER)) == ORDER

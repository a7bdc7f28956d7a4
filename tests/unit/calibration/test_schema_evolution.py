"""A newer shop's order at a service of today, format by format."""

import dataclasses

import pytest

from bench.calibration.schema_evolution import NEWER_SCHEMA, VALUE, newer_avro, newer_protobuf, readings
from shop.messages import KIND, PlaceOrder
from tests.conftest import an_order
from transports.wire import codec_named
from transports.wire import orders_pb2 as pb
from transports.wire.avro import AvroCodec

ORDER = PlaceOrder(an_order(document=b"attached"))
READINGS = list(readings(ORDER))


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
    assert all(VALUE.encode() in body for body in (newer_protobuf(ORDER), newer_avro(ORDER)))
    # The generated module of today keeps a field that it does not know; our services make new facts.
    assert VALUE.encode() in pb.PlaceOrder.FromString(newer_protobuf(ORDER)).SerializeToString()


def test_an_order_without_a_document_is_read_as_one_with_an_empty_one() -> None:
    plain = PlaceOrder(dataclasses.replace(ORDER.order, document=b""))
    body = codec_named("json").encode(plain).replace(b',"document":""', b"")
    assert codec_named("json").decode(KIND[PlaceOrder], body) == plain


def test_the_newer_schema_differs_by_one_field() -> None:
    assert AvroCodec(known=[NEWER_SCHEMA]).decode(KIND[PlaceOrder], codec_named("avro").encode(ORDER)) == ORDER

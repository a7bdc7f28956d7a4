"""Checks whether today's service can read and pass on an order with a newer field.

For each codec: is the order read, and is the new field still in the fact that the service passes on?
"""

from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import fastavro
import msgspec
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from shop.messages import KIND_BY_TYPE, OrderPlaced, PlaceOrder
from transports.errors import Unreadable
from transports.wire import Codec, load_codec
from transports.wire import orders_pb2 as pb
from transports.wire.avro import SCHEMA, AvroCodec, Schema, build_head
from transports.wire.fields import build_order_fields

NEW_FIELD, NEW_VALUE = "gift_note", "Many happy returns"


@dataclass(frozen=True, slots=True)
class EvolutionResult:
    """Whether one codec reads a newer order and keeps its new field."""

    codec: str
    reads: bool
    """A service of today reads the newer order, as the order that it knows."""
    keeps: bool
    """The new field is in the bytes of the fact that follows."""
    remark: str = ""


def check_evolution(order: PlaceOrder) -> Iterator[EvolutionResult]:
    """Yields a result per codec; two for Avro, with and without the newer schema known."""
    for name in ("json", "msgpack", "protobuf"):
        yield _check_codec(name, load_codec(name), NEWER_ENCODERS[name](order), order)
    yield _check_codec("avro", AvroCodec(), encode_newer_avro(order), order, "the newer schema is not known")
    yield _check_codec(
        "avro", AvroCodec(known=[NEWER_SCHEMA]), encode_newer_avro(order), order, "the newer schema is known"
    )


def _check_codec(name: str, codec: Codec, body: bytes, order: PlaceOrder, remark: str = "") -> EvolutionResult:
    try:
        read = codec.decode(KIND_BY_TYPE[PlaceOrder], body)
    except Unreadable:
        return EvolutionResult(name, reads=False, keeps=False, remark=remark)
    passed_on = codec.encode(OrderPlaced(read.order, "user@buyers.example"))
    return EvolutionResult(name, reads=read == order, keeps=NEW_VALUE.encode() in passed_on, remark=remark)


def _newer_fields(order: PlaceOrder) -> dict[str, Any]:
    return {"order": build_order_fields(order.order) | {NEW_FIELD: NEW_VALUE}}


def encode_newer_protobuf(order: PlaceOrder) -> bytes:
    """Returns the newer order in protobuf, by a message class with a seventh field added to today's descriptor."""
    file = descriptor_pb2.FileDescriptorProto()
    pb.DESCRIPTOR.CopyToProto(file)
    (described,) = (message for message in file.message_type if message.name == "Order")
    text = descriptor_pb2.FieldDescriptorProto.TYPE_STRING
    optional = descriptor_pb2.FieldDescriptorProto.LABEL_OPTIONAL
    described.field.add(name=NEW_FIELD, number=len(described.field) + 1, type=text, label=optional)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    newer = message_factory.GetMessageClass(pool.FindMessageTypeByName("fourways.orders.PlaceOrder"))
    body: bytes = newer(**_newer_fields(order)).SerializeToString()
    return body


def _build_newer_schema() -> Schema:
    schema: Any = deepcopy(SCHEMA)
    schema[0]["fields"][0]["type"]["fields"].append({"name": NEW_FIELD, "type": "string", "default": ""})
    return list(schema)


NEWER_SCHEMA = _build_newer_schema()


def encode_newer_avro(order: PlaceOrder) -> bytes:
    """Returns the newer order in Avro: a single object by the schema with one field more."""
    body = BytesIO()
    body.write(build_head(NEWER_SCHEMA, 0))
    parsed: Any = fastavro.parse_schema(list(NEWER_SCHEMA))
    fastavro.schemaless_writer(body, parsed[0], _newer_fields(order))
    return body.getvalue()


NEWER_ENCODERS: dict[str, Callable[[PlaceOrder], bytes]] = {
    "json": lambda order: msgspec.json.encode(_newer_fields(order)),
    "msgpack": lambda order: msgspec.msgpack.encode(_newer_fields(order)),
    "protobuf": encode_newer_protobuf,
}

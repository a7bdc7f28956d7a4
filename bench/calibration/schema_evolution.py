"""What becomes of an order that a newer shop sends: one with a field more, in each format.

A service of today gets it. Does it read it, and is the new field still there in the fact that it passes on?
"""

from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import fastavro
import msgspec
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from shop.messages import KIND, OrderPlaced, PlaceOrder
from transports.errors import Unreadable
from transports.wire import Codec, codec_named
from transports.wire import orders_pb2 as pb
from transports.wire.avro import SCHEMA, AvroCodec, Schema, head_of
from transports.wire.fields import order_fields

FIELD, VALUE = "gift_note", "Many happy returns"


@dataclass(frozen=True, slots=True)
class Reading:
    """How one format fared."""

    codec: str
    reads: bool
    """A service of today reads the newer order, as the order that it knows."""
    keeps: bool
    """The new field is in the bytes of the fact that follows."""
    remark: str = ""


def readings(order: PlaceOrder) -> Iterator[Reading]:
    """One for each format; of Avro two, as it matters whether the newer schema is known."""
    for name in ("json", "msgpack", "protobuf"):
        yield _reading(name, codec_named(name), NEWER[name](order), order)
    yield _reading("avro", AvroCodec(), newer_avro(order), order, "the newer schema is not known")
    yield _reading("avro", AvroCodec(known=[NEWER_SCHEMA]), newer_avro(order), order, "the newer schema is known")


def _reading(name: str, codec: Codec, body: bytes, order: PlaceOrder, remark: str = "") -> Reading:
    try:
        read = codec.decode(KIND[PlaceOrder], body)
    except Unreadable:
        return Reading(name, reads=False, keeps=False, remark=remark)
    passed_on = codec.encode(OrderPlaced(read.order, "user@buyers.example"))
    return Reading(name, reads=read == order, keeps=VALUE.encode() in passed_on, remark=remark)


def _builtins(order: PlaceOrder) -> dict[str, Any]:
    return {"order": order_fields(order.order) | {FIELD: VALUE}}


def newer_protobuf(order: PlaceOrder) -> bytes:
    """By a message class with a seventh field, made from the descriptor of today's."""
    file = descriptor_pb2.FileDescriptorProto()
    pb.DESCRIPTOR.CopyToProto(file)
    (described,) = (message for message in file.message_type if message.name == "Order")
    text = descriptor_pb2.FieldDescriptorProto.TYPE_STRING
    optional = descriptor_pb2.FieldDescriptorProto.LABEL_OPTIONAL
    described.field.add(name=FIELD, number=len(described.field) + 1, type=text, label=optional)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    newer = message_factory.GetMessageClass(pool.FindMessageTypeByName("fourways.orders.PlaceOrder"))
    body: bytes = newer(**_builtins(order)).SerializeToString()
    return body


def _newer_schema() -> Schema:
    schema: Any = deepcopy(SCHEMA)
    schema[0]["fields"][0]["type"]["fields"].append({"name": FIELD, "type": "string", "default": ""})
    return list(schema)


NEWER_SCHEMA = _newer_schema()


def newer_avro(order: PlaceOrder) -> bytes:
    """A single object by the schema with one field more."""
    body = BytesIO()
    body.write(head_of(NEWER_SCHEMA, 0))
    parsed: Any = fastavro.parse_schema(list(NEWER_SCHEMA))
    fastavro.schemaless_writer(body, parsed[0], _builtins(order))
    return body.getvalue()


NEWER: dict[str, Callable[[PlaceOrder], bytes]] = {
    "json": lambda order: msgspec.json.encode(_builtins(order)),
    "msgpack": lambda order: msgspec.msgpack.encode(_builtins(order)),
    "protobuf": newer_protobuf,
}

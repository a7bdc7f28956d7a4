"""The protobuf codec: converts the dataclasses to the messages of orders.proto and back."""

from collections.abc import Callable
from typing import Any

from google.protobuf.message import DecodeError

from shop.messages import (
    KIND_BY_TYPE,
    TYPE_BY_KIND,
    Message,
    Order,
    OrderClosed,
    OrderLine,
    OrderPlaced,
    OrderShipped,
    OutOfStock,
    PaymentDeclined,
    PaymentTaken,
    PlaceOrder,
    StockReleased,
    StockReserved,
)
from transports.errors import Unreadable
from transports.wire import orders_pb2 as pb
from transports.wire.codec import Codec
from transports.wire.fields import FIELD_BUILDERS


class ProtobufCodec(Codec):
    name = "protobuf"
    content_type = "application/x-protobuf"

    def convert(self, message: Message) -> Any:
        message_type = type(message)
        return _PROTOBUF_CLASSES[message_type](**_FIELD_BUILDERS[message_type](message))

    def encode(self, message: Message) -> bytes:
        encoded: bytes = self.convert(message).SerializeToString()
        return encoded

    def decode(self, kind: str, body: bytes) -> Message:
        message_type = TYPE_BY_KIND.get(kind)
        if message_type is None:
            raise Unreadable(f"no message is called {kind!r}")
        try:
            return _build_message(message_type, _PROTOBUF_CLASSES[message_type].FromString(body))
        except (DecodeError, ValueError) as error:
            raise Unreadable(f"not a {kind} in protobuf: {error}") from error

    def encode_answer(self, fact: Message) -> bytes:
        fact_type = type(fact)
        fields: dict[str, Any] = {_MEMBER_NAMES[fact_type]: _FIELD_BUILDERS[fact_type](fact)}
        return pb.Answer(**fields).SerializeToString()

    def decode_answer(self, body: bytes) -> Message:
        try:
            answer = pb.Answer.FromString(body)
            member = answer.WhichOneof("fact")
            if member is None:
                raise Unreadable("an answer in protobuf without a fact")
            return _build_message(_TYPE_BY_MEMBER[member], getattr(answer, member))
        except (DecodeError, ValueError) as error:
            raise Unreadable(f"not an answer in protobuf: {error}") from error

    def read_answer_type(self, body: bytes) -> type[Message]:
        fact = _TYPE_BY_TAG.get(body[:1])
        if fact is None:
            raise Unreadable("an answer in protobuf that does not begin with a fact")
        return fact


_STATUS_VALUES: dict[str, pb.OrderClosed.Status.ValueType] = {
    "shipped": pb.OrderClosed.SHIPPED,
    "rejected": pb.OrderClosed.REJECTED,
}


def _build_closed_fields(closed: OrderClosed) -> dict[str, Any]:
    return {**FIELD_BUILDERS[OrderClosed](closed), "status": _STATUS_VALUES[closed.status]}


_FIELD_BUILDERS: dict[type[Message], Callable[[Any], dict[str, Any]]] = {
    **FIELD_BUILDERS,
    OrderClosed: _build_closed_fields,
}
_PROTOBUF_CLASSES: dict[type[Message], Any] = {message: getattr(pb, message.__name__) for message in KIND_BY_TYPE}
_MEMBER_NAMES = {message: kind.replace("-", "_") for message, kind in KIND_BY_TYPE.items()}
_TYPE_BY_MEMBER = {member: message for message, member in _MEMBER_NAMES.items()}
_LENGTH_DELIMITED = 2  # a wire type; a tag is the field's number before it, and below 16 one byte
_TYPE_BY_TAG = {
    bytes([field.number << 3 | _LENGTH_DELIMITED]): _TYPE_BY_MEMBER[field.name] for field in pb.Answer.DESCRIPTOR.fields
}


_REQUIRED_FIELDS = {message: tuple(message.__dataclass_fields__) for message in KIND_BY_TYPE}
"""The fields that must be present: protobuf reads a missing one as empty, and a total of 0 would be charged."""


def _build_message(message_type: type[Message], m: Any) -> Message:
    there = m.HasField
    for name in _REQUIRED_FIELDS[message_type]:
        if not there(name):
            raise Unreadable(f"a {KIND_BY_TYPE[message_type]} in protobuf without {name}")
    return _MESSAGE_BUILDERS[message_type](_build_order(m.order), m)


def _build_order(o: Any) -> Order:
    lines = tuple([OrderLine(line.sku, line.name, line.quantity, line.price_cents) for line in o.lines])
    return Order(o.order_id, o.user_id, o.card, o.address, lines, o.document)


def _build_order_closed(order: Order, m: Any) -> OrderClosed:
    if m.status == pb.OrderClosed.SHIPPED:
        return OrderClosed(order, "shipped", m.total_cents, m.tracking_number, m.reason)
    if m.status == pb.OrderClosed.REJECTED:
        return OrderClosed(order, "rejected", m.total_cents, m.tracking_number, m.reason)
    raise Unreadable(f"an order-closed in protobuf with status {m.status}")


_MESSAGE_BUILDERS: dict[type[Message], Callable[[Order, Any], Message]] = {
    PlaceOrder: lambda order, m: PlaceOrder(order),
    OrderPlaced: lambda order, m: OrderPlaced(order, m.email),
    StockReserved: lambda order, m: StockReserved(order, m.total_cents),
    OutOfStock: lambda order, m: OutOfStock(order, m.reason),
    PaymentTaken: lambda order, m: PaymentTaken(order, m.total_cents, m.payment_id),
    PaymentDeclined: lambda order, m: PaymentDeclined(order, m.total_cents, m.reason),
    StockReleased: lambda order, m: StockReleased(order, m.reason),
    OrderShipped: lambda order, m: OrderShipped(order, m.total_cents, m.tracking_number),
    OrderClosed: _build_order_closed,
}

"""Protocol Buffers: the shop's dataclasses converted to the messages of orders.proto and back."""

from collections.abc import Callable
from typing import Any

from google.protobuf.message import DecodeError

from shop.messages import (
    KIND,
    TYPE,
    Line,
    Message,
    Order,
    OrderClosed,
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
from transports.wire.fields import FIELDS


class ProtobufCodec(Codec):
    name = "protobuf"
    content_type = "application/x-protobuf"

    def convert(self, message: Message) -> Any:
        message_type = type(message)
        return _PROTOBUF[message_type](**_FIELDS[message_type](message))

    def encode(self, message: Message) -> bytes:
        encoded: bytes = self.convert(message).SerializeToString()
        return encoded

    def decode(self, kind: str, body: bytes) -> Message:
        message_type = TYPE.get(kind)
        if message_type is None:
            raise Unreadable(f"no message is called {kind!r}")
        try:
            return _message(message_type, _PROTOBUF[message_type].FromString(body))
        except (DecodeError, ValueError) as error:
            raise Unreadable(f"not a {kind} in protobuf: {error}") from error

    def encode_answer(self, fact: Message) -> bytes:
        fact_type = type(fact)
        fields: dict[str, Any] = {_MEMBER[fact_type]: _FIELDS[fact_type](fact)}
        return pb.Answer(**fields).SerializeToString()

    def decode_answer(self, body: bytes) -> Message:
        try:
            answer = pb.Answer.FromString(body)
            member = answer.WhichOneof("fact")
            if member is None:
                raise Unreadable("an answer in protobuf without a fact")
            return _message(_OF_MEMBER[member], getattr(answer, member))
        except (DecodeError, ValueError) as error:
            raise Unreadable(f"not an answer in protobuf: {error}") from error

    def type_of_answer(self, body: bytes) -> type[Message]:
        fact = _OF_TAG.get(body[:1])
        if fact is None:
            raise Unreadable("an answer in protobuf that does not begin with a fact")
        return fact


_STATUS: dict[str, pb.OrderClosed.Status.ValueType] = {
    "shipped": pb.OrderClosed.SHIPPED,
    "rejected": pb.OrderClosed.REJECTED,
}


def _closed_fields(closed: OrderClosed) -> dict[str, Any]:
    return {**FIELDS[OrderClosed](closed), "status": _STATUS[closed.status]}


_FIELDS: dict[type[Message], Callable[[Any], dict[str, Any]]] = {**FIELDS, OrderClosed: _closed_fields}
_PROTOBUF: dict[type[Message], Any] = {message: getattr(pb, message.__name__) for message in KIND}
_MEMBER = {message: kind.replace("-", "_") for message, kind in KIND.items()}
_OF_MEMBER = {member: message for message, member in _MEMBER.items()}
_LENGTH_DELIMITED = 2  # a wire type; a tag is the field's number before it, and below 16 one byte
_OF_TAG = {
    bytes([field.number << 3 | _LENGTH_DELIMITED]): _OF_MEMBER[field.name] for field in pb.Answer.DESCRIPTOR.fields
}


_REQUIRED = {message: tuple(message.__dataclass_fields__) for message in KIND}
"""A field that is not there is an empty one to protobuf, and a total of 0 would be charged."""


def _message(message_type: type[Message], m: Any) -> Message:
    there = m.HasField
    for name in _REQUIRED[message_type]:
        if not there(name):
            raise Unreadable(f"a {KIND[message_type]} in protobuf without {name}")
    return _MESSAGE[message_type](_shop_order(m.order), m)


def _shop_order(o: Any) -> Order:
    lines = tuple([Line(line.sku, line.name, line.quantity, line.price_cents) for line in o.lines])
    return Order(o.order_id, o.user_id, o.card, o.address, lines, o.document)


def _closed(order: Order, m: Any) -> OrderClosed:
    if m.status == pb.OrderClosed.SHIPPED:
        return OrderClosed(order, "shipped", m.total_cents, m.tracking_number, m.reason)
    if m.status == pb.OrderClosed.REJECTED:
        return OrderClosed(order, "rejected", m.total_cents, m.tracking_number, m.reason)
    raise Unreadable(f"an order-closed in protobuf with status {m.status}")


_MESSAGE: dict[type[Message], Callable[[Order, Any], Message]] = {
    PlaceOrder: lambda order, m: PlaceOrder(order),
    OrderPlaced: lambda order, m: OrderPlaced(order, m.email),
    StockReserved: lambda order, m: StockReserved(order, m.total_cents),
    OutOfStock: lambda order, m: OutOfStock(order, m.reason),
    PaymentTaken: lambda order, m: PaymentTaken(order, m.total_cents, m.payment_id),
    PaymentDeclined: lambda order, m: PaymentDeclined(order, m.total_cents, m.reason),
    StockReleased: lambda order, m: StockReleased(order, m.reason),
    OrderShipped: lambda order, m: OrderShipped(order, m.total_cents, m.tracking_number),
    OrderClosed: _closed,
}

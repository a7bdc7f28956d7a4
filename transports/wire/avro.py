"""The Avro codec, by fastavro, in Avro's single-object encoding.

A body is a marker, the fingerprint of the schema, and the record. There is one schema, orders.avsc: the union of all
messages. So a body names its own kind, and a message and an answer have the same bytes. There is no schema registry: a
reader needs the schemas of older and newer writers, see ``known``.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

from fastavro import parse_schema, schemaless_reader, schemaless_writer
from fastavro.schema import fingerprint, to_parsing_canonical_form

from shop.messages import (
    MESSAGES,
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
from transports.wire.codec import Codec
from transports.wire.fields import FIELD_BUILDERS

Schema = Sequence[Mapping[str, Any]]
"""A union of records, as JSON has it."""
SCHEMA: Schema = json.loads(Path(__file__).with_name("orders.avsc").read_text("utf-8"))

_MARKER = b"\xc3\x01"
"""The marker of a single object (Avro specification 1.12, "Single object encoding specification")."""
_KIND_OFFSET = len(_MARKER) + 8
"""The offset of a record, which begins with its place in the union: one byte for so few types."""


class AvroCodec(Codec):
    name = "avro"
    content_type = "application/avro"

    def __init__(self, known: Sequence[Schema] = ()) -> None:
        """``known`` are schemas of other writers, older or newer; without them their messages cannot be read."""
        records = _parse_records(SCHEMA)
        self._writers = {message: (build_head(SCHEMA, n), records[n]) for n, message in enumerate(_UNION_TYPES)}
        self._readers = {build_head(schema, 0)[:_KIND_OFFSET]: _parse_records(schema) for schema in known}
        self._readers[build_head(SCHEMA, 0)[:_KIND_OFFSET]] = records
        self._record = dict(zip(_UNION_TYPES, records, strict=True))

    def convert(self, message: Message) -> object:
        return FIELD_BUILDERS[type(message)](message)

    def encode(self, message: Message) -> bytes:
        head, record = self._writers[type(message)]
        body = BytesIO()
        body.write(head)
        schemaless_writer(body, record, self.convert(message))
        return body.getvalue()

    def encode_answer(self, fact: Message) -> bytes:
        return self.encode(fact)

    def decode(self, kind: str, body: bytes) -> Message:
        message_type = TYPE_BY_KIND.get(kind)
        if message_type is None:
            raise Unreadable(f"no message is called {kind!r}")
        return self._decode_as(body, message_type)

    def decode_answer(self, body: bytes) -> Message:
        return self._decode_as(body, self.read_answer_type(body))

    def read_answer_type(self, body: bytes) -> type[Message]:
        records = self._readers.get(body[:_KIND_OFFSET])
        if records is None:
            raise Unreadable(
                f"not avro by a schema that is known here: it begins with {body[:_KIND_OFFSET].hex()}"
                if body[:2] == _MARKER
                else "not a single object in avro"
            )
        place = body[_KIND_OFFSET : _KIND_OFFSET + 1]
        number = place[0] // 2 if place and place[0] % 2 == 0 else len(records)
        if number >= len(records):
            raise Unreadable("a single object in avro of no known kind")
        message_type = _TYPE_BY_NAME.get(records[number]["name"])
        if message_type is None:
            raise Unreadable(f"a {records[number]['name']} in avro, which is no message here")
        return message_type

    def _decode_as(self, body: bytes, message_type: type[Message]) -> Message:
        if self.read_answer_type(body) is not message_type:
            raise Unreadable(f"not a {message_type.__name__} in avro")
        written = self._readers[body[:_KIND_OFFSET]][body[_KIND_OFFSET] // 2]
        record = self._record[message_type]
        rest = BytesIO(body)
        rest.seek(_KIND_OFFSET + 1)
        try:
            read: Any = schemaless_reader(rest, written, None if written is record else record)
            message = _MESSAGE_BUILDERS[message_type](_build_order(read["order"]), read)
        except Exception as error:  # fastavro has none of its own for bytes that are no record
            raise Unreadable(f"not a {message_type.__name__} in avro: {type(error).__name__} {error}") from error
        if rest.tell() != len(body):
            raise Unreadable(f"a {message_type.__name__} in avro with {len(body) - rest.tell()} bytes behind it")
        return message


def build_head(schema: Schema, number: int) -> bytes:
    """Returns the bytes before a record: the marker, CRC-64-AVRO of the canonical schema, the index in the union.

    The index is a zigzag varint, of one byte for the first 64.
    """
    crc = bytes.fromhex(fingerprint(to_parsing_canonical_form(list(schema)), "CRC-64-AVRO"))
    return _MARKER + crc + bytes([2 * number])


def _parse_records(schema: Schema) -> list[Any]:
    parsed: Any = parse_schema(list(schema))
    return list(parsed)


_TYPE_BY_NAME = {f"fourways.orders.{message.__name__}": message for message in MESSAGES}
_UNION_TYPES = [_TYPE_BY_NAME[f"{record['namespace']}.{record['name']}"] for record in SCHEMA]


def _build_order(read: Any) -> Order:
    lines = tuple(
        [OrderLine(line["sku"], line["name"], line["quantity"], line["price_cents"]) for line in read["lines"]]
    )
    return Order(read["order_id"], read["user_id"], read["card"], read["address"], lines, read["document"])


_MESSAGE_BUILDERS: dict[type[Message], Callable[[Order, Any], Message]] = {
    PlaceOrder: lambda order, m: PlaceOrder(order),
    OrderPlaced: lambda order, m: OrderPlaced(order, m["email"]),
    StockReserved: lambda order, m: StockReserved(order, m["total_cents"]),
    OutOfStock: lambda order, m: OutOfStock(order, m["reason"]),
    PaymentTaken: lambda order, m: PaymentTaken(order, m["total_cents"], m["payment_id"]),
    PaymentDeclined: lambda order, m: PaymentDeclined(order, m["total_cents"], m["reason"]),
    StockReleased: lambda order, m: StockReleased(order, m["reason"]),
    OrderShipped: lambda order, m: OrderShipped(order, m["total_cents"], m["tracking_number"]),
    OrderClosed: lambda order, m: OrderClosed(order, m["status"], m["total_cents"], m["tracking_number"], m["reason"]),
}

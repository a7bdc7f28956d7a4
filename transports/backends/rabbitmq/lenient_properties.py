"""Reads a message whose properties are damaged, so that it becomes a dead letter.

RabbitMQ hands on properties as they came. pamqp raises for text that is no UTF-8, and for a time beyond the calendar;
aiormq then drops the connection, RabbitMQ delivers the message again, and the service never consumes another one. This
module replaces pamqp's decoder of properties: what it cannot decode is left out, and of text what can be read is kept.
"""

from typing import Any

from pamqp import decode
from pamqp.commands import Basic

_SIZE_BYTES = {"octet": 1, "timestamp": 8}


def unmarshal_leniently(self: Any, flags: int, data: bytes) -> None:
    """Sets the properties that ``flags`` announces from ``data``, as pamqp does; None or {} for one that is damaged."""
    for name in self.__slots__:
        if flags & self.flags[name]:
            kind = getattr(type(self), f"_{name}")
            try:
                consumed, value = decode.by_type(data, kind)
            except (ValueError, OverflowError, OSError, ArithmeticError, RecursionError):
                consumed, value = _skip(data, kind)
            setattr(self, name, value)
            data = data[consumed:]


def _skip(data: bytes, kind: str) -> tuple[int, Any]:
    """Returns the size of a damaged property in bytes, and what stands for its value."""
    if kind == "shortstr":
        end = 1 + data[0]
        return end, data[1:end].decode(errors="backslashreplace")
    if kind == "table":
        return 4 + int.from_bytes(data[:4]), {}
    return _SIZE_BYTES[kind], None


def make_encodable(value: Any) -> Any:
    """Returns a header's value so that it can be sent again: text that is no UTF-8, at any depth, as a byte array."""
    if isinstance(value, bytes):
        return bytearray(value)
    if isinstance(value, dict):
        return {key: make_encodable(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [make_encodable(inner) for inner in value]
    return value


Basic.Properties.unmarshal = unmarshal_leniently  # type: ignore[method-assign]

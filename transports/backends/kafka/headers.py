"""What travels beside a record's body."""

from shop.messages import KIND, Message
from transports.backends.kafka.client_libraries import Record

WHAT = "kind"
"""The kind of message, where its topic has several."""

REPLY = "reply"
"""Travels along with an order: the partition on which its buyer listens."""

LIES_AT = "lies-at"
"""Of a dead letter without key and body: TOPIC/PARTITION/OFFSET of what is too large to be copied."""


def kind_header(message_type: type[Message]) -> tuple[str, bytes]:
    return WHAT, KIND[message_type].encode()


def reply_header(worker: int) -> tuple[str, bytes]:
    """What the orders of this load process carry."""
    return REPLY, str(worker).encode()


def header(record: Record, wanted: str) -> bytes:
    """Empty for one that is not there."""
    return next((value or b"" for name, value in record.headers if name == wanted), b"")

"""Reads and writes the headers of Kafka records."""

from shop.messages import KIND_BY_TYPE, Message
from transports.backends.kafka.client_libraries import FetchedRecord

KIND_HEADER = "kind"
"""The kind of message, where its topic has several."""

REPLY_HEADER = "reply"
"""The header that travels with an order: the partition on which its buyer listens."""

LOCATION_HEADER = "lies-at"
"""The header of a dead letter without key and body: TOPIC/PARTITION/OFFSET of a record too large to be copied."""


def build_kind_header(message_type: type[Message]) -> tuple[str, bytes]:
    return KIND_HEADER, KIND_BY_TYPE[message_type].encode()


def build_reply_header(worker: int) -> tuple[str, bytes]:
    """Returns the header that names the reply partition of this load process."""
    return REPLY_HEADER, str(worker).encode()


def read_header(record: FetchedRecord, wanted: str) -> bytes:
    """Returns the value of header ``wanted``, or empty bytes if there is none."""
    return next((value or b"" for name, value in record.headers if name == wanted), b"")

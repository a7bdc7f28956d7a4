"""Dead letters: messages that a service took from its broker and could not carry on, each with its reason."""

from collections.abc import Sequence
from dataclasses import dataclass

from transports.errors import Unreadable
from transports.wire import Codec

UNREADABLE, REFUSED, FAILED, PARKED = REASONS = ("unreadable", "refused", "failed", "parked")
"""Why: it cannot be decoded, or comes from a sender who may not send it; its order id was used before for other
content; its handler failed, or the fact that follows cannot be sent; the service could not store it for too long."""

REASON_HEADER = "reason"
"""The header of a dead letter that has its reason."""
SOURCE_HEADER = "source"
"""The header of a dead letter that has the queue or topic from which it came."""
MAX_BYTES = 64 * 1024 * 1024
"""Of bodies that are read at once: no more are read once they are this large together."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """What lies in a dead-letter queue."""

    reason: str
    """One of REASONS, or the broker's own word where it moved the message by itself."""
    source: str
    """The queue or topic from which it came; TOPIC/PARTITION/OFFSET of a record that was too large to be copied."""
    kind: str
    order_id: str | None
    """None where the body cannot be read."""
    body: bytes


@dataclass(frozen=True, slots=True)
class DeadLetters:
    """The oldest dead letters of a trial, and how many there are."""

    letters: Sequence[DeadLetter] = ()
    total: int = 0


def read_order_id(codec: Codec, kind: str, body: bytes) -> str | None:
    """Returns the id of the order that a body is about; None if it cannot be read."""
    try:
        return codec.decode(kind, body).order.order_id
    except Unreadable:
        return None

"""What goes over the stream, both ways: a status byte, the length of the body in four bytes, the body."""

import asyncio
import struct
from enum import IntEnum

from transports.errors import TooLarge

_HEAD = struct.Struct("!BI")


class Status(IntEnum):
    """What the body is: a message, or a sentence that says why there is none."""

    MESSAGE = 0
    REFUSED = 1
    LATE = 2
    FAILED = 3


def framed(status: Status, body: bytes) -> bytes:
    return _HEAD.pack(status, len(body)) + body


async def read(reader: asyncio.StreamReader, limit_bytes: int | None = None) -> tuple[Status, bytes]:
    """Raises IncompleteReadError where the stream ends, ValueError for an unknown status, and TooLarge in place of
    reading a body over the limit."""
    status, length = _HEAD.unpack(await reader.readexactly(_HEAD.size))
    if limit_bytes is not None and length > limit_bytes:
        raise TooLarge(length, limit_bytes)
    return Status(status), await reader.readexactly(length)

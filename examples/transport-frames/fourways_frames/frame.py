"""The frame format: a status byte, the body's length in four bytes, the body."""

import asyncio
import struct
from enum import IntEnum

from transports.errors import TooLarge

_HEADER = struct.Struct("!BI")


class FrameStatus(IntEnum):
    """What the body of a frame is: a message, or a sentence that says why there is none."""

    MESSAGE = 0
    REFUSED = 1
    LATE = 2
    FAILED = 3


def build_frame(status: FrameStatus, body: bytes) -> bytes:
    return _HEADER.pack(status, len(body)) + body


async def read_frame(reader: asyncio.StreamReader, limit_bytes: int | None = None) -> tuple[FrameStatus, bytes]:
    """Returns the status and the body of the next frame.

    Raises IncompleteReadError at the end of the stream, ValueError for an unknown status, and TooLarge, before it reads
    the body, for one over the limit.
    """
    status, length = _HEADER.unpack(await reader.readexactly(_HEADER.size))
    if limit_bytes is not None and length > limit_bytes:
        raise TooLarge(length, limit_bytes)
    return FrameStatus(status), await reader.readexactly(length)

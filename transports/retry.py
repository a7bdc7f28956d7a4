"""Retries calls that failed by a passing error, with exponential backoff and full jitter."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from transports.errors import Unavailable, Unreachable

T = TypeVar("T")

FIRST_PAUSE_S = 0.05
MAX_PAUSE_S = 1.0
RETRY_AFTER_S = 1
"""The least pause that a service asks for when it cannot store: Retry-After in REST, pushback in gRPC."""
_RANDOM = random.Random()


async def retry_unreachable(ask: Callable[[float], Awaitable[T]], retries: int, deadline_s: float) -> T:
    """Calls ``ask`` with the seconds that remain until the deadline, and returns its result.

    Calls it again up to ``retries`` times while it raises Unreachable or Unavailable, and the deadline has not passed;
    after Unavailable no sooner than the service asked. It cannot be known whether the other side did its work before
    the connection was lost, so only idempotent calls may be retried; the shop's services remember what they decided
    about an order. Each pause is drawn from 0 to a maximum that doubles
    each time, up to one second (Brooker, "Exponential backoff and jitter", AWS Architecture Blog, 2015: full jitter).
    Raises what the last attempt raised.
    """
    ends_s = time.monotonic() + deadline_s
    longest_s = FIRST_PAUSE_S
    for left in range(retries, -1, -1):
        try:
            return await ask(max(0.001, ends_s - time.monotonic()))
        except (Unreachable, Unavailable) as error:
            pause_s = _RANDOM.uniform(0, longest_s) + (RETRY_AFTER_S if isinstance(error, Unavailable) else 0)
            if not left or time.monotonic() + pause_s >= ends_s:
                raise
        await asyncio.sleep(pause_s)
        longest_s = min(2 * longest_s, MAX_PAUSE_S)
    raise AssertionError("an attempt returns or raises")

"""Asking again when nobody listened or the connection was lost, with pauses that grow, within the caller's deadline."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from transports.errors import Unreachable

T = TypeVar("T")

FIRST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 1.0
_DICE = random.Random()


async def reached(ask: Callable[[float], Awaitable[T]], retries: int, deadline_s: float) -> T:
    """What ``ask`` gives, which is told how many seconds it may take.

    It is asked again up to ``retries`` times, as long as it raises Unreachable and the deadline is not over. Whether
    the other side did its work before the connection was lost cannot be known, so that only what may be done twice may
    be asked again; the shop's services remember what they decided about an order. A pause is drawn from 0 to a longest
    one, which doubles from time to time, up to a second (Brooker, "Exponential backoff and jitter", AWS
    Architecture Blog, 2015: full jitter). Raises what the last attempt raised.
    """
    ends_s = time.monotonic() + deadline_s
    longest_s = FIRST_PAUSE_S
    for left in range(retries, -1, -1):
        try:
            return await ask(max(0.001, ends_s - time.monotonic()))
        except Unreachable:
            pause_s = _DICE.uniform(0, longest_s)
            if not left or time.monotonic() + pause_s >= ends_s:
                raise
        await asyncio.sleep(pause_s)
        longest_s = min(2 * longest_s, LONGEST_PAUSE_S)
    raise AssertionError("an attempt returns or raises")

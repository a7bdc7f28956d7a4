"""Stops consumption while a service cannot store: one message probes, all others wait in line.

Both backends share it: for RabbitMQ's deliveries, handled side by side, and for the first message of Kafka's batch.
"""

import asyncio
from bisect import insort
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

from transports.errors import Unavailable

T = TypeVar("T")
Attempt = Callable[[], Awaitable[T]]
"""Handles a message; raises Unavailable for a passing error."""

FIRST_PAUSE_S = 0.05
MAX_PAUSE_S = 2.0


class Parked(Exception):
    """A message was probed for as long as the limit allows. ``str(error)`` is a sentence."""


class Halted(Exception):
    """Consumption ended before the message could be handled, so it stays with its broker."""


class ProbingGate:
    """Open as long as messages can be handled. Used by one event loop.

    The message that fails first probes, with pauses that double. When it succeeds, those that wait go on in order. When
    it has failed for the limit, it is parked and the next in line probes.
    """

    def __init__(self, limit_s: float) -> None:
        """``limit_s`` is counted from a message's first failure as a probe."""
        self.closed = False
        self._limit_s = limit_s
        self._halted = asyncio.Event()
        self._line: list[tuple[int, asyncio.Future[bool]]] = []
        """Who waits, by place: the future says whether to probe, or that the gate is open."""

    def halt(self) -> None:
        """Ends all waiting with Halted, now and later."""
        self._halted.set()
        self._release()

    async def retry(self, attempt: Attempt[T], place: int = 0) -> T:
        """Returns what ``attempt`` returns once it succeeds: of a message that failed, or came to a closed gate.

        ``place`` orders those that wait. Raises Parked, Halted and what ``attempt`` raises but for Unavailable.
        """
        while not self._halted.is_set():
            if not self.closed:
                self.closed = True
                return await self._probe(attempt)
            if await self._wait_in_line(place):
                return await self._probe(attempt)
            if not self._halted.is_set():
                with suppress(Unavailable):
                    return await attempt()
        raise Halted

    async def _wait_in_line(self, place: int) -> bool:
        """Returns True when it is this message's turn to probe, False when the gate was opened."""
        turn: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        entry = (place, turn)
        insort(self._line, entry, key=lambda waiting: waiting[0])
        try:
            return await turn
        except asyncio.CancelledError:
            if not turn.cancelled() and turn.result():
                self._hand_over()
            raise
        finally:
            with suppress(ValueError):
                self._line.remove(entry)

    async def _probe(self, attempt: Attempt[T]) -> T:
        clock = asyncio.get_running_loop().time
        ends_s, pause_s = clock() + self._limit_s, FIRST_PAUSE_S
        try:
            while True:
                await self._pause(min(pause_s, max(0.0, ends_s - clock())))
                try:
                    result = await attempt()
                except Unavailable as error:
                    if clock() >= ends_s:
                        raise Parked(f"it could not be handled for {self._limit_s:g} s: {error}") from error
                    pause_s = min(2 * pause_s, MAX_PAUSE_S)
                    continue
                self._release()
                return result
        except (Parked, Halted, asyncio.CancelledError):
            self._hand_over()
            raise
        except Exception:
            self._release()  # another error is of this message alone
            raise

    async def _pause(self, pause_s: float) -> None:
        """Waits, and raises Halted as soon as consumption ends."""
        with suppress(TimeoutError):
            async with asyncio.timeout(pause_s):
                await self._halted.wait()
        if self._halted.is_set():
            raise Halted

    def _release(self) -> None:
        """Opens the gate for all that wait, in order."""
        self.closed = False
        line, self._line = self._line, []
        for _, turn in line:
            if not turn.done():
                turn.set_result(False)

    def _hand_over(self) -> None:
        """Lets the next in line probe; opens the gate if nobody waits."""
        while self._line:
            _, turn = self._line.pop(0)
            if not turn.done():
                turn.set_result(True)
                return
        self.closed = False

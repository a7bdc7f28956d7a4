"""Limits how often one kind of trouble is logged."""

import logging
import time
from collections.abc import Callable
from typing import Protocol

INTERVAL_S = 1.0
"""The least time between two lines about the same trouble."""


LIMITED = "limited"
"""The field of a log record that was limited already, see transports/log_handler.py."""


class Log(Protocol):
    """The part of a logger that is used here."""

    def warning(self, template: str, /, *args: object, extra: dict[str, object]) -> None: ...


class LimitedLog:
    """Logs warnings: the first at once, then at most one in each interval, which says how many it stands for."""

    def __init__(self, log: logging.Logger | Log, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._clock = clock
        self._next_s = float("-inf")
        self._last, self._last_s = "", float("-inf")
        self._left_out = 0

    def warning(self, text: str) -> None:
        """Logs the text, or counts it."""
        now_s = self._clock()
        self._last, self._last_s = text, now_s
        if now_s < self._next_s:
            self._left_out += 1
            return
        self._next_s = now_s + INTERVAL_S
        self.flush(1)

    def flush(self, more: int = 0) -> None:
        """Logs the newest text if any was only counted, and how old it is; ``more`` are to be counted with it."""
        count, self._left_out = self._left_out + more, 0
        if count:
            age_s = self._clock() - self._last_s
            notes = [f"{count:,} times"] * (count > 1) + [f"the last {age_s:.1f} s ago"] * (age_s >= INTERVAL_S)
            self._log.warning("%s%s", self._last, f" ({', '.join(notes)})" if notes else "", extra={LIMITED: True})

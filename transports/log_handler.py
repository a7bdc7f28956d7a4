"""Writes the log of a process: one line for what operation can cause, and one line a second for the same trouble.

The libraries log a lost connection with a traceback, and some of them once for each try to get it back.
"""

import logging
import re
import sys
from typing import TextIO

from shop.store import StoreUnavailable
from transports.errors import TransportError
from transports.log_limit import LIMITED, LimitedLog

_LIBRARIES = frozenset({"aio_pika", "aiohttp", "aiokafka", "aiormq", "confluent_kafka", "grpc", "httpcore", "httpx"})
"""Libraries whose own exceptions say that a neighbour or a broker was lost, or refused something."""


class OneLineFormatter(logging.Formatter):
    """Formats an exception that operation can cause as part of its line, and any other with its traceback."""

    def format(self, record: logging.LogRecord) -> str:
        error = record.exc_info[1] if record.exc_info else None
        if error is None or not is_operational(error):
            return super().format(record)
        short = logging.makeLogRecord(record.__dict__)
        first_line = record.getMessage().partition("\n")[0]
        short.msg, short.args, short.exc_info, short.exc_text = f"{first_line}: {error!r}", None, None, None
        return super().format(short)


MAX_TROUBLES = 200
"""Told apart in the life of a process; further ones are limited by their place in the code."""
_NUMBER = re.compile(r"0x[0-9a-f]+|\d+")

Trouble = tuple[str, int, str]
"""A place in the code, and what it said but for numbers."""


class LimitedHandler(logging.StreamHandler[TextIO]):
    """Writes lines, those of the same trouble at most once a second, with how many they stand for."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._limits: dict[Trouble, LimitedLog] = {}

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record)
            if getattr(record, LIMITED, False):  # by the one who logs
                self.warning("%s", line)
                return
            trouble = self._name_trouble(record)
            if trouble not in self._limits:
                self._limits[trouble] = LimitedLog(self)
            self._limits[trouble].warning(line)
        except Exception:  # noqa: BLE001 - a log must not end what it tells of
            self.handleError(record)

    def _name_trouble(self, record: logging.LogRecord) -> Trouble:
        error = record.exc_info[1] if record.exc_info else None
        said = _NUMBER.sub("#", f"{record.getMessage()} {error!r}")
        known = len(self._limits) < MAX_TROUBLES or (record.pathname, record.lineno, said) in self._limits
        return record.pathname, record.lineno, said if known else ""

    def warning(self, template: str, /, *args: object, extra: dict[str, object] | None = None) -> None:
        """Writes a line, as ``logging.Logger.warning`` would."""
        self.stream.write(template % args + self.terminator)
        self.stream.flush()

    def close(self) -> None:
        """Writes what was only counted."""
        for limit in self._limits.values():
            limit.flush()
        super().close()


def is_operational(error: BaseException) -> bool:
    """Returns whether a neighbour, a broker, a network or a disk can have caused an exception; else it is a defect."""
    if isinstance(error, BaseExceptionGroup):
        return all(is_operational(inner) for inner in error.exceptions)
    if isinstance(error, OSError | EOFError | TransportError | StoreUnavailable):
        return True
    return any(kind.__module__.partition(".")[0] in _LIBRARIES for kind in type(error).__mro__)


def set_up_log(stream: TextIO | None = None) -> None:
    """Has all loggers of this process write their warnings to ``stream``, or else to standard error."""
    handler = LimitedHandler(sys.stderr if stream is None else stream)
    handler.setFormatter(OneLineFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])

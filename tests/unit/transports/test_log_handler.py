"""Tests what the log of a process has of lost connections: no traceback, and no line for each try."""

import asyncio
import io
import logging
from collections.abc import Iterator

import pytest
from aiokafka.errors import KafkaConnectionError
from aiormq.exceptions import AMQPConnectionError

from shop.store import StoreUnavailable
from transports.errors import Unreachable
from transports.log_handler import MAX_TROUBLES, LimitedHandler, OneLineFormatter
from transports.log_limit import LimitedLog


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def log(stream: io.StringIO) -> Iterator[logging.Logger]:
    handler = LimitedHandler(stream)
    handler.setFormatter(OneLineFormatter("%(levelname)s %(message)s"))
    logger = logging.getLogger("test-log-handler")
    logger.propagate = False
    logger.addHandler(handler)
    yield logger
    logger.removeHandler(handler)
    handler.close()


def log_raised(log: logging.Logger, error: BaseException) -> None:
    try:
        raise error
    except type(error):
        log.exception("it was lost\nwith a second line")


@pytest.mark.parametrize(
    "error",
    [
        ConnectionResetError(104, "reset"),
        asyncio.IncompleteReadError(b"", 1),
        TimeoutError(),
        KafkaConnectionError("gone"),
        AMQPConnectionError("gone"),
        StoreUnavailable("full"),
        ExceptionGroup("two", [Unreachable("gone"), OSError()]),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_operation_can_cause_is_one_line(log: logging.Logger, stream: io.StringIO, error: Exception) -> None:
    log_raised(log, error)
    (line,) = stream.getvalue().splitlines()
    assert line.startswith("ERROR it was lost: ") and type(error).__name__ in line


@pytest.mark.parametrize("error", [KeyError("defect"), ExceptionGroup("two", [OSError(), ValueError()])])
def test_a_defect_keeps_its_traceback(log: logging.Logger, stream: io.StringIO, error: Exception) -> None:
    log_raised(log, error)
    assert "Traceback (most recent call last)" in stream.getvalue()


def test_one_place_of_the_code_fills_no_log_and_silences_no_other(log: logging.Logger, stream: io.StringIO) -> None:
    for number in range(18_000):
        log.warning("again %d", number)
    log.warning("another place")
    assert "WARNING another place" in stream.getvalue().splitlines()
    assert len(stream.getvalue().splitlines()) < 100
    for handler in log.handlers:
        handler.close()
    assert "again 17999" in stream.getvalue()


def test_what_was_limited_already_is_not_limited_twice(log: logging.Logger, stream: io.StringIO) -> None:
    for kind in ("locked", "full"):
        LimitedLog(log).warning(kind)
    assert stream.getvalue().splitlines() == ["WARNING locked", "WARNING full"]


def test_two_troubles_at_one_place_are_both_told(log: logging.Logger, stream: io.StringIO) -> None:
    for why in ("no certificate", "an unknown authority"):
        log.warning("refused %d: %s", 1, why)
    assert stream.getvalue().splitlines() == [
        "WARNING refused 1: no certificate",
        "WARNING refused 1: an unknown authority",
    ]


def test_ever_new_troubles_are_limited_by_their_place(log: logging.Logger, stream: io.StringIO) -> None:
    for number in range(2000):
        log.warning("trouble %s", "x" * number)
    assert len(stream.getvalue().splitlines()) < MAX_TROUBLES + 10

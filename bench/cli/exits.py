"""How a command that measures ends: by itself, stopped, or with one sentence."""

import asyncio
import signal
import sys
from collections.abc import Coroutine
from typing import Any, TypeVar

import uvloop

FAILED, USAGE, STOPPED = 1, 2, 130

T = TypeVar("T")


def outcome(work: Coroutine[Any, Any, T], *failures: type[Exception]) -> T:
    """What some work comes to in an event loop of its own; SIGINT and SIGTERM cancel it, so that it ends what it began.

    ``failures`` are those whose message is a sentence. Raises SystemExit after one on standard error: STOPPED, or
    FAILED for any of them and for OSError.
    """
    try:
        return uvloop.run(_stoppable(work))
    except (KeyboardInterrupt, asyncio.CancelledError):
        print("stopped; nothing is left running", file=sys.stderr)
        raise SystemExit(STOPPED) from None
    except failures as error:
        print(error, file=sys.stderr)
        raise SystemExit(FAILED) from None
    except OSError as error:
        print(f"{error.filename or 'the system'}: {error.strerror or error}; see to it and try again", file=sys.stderr)
        raise SystemExit(FAILED) from None


async def _stoppable(work: Coroutine[Any, Any, T]) -> T:
    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    return await work

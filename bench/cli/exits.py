"""Ends a command: signals stop its work in order, and an error is one sentence with its code and exit code."""

import asyncio
import gc
import signal
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn, TypeVar

from bench.errors import ExitCode, Refusal
from transports.errors import SettingError, TransportError

T = TypeVar("T")


def end(sentence: str, code: str, exit_code: ExitCode) -> NoReturn:
    """Print a sentence and its code on standard error, and exit. Raises SystemExit."""
    print(f"{sentence} [{code}]", file=sys.stderr)
    raise SystemExit(int(exit_code))


@contextmanager
def refusals() -> Iterator[None]:
    """Turns every error that a person can cause into its sentence, code and exit code."""
    try:
        yield
    except Refusal as error:
        end(str(error), error.code, error.exit_code)
    except SettingError as error:
        end(str(error), error.code, ExitCode.USAGE)
    except TransportError as error:
        end(str(error), error.code, ExitCode.FAILED)
    except BrokenPipeError:  # whoever read our output has gone, as `| head` does
        sys.stderr.close()
        raise SystemExit(int(ExitCode.FAILED)) from None
    except OSError as error:
        what = error.filename or "the system"
        end(f"{what}: {error.strerror or error}; mend it and try again", "system-error", ExitCode.FAILED)


def run_to_end(work: Callable[[], Coroutine[Any, Any, T]], *, kept: Callable[[], str] = lambda: "") -> T:
    """Run some work in an event loop of its own, and return what it comes to.

    SIGINT, SIGTERM and SIGHUP cancel it, so that it ends what it began; then the command ends with STOPPED, and
    ``kept`` then says what is left of it.
    """
    import uvloop  # noqa: PLC0415 - what refuses a typo does not need it

    stopping: list[int] = []

    async def stoppable() -> T:
        loop, task = asyncio.get_running_loop(), asyncio.ensure_future(work())

        def stop(number: int) -> None:
            stopping.append(number)
            task.cancel()

        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, stop, number)
        return await task

    with refusals():
        try:
            return uvloop.run(stoppable())
        except (KeyboardInterrupt, asyncio.CancelledError):
            if not stopping:
                raise
            gc.freeze()  # on its way out the interpreter looks at all objects, for up to two seconds on a busy machine
            end(f"stopped; {kept()}nothing is left running", "stopped", ExitCode.STOPPED)

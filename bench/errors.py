"""Every error that a person can cause, each with a stable code and the exit code of the command that it ends.

    Refusal                          exit code
    ├── UsageError                   2   what was asked for makes no sense
    ├── MissingServer                3   a server, or a Python, that is needed cannot be had
    ├── OperationFailed              4   it could not be done
    │   ├── StartFailed                  a server did not come up
    │   ├── LoadError                    the load could not be driven
    │   └── InUse                        what was to be stopped is used by a run
    ├── ResultsError                 5   results cannot be written or read
    ├── InvalidRun                   6   a trial says nothing of its method
    ├── DoubtfulRun                  7   a cell has too few valid trials to be compared
    ├── Regression                  10   the newer of two revisions takes more, or loses orders
    ├── Inconclusive                11   two revisions could not be told apart, with STRICT=1
    └── Unmeasured                  12   two revisions could not be compared

A transport's own errors (transports/errors.py) end a command as UsageError or as OperationFailed does.
"""

from collections.abc import Iterable
from enum import IntEnum
from typing import ClassVar

from transports.errors import describe_unknown


class ExitCode(IntEnum):
    """How every command ends; docs/reference/exit-codes.md has the table."""

    OK = 0
    USAGE = 2
    MISSING = 3
    FAILED = 4
    NO_RESULTS = 5
    INVALID = 6
    DOUBTFUL = 7
    REGRESSION = 10
    INCONCLUSIVE = 11
    UNMEASURED = 12
    STOPPED = 130


class Refusal(Exception):
    """``str(error)`` is one sentence: what is wrong, and what to do next. ``code`` stays when it is reworded."""

    exit_code: ClassVar[ExitCode] = ExitCode.FAILED

    def __init__(self, sentence: str, *, code: str) -> None:
        super().__init__(" ".join(sentence.splitlines()))  # a path that was typed may have a line break in it
        self.code = code


class UsageError(Refusal):
    """What was asked for makes no sense."""

    exit_code = ExitCode.USAGE


class MissingServer(Refusal):
    """A server, or a Python, that is needed cannot be had."""

    exit_code = ExitCode.MISSING


class OperationFailed(Refusal):
    """It could not be done."""


class StartFailed(OperationFailed):
    """A server did not come up."""


class LoadError(OperationFailed):
    """The load could not be driven."""


class InUse(OperationFailed):
    """What was to be stopped is used by a run."""


class ResultsError(Refusal):
    """Results cannot be written or read."""

    exit_code = ExitCode.NO_RESULTS


class InvalidRun(Refusal):
    """A trial says nothing of its method; the others are kept."""

    exit_code = ExitCode.INVALID


class DoubtfulRun(Refusal):
    """A cell has too few valid trials to be compared."""

    exit_code = ExitCode.DOUBTFUL


class Regression(Refusal):
    """A limit is missed, or the newer of two revisions takes more than its threshold allows, or loses orders."""

    exit_code = ExitCode.REGRESSION


class Inconclusive(Refusal):
    """With STRICT=1: of two revisions something is suspect, or was not counted."""

    exit_code = ExitCode.INCONCLUSIVE


class Unmeasured(Refusal):
    """Two revisions could not be compared; nothing is said of either."""

    exit_code = ExitCode.UNMEASURED


def unknown_word(what: str, word: str, known: tuple[str, ...], others: Iterable[str] = ()) -> UsageError:
    """Returns the refusal of a word that is none of ``known``: with the nearest one, or with all of them.

    ``others`` are aliases, which may be the nearest too.
    Its code is ``unknown-client`` for "client of rest", and ``unknown-profile-key`` for "profile key".
    """
    kind = what.partition(" of ")[0].replace(" ", "-")
    return UsageError(describe_unknown(what, word, known, others), code=f"unknown-{kind}")

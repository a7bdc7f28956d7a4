"""Tests the exit codes and the last sentences of commands."""

import asyncio
import gc
import os
import signal

import pytest

from bench import errors
from bench.cli.exits import refusals, run_to_end
from bench.errors import ExitCode
from transports.errors import NoOutcome, SettingError


async def give(what: object) -> object:
    return what


async def fail(error: Exception) -> None:
    raise error


def test_what_comes_of_the_work_is_given_back() -> None:
    assert run_to_end(lambda: give(5)) == 5


@pytest.mark.parametrize(
    ("error", "exit_code", "sentence"),
    [
        (errors.UsageError("no such word", code="unknown-word"), 2, "no such word [unknown-word]"),
        (SettingError("no such client", code="unknown-client"), 2, "no such client [unknown-client]"),
        (errors.MissingServer("no kafka", code="missing-server"), 3, "no kafka [missing-server]"),
        (errors.OperationFailed("it broke", code="broke"), 4, "it broke [broke]"),
        (errors.LoadError("no locust answers", code="locust-silent"), 4, "no locust answers [locust-silent]"),
        (errors.StartFailed("it ended", code="service-ended"), 4, "it ended [service-ended]"),
        (errors.InUse("a run uses it", code="in-use"), 4, "a run uses it [in-use]"),
        (NoOutcome("no answer"), 4, "no answer [no-outcome]"),
        (
            PermissionError(13, "Permission denied", "results"),
            4,
            "results: Permission denied; mend it and try again [system-error]",
        ),
        (errors.ResultsError("damaged", code="damaged-results"), 5, "damaged [damaged-results]"),
        (errors.InvalidRun("round 1 died", code="trials-disqualified"), 6, "round 1 died [trials-disqualified]"),
        (errors.DoubtfulRun("too few", code="cells-invalid"), 7, "too few [cells-invalid]"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
@pytest.mark.parametrize("in_a_loop", [False, True])
def test_a_known_failure_is_a_sentence_with_its_code_and_its_exit_code(
    error: Exception, exit_code: int, sentence: str, in_a_loop: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        if in_a_loop:
            run_to_end(lambda: fail(error))
        else:
            with refusals():
                raise error
    out, err = capsys.readouterr()
    assert (ended.value.code, out, err) == (exit_code, "", sentence + "\n")


def test_what_nobody_thought_of_is_no_sentence() -> None:
    with pytest.raises(ZeroDivisionError):
        run_to_end(lambda: fail(ZeroDivisionError()))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_work_that_is_stopped_ends_what_it_began(number: int, capsys: pytest.CaptureFixture[str]) -> None:
    ended: list[str] = []

    async def begin() -> None:
        try:
            os.kill(os.getpid(), number)
            await asyncio.sleep(30)
        finally:
            ended.append("ended")

    with pytest.raises(SystemExit) as stopped:
        run_to_end(begin, kept=lambda: "all is kept, and ")
    assert (stopped.value.code, ended) == (ExitCode.STOPPED, ["ended"])
    assert gc.get_freeze_count()  # so that the end of the interpreter takes no time
    gc.unfreeze()
    assert capsys.readouterr().err == "stopped; all is kept, and nothing is left running [stopped]\n"

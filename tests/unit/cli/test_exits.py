"""Tests the exit codes and last sentences of commands."""

import asyncio
import os
import signal

import pytest

from bench.cli.exits import FAILED, STOPPED, outcome


class Known(Exception):
    pass


async def gives(what: object) -> object:
    return what


async def raises(error: Exception) -> None:
    raise error


def test_what_comes_of_the_work_is_given_back() -> None:
    assert outcome(gives(5)) == 5


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (Known("no locust answers"), "no locust answers"),
        (PermissionError(13, "Permission denied", "results"), "results: Permission denied; see to it and try again"),
    ],
)
def test_a_known_failure_is_a_sentence(error: Exception, sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        outcome(raises(error), Known)
    assert (ended.value.code, capsys.readouterr().err) == (FAILED, sentence + "\n")


def test_what_nobody_thought_of_is_no_sentence() -> None:
    with pytest.raises(ZeroDivisionError):
        outcome(raises(ZeroDivisionError()), Known)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_work_that_is_stopped_ends_what_it_began(number: int, capsys: pytest.CaptureFixture[str]) -> None:
    ended: list[str] = []

    async def begun() -> None:
        try:
            os.kill(os.getpid(), number)
            await asyncio.sleep(30)
        finally:
            ended.append("ended")

    with pytest.raises(SystemExit) as stopped:
        outcome(begun())
    assert (stopped.value.code, ended) == (STOPPED, ["ended"])
    assert capsys.readouterr().err == "stopped; nothing is left running\n"

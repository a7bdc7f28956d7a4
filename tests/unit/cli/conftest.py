"""Runs the command line in this process."""

import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from bench.cli import app


@dataclass(frozen=True)
class Refused:
    """How a command was refused: equal to another with the same exit code and the same code."""

    exit_code: int
    code: str
    sentence: str = field(default="", compare=False)


Runner = Callable[[str], Refused]


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Runner:
    """Runs a command line that is refused in one sentence, with nothing on standard output."""

    def run(line: str) -> Refused:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            app.main(shlex.split(line))
        out, err = capsys.readouterr()
        found = re.fullmatch(r"(.+ \[([a-z0-9-]+)\])\n", err)
        assert found, (line, out, err)
        assert out == ""
        assert isinstance(ended.value.code, int)
        return Refused(ended.value.code, found[2], found[1])

    return run

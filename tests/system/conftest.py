"""Fixtures that run Fourways commands with the session's brokers."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.system.command_line import BenchCommandLine, CommandLine


@pytest.fixture
def house(tmp_path: Path, servers: Mapping[str, str]) -> Iterator[CommandLine]:
    """A command line with the session's brokers; kills the processes that a failed test left."""
    made = CommandLine(tmp_path, servers)
    yield made
    for process in made.processes():
        process.kill()


@pytest.fixture
def bench(tmp_path: Path, servers: Mapping[str, str]) -> Iterator[BenchCommandLine]:
    made = BenchCommandLine(tmp_path, servers)
    yield made
    for process in made.processes():
        process.kill()

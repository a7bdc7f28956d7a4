"""Fixtures of the tests that type commands."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.system.command_line import Bench, House


@pytest.fixture
def house(tmp_path: Path, servers: Mapping[str, str]) -> Iterator[House]:
    """With the session's brokers; whatever a failed test has left running is ended."""
    made = House(tmp_path, servers)
    yield made
    for process in made.processes():
        process.kill()


@pytest.fixture
def bench(tmp_path: Path, servers: Mapping[str, str]) -> Iterator[Bench]:
    made = Bench(tmp_path, servers)
    yield made
    for process in made.processes():
        process.kill()

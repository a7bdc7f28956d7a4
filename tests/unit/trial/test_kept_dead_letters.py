"""Tests what a run keeps of the dead letters of a trial."""

from base64 import b64decode
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec

from bench.trial.kept_dead_letters import MAX_KEPT, keep_dead_letters
from transports.dead_letters import DeadLetter, DeadLetters
from transports.errors import Unreachable

LETTER = DeadLetter("parked", "t.payment", "stock-reserved", "order-1", b"\xff{}")


def over(found: DeadLetters | Exception) -> Any:
    async def read_dead_letters(limit: int) -> DeadLetters:
        assert limit == MAX_KEPT == 1_000
        if isinstance(found, Exception):
            raise found
        return found

    return SimpleNamespace(read_dead_letters=read_dead_letters)


async def test_each_is_a_line_and_the_last_line_says_how_many_there_were(tmp_path: Path) -> None:
    path = tmp_path / "dead-letters" / "r1-s1-broker.jsonl"
    await keep_dead_letters(over(DeadLetters([LETTER, LETTER], 1_234)), path)
    first, second, last = (msgspec.json.decode(line) for line in path.read_bytes().splitlines())
    assert first == second
    assert b64decode(first.pop("body")) == b"\xff{}"
    assert first == {"reason": "parked", "source": "t.payment", "kind": "stock-reserved", "order_id": "order-1"}
    assert last == {"total": 1_234, "kept": 2, "most_kept": 1_000}


async def test_without_any_there_is_no_file_and_none_of_an_earlier_try(tmp_path: Path) -> None:
    path = tmp_path / "r1-s1-broker.jsonl"
    path.touch()
    await keep_dead_letters(over(DeadLetters()), path)
    assert not path.exists()


async def test_a_broker_that_is_gone_does_not_fail_the_trial(tmp_path: Path) -> None:
    await keep_dead_letters(over(Unreachable("gone")), tmp_path / "r1-s1-broker.jsonl")
    assert not list(tmp_path.iterdir())

"""Tests retries of unreachable services."""

import asyncio
import time

import pytest

from tests.unit.load.virtual_clock import VirtualLoop
from transports.errors import Failed, Unavailable, Unreachable
from transports.retry import RETRY_AFTER_S, retry_unreachable


class Door:
    """Opens after so many knocks."""

    def __init__(self, shut: int, error: Exception | None = None) -> None:
        self.shut = shut
        self.error = error or Unreachable("nobody listens")
        self.within_s: list[float] = []

    async def ask(self, within_s: float) -> str:
        self.within_s.append(within_s)
        if len(self.within_s) <= self.shut:
            raise self.error
        return "in"


def test_a_caller_that_is_not_reached_is_asked_again() -> None:
    door = Door(shut=3)
    assert asyncio.run(retry_unreachable(door.ask, retries=3, deadline_s=30)) == "in"
    assert len(door.within_s) == 4


def test_after_so_many_retries_the_last_error_is_raised() -> None:
    door = Door(shut=9)
    with pytest.raises(Unreachable):
        asyncio.run(retry_unreachable(door.ask, retries=2, deadline_s=30))
    assert len(door.within_s) == 3


def test_a_service_that_cannot_store_is_asked_again_and_no_sooner_than_it_said() -> None:
    door = Door(shut=3, error=Unavailable("full"))
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        began_s = runner.get_loop().time()
        assert runner.run(retry_unreachable(door.ask, retries=3, deadline_s=30)) == "in"
        assert runner.get_loop().time() - began_s >= 3 * RETRY_AFTER_S


def test_what_was_answered_is_not_asked_again() -> None:
    door = Door(shut=1, error=Failed("the other side failed"))
    with pytest.raises(Failed):
        asyncio.run(retry_unreachable(door.ask, retries=5, deadline_s=30))
    assert len(door.within_s) == 1


def test_each_attempt_may_take_what_is_left_of_the_deadline() -> None:
    door = Door(shut=2)
    asyncio.run(retry_unreachable(door.ask, retries=5, deadline_s=30))
    assert door.within_s[0] == pytest.approx(30, abs=0.5)
    assert door.within_s == sorted(door.within_s, reverse=True)


def test_the_deadline_ends_it_however_many_retries_are_left() -> None:
    door = Door(shut=10**6)
    begun_s = time.monotonic()
    with pytest.raises(Unreachable):
        asyncio.run(retry_unreachable(door.ask, retries=10**6, deadline_s=0.3))
    assert time.monotonic() - begun_s < 5
    assert 1 < len(door.within_s) < 1000

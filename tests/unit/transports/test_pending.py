"""Tests that outcomes reach their orders, and that duplicates are counted."""

import asyncio
from collections.abc import Callable

import pytest

from shop.messages import OrderClosed
from tests.conftest import build_order
from transports.errors import Unreachable, Unreadable
from transports.pending import MAX_ABANDONED, PendingOutcomes
from transports.wire import load_codec

JSON = load_codec("json")
BODY = JSON.encode(OrderClosed(build_order("one"), "shipped", 100, "RR1", ""))


def heard(then: Callable[[PendingOutcomes], None], body: bytes = BODY) -> tuple[bool, "asyncio.Future[object]"]:
    """An order is expected, something happens, and its outcome comes."""

    async def course() -> tuple[bool, "asyncio.Future[object]"]:
        outcomes = PendingOutcomes(JSON)
        finished = outcomes.register("one")
        then(outcomes)
        return outcomes.receive_outcome("one", body, 7), finished

    return asyncio.run(course())


def test_whoever_waits_is_told_the_outcome_and_when_it_came() -> None:
    known, finished = heard(lambda outcomes: None)
    assert known
    assert (finished.result().at_ns, finished.result().outcome.status) == (7, "shipped")


def test_the_second_outcome_of_an_order_is_one_too_many() -> None:
    known, finished = heard(lambda outcomes: outcomes.receive_outcome("one", BODY, 6))
    assert not known
    assert finished.result().at_ns == 6


def test_the_outcome_of_an_order_that_was_given_up_is_none_too_many_but_the_next_one_is() -> None:
    def given_up_and_told(outcomes: PendingOutcomes) -> None:
        outcomes.abandon("one")
        assert outcomes.receive_outcome("one", BODY, 6)

    assert heard(lambda outcomes: outcomes.abandon("one"))[0]
    assert not heard(given_up_and_told)[0]


@pytest.mark.parametrize(("others", "remembered"), [(MAX_ABANDONED - 1, True), (MAX_ABANDONED, False)])
def test_of_the_orders_given_up_the_newest_are_remembered(others: int, remembered: bool) -> None:
    def given_up_with(outcomes: PendingOutcomes) -> None:
        outcomes.abandon("one")
        for number in range(others):
            outcomes.register(f"other-{number}")
            outcomes.abandon(f"other-{number}")

    assert heard(given_up_with)[0] is remembered


def test_those_who_wait_are_told_that_no_outcome_can_come() -> None:
    known, finished = heard(lambda outcomes: outcomes.fail(Unreachable("gone")))
    assert not known
    assert isinstance(finished.exception(), Unreachable)


def test_an_outcome_that_nobody_expected_is_one_too_many() -> None:
    assert not PendingOutcomes(JSON).receive_outcome("two", BODY, 7)


def test_an_outcome_that_cannot_be_read_is_told_as_that() -> None:
    known, finished = heard(lambda outcomes: None, b"\xff")
    assert known
    assert isinstance(finished.exception(), Unreadable)


@pytest.mark.parametrize("times", [1, 2])
def test_whoever_stopped_waiting_is_not_told(times: int) -> None:
    async def course() -> list[bool]:
        outcomes = PendingOutcomes(JSON)
        outcomes.register("one").cancel()
        return [outcomes.receive_outcome("one", BODY, 7) for _ in range(times)]

    assert asyncio.run(course()) == [True, False][:times]

"""Tests that outcomes reach their orders, and that duplicates are counted."""

import asyncio
from collections.abc import Callable

import pytest

from shop.messages import OrderClosed
from tests.conftest import build_order
from transports.base import Finished
from transports.errors import Unreachable, Unreadable
from transports.pending import MAX_ABANDONED, PendingOutcomes
from transports.wire import load_codec

JSON = load_codec("json")
BODY = JSON.encode(OrderClosed(build_order("one"), "shipped", 100, "RR1", ""))


def heard(
    then: Callable[[PendingOutcomes, "asyncio.Future[Finished]"], object], body: bytes = BODY
) -> tuple[bool, "asyncio.Future[object]"]:
    """An order is expected, something happens, and its outcome comes."""

    async def course() -> tuple[bool, "asyncio.Future[object]"]:
        outcomes = PendingOutcomes(JSON)
        finished = outcomes.register(build_order("one"))
        then(outcomes, finished)
        return outcomes.receive_outcome("one", body, 7), finished

    return asyncio.run(course())


def test_whoever_waits_is_told_the_outcome_and_when_it_came() -> None:
    known, finished = heard(lambda *_: None)
    assert known
    assert (finished.result().at_ns, finished.result().outcome.status) == (7, "shipped")


def test_the_second_outcome_of_an_order_is_one_too_many() -> None:
    known, finished = heard(lambda outcomes, _: outcomes.receive_outcome("one", BODY, 6))
    assert not known
    assert finished.result().at_ns == 6


def test_the_outcome_of_an_order_that_was_given_up_is_none_too_many_but_the_next_one_is() -> None:
    def given_up_and_told(outcomes: PendingOutcomes, finished: "asyncio.Future[Finished]") -> None:
        outcomes.abandon("one", finished)
        assert outcomes.receive_outcome("one", BODY, 6)

    assert heard(lambda outcomes, finished: outcomes.abandon("one", finished))[0]
    assert not heard(given_up_and_told)[0]


@pytest.mark.parametrize(("others", "remembered"), [(MAX_ABANDONED - 1, True), (MAX_ABANDONED, False)])
def test_of_the_orders_given_up_the_newest_are_remembered(others: int, remembered: bool) -> None:
    def given_up_with(outcomes: PendingOutcomes, finished: "asyncio.Future[Finished]") -> None:
        outcomes.abandon("one", finished)
        for number in range(others):
            other = outcomes.register(build_order(f"other-{number}"))
            outcomes.abandon(f"other-{number}", other)

    assert heard(given_up_with)[0] is remembered


def test_those_who_wait_are_told_that_no_outcome_can_come() -> None:
    known, finished = heard(lambda outcomes, _: outcomes.fail(Unreachable("gone")))
    assert not known
    assert isinstance(finished.exception(), Unreachable)


def test_an_outcome_that_nobody_expected_is_one_too_many() -> None:
    assert not PendingOutcomes(JSON).receive_outcome("two", BODY, 7)


def test_an_outcome_that_cannot_be_read_is_told_as_that() -> None:
    known, finished = heard(lambda *_: None, b"\xff")
    assert known
    assert isinstance(finished.exception(), Unreadable)


@pytest.mark.parametrize("times", [1, 2])
def test_whoever_stopped_waiting_is_not_told(times: int) -> None:
    async def course() -> list[bool]:
        outcomes = PendingOutcomes(JSON)
        outcomes.register(build_order("one")).cancel()
        return [outcomes.receive_outcome("one", BODY, 7) for _ in range(times)]

    assert asyncio.run(course()) == [True, False][:times]


def test_of_two_in_flight_with_one_id_each_has_the_outcome_of_its_content() -> None:
    async def course() -> tuple[str, str]:
        outcomes = PendingOutcomes(JSON)
        first, second = (
            outcomes.register(build_order("one")),
            outcomes.register(build_order("one", address="elsewhere")),
        )
        refusal = OrderClosed(build_order("one", address="elsewhere"), "rejected", 0, "", "placed before")
        assert outcomes.receive_outcome("one", JSON.encode(refusal), 6)
        assert outcomes.receive_outcome("one", BODY, 7)
        return first.result().outcome.status, second.result().outcome.status

    assert asyncio.run(course()) == ("shipped", "rejected")


def test_of_two_in_flight_with_one_id_and_content_each_has_an_outcome() -> None:
    async def course() -> list[int]:
        outcomes = PendingOutcomes(JSON)
        both = [outcomes.register(build_order("one")) for _ in range(2)]
        assert [outcomes.receive_outcome("one", BODY, at_ns) for at_ns in (6, 7, 8)] == [True, True, False]
        return [finished.result().at_ns for finished in both]

    assert asyncio.run(course()) == [6, 7]

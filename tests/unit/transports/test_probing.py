"""Tests the gate that stops consumption while a store is away, on a virtual clock."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.load.virtual_clock import VirtualLoop
from transports.errors import Unavailable
from transports.probing import FIRST_PAUSE_S, MAX_PAUSE_S, Halted, Parked, ProbingGate


def run_virtually(work: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(work)


class Store:
    """A store that is away in some stretches of time, and notes who tried it when, and who succeeded."""

    def __init__(self, away: list[tuple[float, float]], takes_s: float = 0.001, poison: frozenset[int] = frozenset()):
        self._loop = asyncio.get_running_loop()
        self._began_s = self._loop.time()
        self._away = away
        self._takes_s = takes_s
        self._poison = poison
        self._one_at_a_time = asyncio.Lock()
        self.tries: list[tuple[float, int]] = []
        self.done: list[int] = []

    def now_s(self) -> float:
        return round(self._loop.time() - self._began_s, 6)

    def attempt(self, message: int) -> Callable[[], Awaitable[int]]:
        async def attempt() -> int:
            self.tries.append((self.now_s(), message))
            async with self._one_at_a_time:
                await asyncio.sleep(self._takes_s)
            if any(begin <= self.now_s() < end for begin, end in self._away):
                raise Unavailable("away")
            if message in self._poison:
                raise ZeroDivisionError
            self.done.append(message)
            return message

        return attempt


async def consume(gate: ProbingGate, store: Store, message: int, after_s: float = 0.0) -> int:
    """Handles a message as the backends do."""
    await asyncio.sleep(after_s)
    attempt = store.attempt(message)
    if gate.closed:
        return await gate.retry(attempt, message)
    try:
        return await attempt()
    except Unavailable:
        return await gate.retry(attempt, message)


def test_one_message_probes_with_growing_pauses_and_the_rest_follows_in_order() -> None:
    async def work() -> None:
        gate, store = ProbingGate(60.0), Store([(0.0, 8.0)])
        results = await asyncio.gather(*(consume(gate, store, n, 0.0 if n < 5 else n * 0.01) for n in range(50)))
        assert results == list(range(50)) == store.done
        assert not gate.closed
        probes = [at_s for at_s, message in store.tries if at_s >= 0.002 and message == 0]
        gaps = [round(later - at - 0.001, 6) for at, later in zip([0.0, *probes], probes, strict=False)]
        expected = [FIRST_PAUSE_S * 2**n for n in range(6)] + [MAX_PAUSE_S] * 9
        assert gaps == expected[: len(gaps)]
        # The first five fail, one probes, and each of the others is tried once more.
        assert len(store.tries) == 5 + len(probes) + 49

    run_virtually(work())


def test_a_probe_that_fails_for_the_limit_is_parked_and_the_next_probes() -> None:
    async def work() -> None:
        gate, store = ProbingGate(10.0), Store([(0.0, 25.0)])
        results = await asyncio.gather(*(consume(gate, store, n) for n in range(20)), return_exceptions=True)
        assert [type(result) for result in results[:3]] == [Parked, Parked, int]
        assert results[2:] == list(range(2, 20)) == store.done
        assert 25.0 <= store.now_s() < 25.0 + MAX_PAUSE_S + 1
        assert "10 s" in str(results[0])

    run_virtually(work())


def test_a_message_that_can_never_be_handled_opens_the_gate_for_the_rest() -> None:
    async def work() -> None:
        gate, store = ProbingGate(60.0), Store([(0.0, 1.0)], poison=frozenset({0, 3}))
        results = await asyncio.gather(*(consume(gate, store, n) for n in range(6)), return_exceptions=True)
        assert [type(result) for result in results] == [ZeroDivisionError, int, int, ZeroDivisionError, int, int]
        assert store.done == [1, 2, 4, 5]
        assert not gate.closed

    run_virtually(work())


def test_an_open_gate_costs_one_attempt_and_no_time() -> None:
    async def work() -> None:
        gate, store = ProbingGate(60.0), Store([])
        assert await asyncio.gather(*(consume(gate, store, n) for n in range(9))) == list(range(9))
        assert store.tries == [(0.0, n) for n in range(9)]

    run_virtually(work())


def test_when_consumption_ends_nobody_waits_any_longer() -> None:
    async def work() -> None:
        gate, store = ProbingGate(60.0), Store([(0.0, 1000.0)])
        waiting = [asyncio.create_task(consume(gate, store, n)) for n in range(5)]
        await asyncio.sleep(5.0)
        gate.halt()
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert {type(result) for result in results} == {Halted}
        assert store.now_s() == 5.0
        with pytest.raises(Halted):
            await consume(gate, store, 9)

    run_virtually(work())


@given(
    away=st.lists(st.tuples(st.floats(0, 40), st.floats(0.01, 30)), max_size=4),
    arrivals=st.lists(st.floats(0, 60), min_size=1, max_size=30),
    limit_s=st.sampled_from([0.0, 1.0, 10.0, 60.0]),
    gone=st.dictionaries(st.integers(0, 29), st.floats(0, 60), max_size=5),
)
def test_whatever_happens_each_message_is_handled_once_or_parked_or_given_up_by_its_owner(
    away: list[tuple[float, float]], arrivals: list[float], limit_s: float, gone: dict[int, float]
) -> None:
    async def work() -> None:
        gate, store = ProbingGate(limit_s), Store([(begin, begin + long) for begin, long in away])
        tasks = [asyncio.create_task(consume(gate, store, n, at_s)) for n, at_s in enumerate(sorted(arrivals))]
        for message, at_s in gone.items():
            if message < len(tasks):
                asyncio.get_running_loop().call_later(at_s, tasks[message].cancel)
        results = await asyncio.gather(*tasks, return_exceptions=True)
        handled = [result for result in results if isinstance(result, int)]
        others = [result for result in results if not isinstance(result, int)]
        assert sorted(store.done) == handled
        assert all(isinstance(other, Parked | asyncio.CancelledError) for other in others)
        parked = [other for other in others if isinstance(other, Parked)]
        # A message is parked only after it alone has probed for as long as the limit.
        assert len(parked) * limit_s <= sum(long for _, long in away) + 1e-6 + len(parked) * 0.01
        assert not gate.closed

    run_virtually(work())


@given(st.floats(0.1, 20), st.integers(2, 40))
def test_messages_that_wait_follow_in_the_order_of_their_places(away_s: float, count: int) -> None:
    async def work() -> None:
        gate, store = ProbingGate(60.0), Store([(0.0, away_s)])
        await asyncio.gather(*(consume(gate, store, n) for n in range(count)))
        assert store.done == list(range(count))

    run_virtually(work())

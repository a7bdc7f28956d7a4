"""Tests how load processes of a set pass the turn."""

import asyncio

from bench.load.sets.turns import Turns

RANKS = 3


def open_all(name: str) -> list[Turns]:
    every = [Turns(name, rank, RANKS) for rank in range(RANKS)]
    for one in every:
        one.listen()
    return every


def test_the_turn_goes_by_the_program() -> None:
    owners = [0, 2, 2, 1, 0, 1]
    played: list[tuple[int, int, bool]] = []

    async def play(turns: Turns, rank: int) -> None:
        await turns.meet()
        if owners[0] == rank:
            turns.pass_on(1, rank, busy=False)
        for place, owner in enumerate(owners, 1):
            if owner == rank:
                busy = await turns.wait(place)
                played.append((place, rank, busy))
                if place < len(owners):
                    turns.pass_on(place + 1, owners[place], busy=place == 3)

    async def work() -> None:
        every = open_all("program")
        async with asyncio.timeout(20):
            await asyncio.gather(*(play(turns, rank) for rank, turns in enumerate(every)))
        for one in every:
            one.close()

    asyncio.run(work())
    assert played == [(place, owner, place == 4) for place, owner in enumerate(owners, 1)]


def test_one_that_ends_early_is_not_waited_for() -> None:
    async def work() -> list[bool]:
        every = open_all("ends")
        waiting = [asyncio.ensure_future(one.wait(5)) for one in every[1:]]
        every[0].end()
        async with asyncio.timeout(20):
            await asyncio.gather(*waiting)
        for one in every:
            one.close()
        return [one.ended for one in every]

    assert asyncio.run(work()) == [True] * RANKS


def test_all_meet_whoever_comes_first() -> None:
    async def work() -> None:
        early = Turns("late", 0, 2)
        early.listen()
        meeting = asyncio.ensure_future(early.meet())
        await asyncio.sleep(0)
        late = Turns("late", 1, 2)
        late.listen()
        async with asyncio.timeout(20):
            await asyncio.gather(meeting, late.meet())
        early.close()
        late.close()

    asyncio.run(work())


def test_one_process_alone_waits_for_nobody() -> None:
    async def work() -> bool:
        turns = Turns("alone", 0, 1)
        turns.listen()
        await turns.meet()
        turns.pass_on(1, 0, busy=True)
        busy = await turns.wait(1)
        turns.end()
        turns.close()
        return busy

    assert asyncio.run(work()) is False

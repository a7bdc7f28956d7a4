"""Tests that the workers of a test session share brokers."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from tests.shared_brokers import share_brokers


async def test_the_first_worker_starts_the_brokers_and_stops_them_after_the_last(tmp_path: Path) -> None:
    events: list[str] = []

    @asynccontextmanager
    async def brokers() -> AsyncIterator[Mapping[str, str]]:
        events.append("start")
        yield {"kafka": "there"}
        events.append("stop")

    leave = [asyncio.Event() for _ in range(3)]

    async def work(number: int) -> None:
        async with share_brokers(tmp_path, brokers()) as urls:
            events.append(f"{number} {urls['kafka']}")
            await leave[number].wait()
        events.append(f"{number} left")

    async def reach(event: str) -> None:
        async with asyncio.timeout(20):
            while event not in events:  # noqa: ASYNC110
                await asyncio.sleep(0)

    workers = []
    for number in (0, 1):
        workers.append(asyncio.create_task(work(number)))
        await reach(f"{number} there")
    leave[0].set()
    leave[1].set()
    await asyncio.gather(*workers)
    assert events == ["start", "0 there", "1 there", "1 left", "stop", "0 left"]
    leave[2].set()
    await work(2)
    assert events[6:] == ["start", "2 there", "stop", "2 left"]

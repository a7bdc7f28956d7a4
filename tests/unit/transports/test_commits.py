"""Tests when a Kafka consumer's offsets are committed, on a virtual clock."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaTimeoutError

from tests.unit.load.virtual_clock import VirtualLoop
from transports.backends.kafka.commits import CommitQueue
from transports.backends.kafka.config import Config
from transports.base import Setting
from transports.errors import SettingError, Unreachable
from transports.events import EventsTransport
from transports.options import parse_options

HERE = TopicPartition("facts", 0)
SETTING = Setting(trial="t", servers={"kafka": "nowhere"})


class FakeConsumer:
    """Notes each commit with the seconds since it was made."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._made_s = self._loop.time()
        self.commits: list[tuple[float, int]] = []

    async def getmany(self, *, timeout_ms: int = 0) -> dict[TopicPartition, list[Any]]:
        return {}

    async def commit(self, offsets: dict[TopicPartition, int]) -> None:
        self.commits.append((round(self._loop.time() - self._made_s, 6), offsets[HERE]))


def run_virtually(work: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(work)


def acknowledged() -> "asyncio.Future[None]":
    done = asyncio.get_running_loop().create_future()
    done.set_result(None)
    return done


async def commits_of_batches(interval_s: float, *, batches: int = 10, every_s: float = 0.02) -> list[tuple[float, int]]:
    """Returns the commits for batches of one record that come ``every_s`` seconds, and a stop after the last."""
    consumer = FakeConsumer()
    queue = CommitQueue(consumer, SETTING, interval_s)
    running = asyncio.create_task(queue.run())
    for number in range(1, batches + 1):
        queue.add([acknowledged()], {HERE: number})
        await asyncio.sleep(every_s)
    queue.finish()
    await running
    return consumer.commits


def test_what_came_within_the_interval_is_one_commit_and_the_last_comes_at_the_stop() -> None:
    async def work() -> None:
        assert await commits_of_batches(0.1) == [(0.0, 1), (0.1, 6), (0.2, 10)]

    run_virtually(work())


def test_without_an_interval_each_batch_is_committed() -> None:
    async def work() -> None:
        assert [offset for _, offset in await commits_of_batches(0)] == list(range(1, 11))

    run_virtually(work())


def test_a_stop_does_not_wait_for_a_long_interval() -> None:
    async def work() -> None:
        assert await commits_of_batches(3600) == [(0.0, 1), (0.2, 10)]

    run_virtually(work())


def test_what_is_not_acknowledged_is_not_committed_nor_what_came_after() -> None:
    async def work() -> None:
        consumer, loop = FakeConsumer(), asyncio.get_running_loop()
        queue = CommitQueue(consumer, SETTING, 0.1)
        running = asyncio.create_task(queue.run())
        refused = loop.create_future()
        queue.add([acknowledged()], {HERE: 1})
        await asyncio.sleep(0.01)
        queue.add([refused], {HERE: 2})
        queue.add([acknowledged()], {HERE: 3})
        refused.set_exception(KafkaTimeoutError())
        with pytest.raises(Unreachable):
            await running
        assert consumer.commits == [(0.0, 1)]

    run_virtually(work())


@pytest.mark.parametrize("given", [{}, {"commit_interval_ms": 0}, {"commit_interval_ms": 5_000}])
def test_the_interval_is_an_option_of_the_method(given: dict[str, int]) -> None:
    assert parse_options("events", given, Config).commit_interval_ms == given.get("commit_interval_ms", 100)


@pytest.mark.parametrize("given", [-1, "soon", 1.5])
def test_an_interval_that_cannot_be_is_refused(given: Any) -> None:
    with pytest.raises(SettingError) as refused:
        parse_options("events", {"commit_interval_ms": given}, Config)
    assert refused.value.code == "bad-option"


@pytest.mark.parametrize(("given_ms", "said"), [(100, "every 100 ms"), (5000, "every 5,000 ms"), (0, "each batch")])
def test_the_manifest_says_how_often(given_ms: int, said: str) -> None:
    setting = Setting(trial="t", servers=SETTING.servers, options={"commit_interval_ms": given_ms})
    assert said in EventsTransport(setting).facts()["server"]

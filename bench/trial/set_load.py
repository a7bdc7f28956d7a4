"""Plays the program of a set; a load process that has to be ended is followed by another."""

from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from bench.errors import LoadError
from bench.load.locust.control import Master, start_worker
from bench.load.sets.books import SetBooks
from bench.load.sets.protocol import EndedSlice, SetNews, SetSpec
from bench.trial.context import TrialContext
from bench.trial.parts import worker_environment

KeepSlices = Callable[[SetBooks, Sequence[EndedSlice]], None]
"""Takes whole slices as they come."""


class SetLoad:
    """The load processes of a set, and those that follow them. ``close`` ends the last ones."""

    def __init__(self, stage: TrialContext, master: Master, log: Path) -> None:
        self._stage = stage
        self._master = master
        self._log = log
        self._stack = AsyncExitStack()

    async def start(self, processes: int) -> str:
        """Starts so many load processes; returns why not, empty if they are there."""
        env = worker_environment(self._stage)
        try:
            for number in range(processes):
                log = self._log.with_stem(f"{self._log.stem}-{number}") if number else self._log
                await self._stack.enter_async_context(start_worker(self._master, log=log, env=env, urgent=True))
        except LoadError as error:
            return str(error)
        return ""

    async def close(self) -> None:
        """Ends the load processes, whatever they do."""
        await self._stack.aclose()

    async def play(self, spec: SetSpec, keep: KeepSlices) -> SetBooks:
        """Plays the program and returns what is known of it. Raises LoadError when the master is gone."""
        books = SetBooks(spec)

        def take(news: SetNews) -> None:
            if whole := books.add(news):
                keep(books, whole)

        while True:
            await self._play_part(books, take)
            if not books.goes_on:
                return books
            await self.close()
            if error := await self.start(books.build_rest().processes):
                books.error = error
                return books

    async def _play_part(self, books: SetBooks, take: Callable[[SetNews], None]) -> None:
        try:
            report = await self._master.run_set(books.build_rest(), take)
        except LoadError as error:
            if self._master.process.returncode is not None:
                raise
            books.end_process(None, str(error))
        else:
            books.end_process(report)

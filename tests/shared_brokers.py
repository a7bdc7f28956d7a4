"""Lets the workers of pytest-xdist share brokers: the first worker that needs them starts them, and stops them last."""

import asyncio
import fcntl
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import IO

LOOK_EVERY_S = 0.2


@asynccontextmanager
async def share_brokers(
    folder: Path, brokers: AbstractAsyncContextManager[Mapping[str, str]]
) -> AsyncIterator[Mapping[str, str]]:
    """Enter ``brokers`` unless another process has, and yield their URLs.

    The processes that give the same folder share them. Locks end with their process, so that one that is killed
    keeps nobody waiting.
    """
    noted = folder / "brokers.json"
    with (folder / "brokers.starting").open("w") as starting, (folder / "brokers.users").open("w") as users:
        await _lock(starting)
        if noted.exists():
            fcntl.flock(users, fcntl.LOCK_SH)
            fcntl.flock(starting, fcntl.LOCK_UN)
            yield json.loads(noted.read_text("utf-8"))
            return
        async with brokers as urls:
            noted.write_text(json.dumps(dict(urls)), "utf-8")
            fcntl.flock(starting, fcntl.LOCK_UN)
            try:
                yield urls
            finally:
                await _lock(starting, users)  # until they have stopped, so that nobody takes their URLs meanwhile
                noted.unlink()


async def _lock(*files: IO[str]) -> None:
    """Lock all of these files, or none until all are free; the event loop goes on meanwhile."""
    while True:
        try:
            for file in files:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            for file in files:
                fcntl.flock(file, fcntl.LOCK_UN)
            await asyncio.sleep(LOOK_EVERY_S)
        else:
            return

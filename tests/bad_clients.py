"""Transports whose client misbehaves once or always, as a plug-in's may: for tests of the load process.

BAD_CLIENT says how, after how many orders, and how often: ``stubborn:30:1`` takes no cancellation for the 31st order,
``blocks:30:1`` blocks the event loop in it, ``stays:30:1`` does not close once it had that order, and ``hangs:0:2``
blocks the loop when it connects.
"""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from bench.paths import ROOT
from shop.messages import PlaceOrder
from transports.base import Client, Receipt
from transports.memory import MemoryTransport
from transports.rest import RestTransport

VARIABLE = "BAD_CLIENT"
COUNT = "BAD_CLIENT_COUNT"


def declare_transports(folder: Path, how: str) -> dict[str, str]:
    """Declares them in a folder as an installer would; returns the environment in which they are found."""
    about = folder / "fourways_bad_clients-0.1.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: fourways-bad-clients\nVersion: 0.1\n")
    entries = ("bad-memory = tests.bad_clients:BadMemoryTransport", "bad-rest = tests.bad_clients:BadRestTransport")
    (about / "entry_points.txt").write_text("\n".join(("[fourways.transports]", *entries, "")))
    count = folder / "count"
    count.write_text("0", encoding="utf-8")
    return {"PYTHONPATH": f"{folder}:{ROOT}", VARIABLE: how, COUNT: str(count)}


class _BadClient(Client):
    """Misbehaves in one order, in so many load processes."""

    def __init__(self, good: Client) -> None:
        self._good = good
        self.how, at, times = os.environ.get(VARIABLE, "never:0:0").split(":")
        self._at = int(at)
        self._orders = 0
        self.did = False
        count = Path(os.environ[COUNT])
        # The runner has a client of its own, which asks whether services are ready.
        self._bad = sys.argv[0].endswith("worker.py") and int(count.read_text()) < int(times)
        self._count = count
        if self._bad and self.how == "hangs":
            self._note()
            time.sleep(3600)

    def _note(self) -> None:
        self.did = True
        self._count.write_text(str(int(self._count.read_text()) + 1))

    async def submit(self, order: PlaceOrder) -> Receipt:
        self._orders += 1
        if self._bad and not self.did and self._orders > self._at:
            self._note()
            if self.how == "blocks":
                time.sleep(3600)  # noqa: ASYNC251 - on purpose
            while self.how == "stubborn":
                await stay()
        return await self._good.submit(order)


async def stay() -> None:
    """Sleeps on although it is cancelled."""
    with suppress(asyncio.CancelledError):
        await asyncio.sleep(3600)


@asynccontextmanager
async def _spoil(good: Client) -> AsyncIterator[Client]:
    client = _BadClient(good)
    yield client
    while client.did and client.how == "stays":
        await stay()


class BadMemoryTransport(MemoryTransport):
    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Client]:
        async with super().connect() as good, _spoil(good) as client:
            yield client


class BadRestTransport(RestTransport):
    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Client]:
        async with super().connect() as good, _spoil(good) as client:
            yield client

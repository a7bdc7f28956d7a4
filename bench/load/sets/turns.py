"""Passes the turn from one load process of a set to the next, by datagrams within the machine.

Each process has the whole program. Whoever has played a slice passes the turn to the process of the next one, even
where that one will skip it. That takes a tenth of a millisecond, where a way through Locust's master takes several.
"""

import asyncio
import json
import os
import socket
from contextlib import suppress
from typing import Any

MEET_EVERY_S = 0.05
"""How often a process says that it is there, until all are."""


class Turns:
    """The turn, as one load process sees it. ``rank`` is which of ``ranks`` processes this is."""

    def __init__(self, set_id: str, rank: int, ranks: int) -> None:
        self._name = f"\0fourways.{os.getppid()}.{set_id}"
        self._rank = rank
        self._others = [other for other in range(ranks) if other != rank]
        self._there: set[int] = set()
        self._change = asyncio.Event()
        self._met = not self._others
        self._socket: socket.socket | None = None
        self._place = 0
        self._busy = False
        self.ended = False
        """Another process has ended its part, so no turn will come."""

    def listen(self) -> None:
        """Takes messages from now on. Raises OSError."""
        if self._others:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._socket.setblocking(False)
            self._socket.bind(f"{self._name}.{self._rank}")
            asyncio.get_running_loop().add_reader(self._socket, self._receive)

    def close(self) -> None:
        """Takes no more messages. Idempotent."""
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()
            self._socket = None

    async def meet(self) -> None:
        """Returns when all processes are there, or one has ended."""
        while not self._met and not self.ended:
            for other in self._others:
                self._send(other, there=self._rank)
            with suppress(TimeoutError):
                async with asyncio.timeout(MEET_EVERY_S):
                    await self._wait_for_change()
            self._met = self._there.issuperset(self._others)
        for other in self._others:  # it may have begun to listen after all that was sent
            self._send(other, there=self._rank)

    async def wait(self, place: int) -> bool:
        """Waits for the turn at a place; returns whether orders of another process are in flight then."""
        while self._place < place and not self.ended:
            await self._wait_for_change()
        return self._busy

    def pass_on(self, place: int, rank: int, *, busy: bool) -> None:
        """Passes the turn at ``place`` to a process, which may be this one. ``busy``: orders of ours are in flight."""
        if rank == self._rank:
            self._place, self._busy = place, False
        else:
            self._send(rank, place=place, busy=busy)

    def end(self) -> None:
        """Tells all that no turn will come from here, and itself. Idempotent."""
        self.ended = True
        self._change.set()
        for other in self._others:
            self._send(other, ended=True)

    async def _wait_for_change(self) -> None:
        await self._change.wait()
        self._change.clear()

    def _send(self, rank: int, **message: Any) -> None:
        if self._socket is None:
            return
        with suppress(OSError):  # the other is not there yet, or has gone
            self._socket.sendto(json.dumps(message).encode(), f"{self._name}.{rank}")

    def _receive(self) -> None:
        with suppress(BlockingIOError):
            while self._socket is not None:
                message = json.loads(self._socket.recv(4096))
                if "there" in message:
                    self._there.add(message["there"])
                elif "ended" in message:
                    self.ended = True
                else:
                    self._place, self._busy = message["place"], message["busy"]
                self._change.set()

"""Sends the orders of one arm of a duel, each when it is its turn. It is run as a file.

    python -P bench/regress/duel_load.py

PYTHONPATH names the arm's tree, so that `shop` and `transports` are the arm's; this file is of the tree in which it
was asked for. The first JSON line on standard input says what to connect to; each further line is a step, answered by
one JSON line on standard output:

    {"tree": …, "method": …, "trial": …, …}              -> {"prepared": true}, queues and topics are there
    {"step": "connect"}                                  -> {"ready": {…}}, an order came back
    {"step": "warm", "seconds": 1.5, "in_flight": 4}     -> {"placed": 200, "failed": 0, …}
    {"step": "turns", "seconds": 4, "seed": 1, …}        -> {"finished_us": […], "client_cpu_us": …, …}
    {"step": "load", "start_ns": …, "offsets_us": […]}   -> {"finished_us": […], …}
    the end of the input                                 -> queues and topics are removed, and the process ends

The two arms pass the turn over a pair of sockets. One of them leads: it ends the step when its time is over.
"""

import asyncio
import dataclasses
import gc
import json
import os
import random
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvloop

from shop.messages import PlaceOrder
from transports.base import Client, Transport

if TYPE_CHECKING:
    from bench.regress.replay import build_setting, load_method, read_orders
else:
    sys.path.append(str(Path(__file__).parents[1]))  # behind all others, for the names that it would hide
    from regress.replay import build_setting, load_method, read_orders

Answer = Callable[[dict[str, Any]], None]
TURN, OVER = b"T", b"E"
OUTCOME_TIMEOUT_S = 30.0
DRAIN_S = 30.0
READY_TIMEOUT_S = 10.0
PAUSE_S = 0.1


def read_cpu_ns(pids: list[int]) -> int:
    """Returns the CPU time of these processes until now; one that has ended counts for nothing."""
    spent_ns = 0
    for pid in pids:
        try:
            spent_ns += time.clock_gettime_ns(~pid << 3 | 2)  # as clock_getcpuclockid(3) makes it
        except OSError:
            continue
    return spent_ns


class Buyer:
    """Places orders of one arm and notes what became of each."""

    def __init__(self, client: Client, orders: list[tuple[PlaceOrder, str]], prefix: str) -> None:
        self._client = client
        self._orders = orders
        self._prefix = prefix
        self._number = 0
        self.failures: dict[str, int] = {}
        self.unexpected = 0

    async def place(self) -> tuple[int, int] | None:
        """Places the next order. Returns how long it took to be accepted and to finish, in ns; None if it did not."""
        placed, expected = self._orders[self._number % len(self._orders)]
        order = dataclasses.replace(placed.order, order_id=f"{self._prefix}-{self._number}")
        self._number += 1
        sent_ns = time.monotonic_ns()
        try:
            async with asyncio.timeout(OUTCOME_TIMEOUT_S):
                receipt = await self._client.submit(PlaceOrder(order))
                finished = await receipt.finished
        except Exception as error:  # noqa: BLE001 - whatever an arm raises is an order that did not finish
            name = type(error).__name__
            self.failures[name] = self.failures.get(name, 0) + 1
            return None
        outcome = finished.outcome
        if outcome.status != expected or outcome.order != order:
            self.unexpected += 1
        return receipt.accepted_ns - sent_ns, finished.at_ns - sent_ns

    async def wait_until_ready(self) -> None:
        """Returns when an order came back. Raises TimeoutError."""
        async with asyncio.timeout(READY_TIMEOUT_S):
            while await self.place() is None:  # noqa: ASYNC110 - each turn places another order
                await asyncio.sleep(PAUSE_S)
        self.failures.clear()

    def count(self) -> dict[str, Any]:
        """Returns what became of all orders so far."""
        failed = sum(self.failures.values())
        return {"placed": self._number, "failed": failed, "failures": self.failures, "unexpected": self.unexpected}


class Duelist:
    """One arm: its buyer, and the socket to the other arm."""

    def __init__(self, buyer: Buyer, other: socket.socket, leads: bool, broker_pids: list[int]) -> None:
        self._buyer = buyer
        self._other = other
        self._leads = leads
        self._broker_pids = broker_pids

    async def warm(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Keeps so many orders in flight until so many seconds are over."""
        until_s = time.monotonic() + asked["seconds"]

        async def take_part() -> None:
            while time.monotonic() < until_s:
                await self._buyer.place()

        await asyncio.gather(*(take_part() for _ in range(asked["in_flight"])))
        return self._buyer.count()

    async def take_turns(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Places one order at a time, in a random order within each pair of both arms' orders."""
        loop = asyncio.get_running_loop()
        accepted_us: list[float | None] = []
        finished_us: list[float | None] = []
        broker_ns = 0

        async def play() -> None:
            nonlocal broker_ns
            before_ns = read_cpu_ns(self._broker_pids)
            took = await self._buyer.place()
            broker_ns += read_cpu_ns(self._broker_pids) - before_ns
            accepted_us.append(None if took is None else took[0] / 1000)
            finished_us.append(None if took is None else took[1] / 1000)

        async def wait() -> bytes:
            return await loop.sock_recv(self._other, 1)

        cpu_ns = time.process_time_ns()
        if self._leads:
            dice, began_s = random.Random(asked["seed"]), time.monotonic()
            while (lasted_s := time.monotonic() - began_s) < asked["seconds"] or (
                # Slow orders take longer, so that they are told too.
                len(finished_us) < asked["pairs"] and lasted_s < asked["most_s"]
            ):
                first = dice.random() < 0.5
                if first:
                    await play()
                await loop.sock_sendall(self._other, TURN)
                if await wait() != TURN:
                    break
                if not first:
                    await play()
            await loop.sock_sendall(self._other, OVER)
        else:
            while await wait() == TURN:
                await play()
                await loop.sock_sendall(self._other, TURN)
        return {
            **self._buyer.count(),
            "accepted_us": accepted_us,
            "finished_us": finished_us,
            "broker_cpu_us": broker_ns / 1000,
            "client_cpu_us": (time.process_time_ns() - cpu_ns) / 1000,
        }

    async def carry_load(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Places orders at planned instants, whatever is in flight; times are from the planned instant."""
        loop = asyncio.get_running_loop()
        start_ns, found = asked["start_ns"], []
        ahead_s = start_ns / 1e9 - time.monotonic()
        base = loop.time() + ahead_s
        tasks: list[asyncio.Task[None]] = []

        async def carry_out(planned_ns: int) -> None:
            late_ns = time.monotonic_ns() - planned_ns
            took = await self._buyer.place()
            found.append(None if took is None else [(late_ns + took[0]) / 1000, (late_ns + took[1]) / 1000])

        for offset_us in asked["offsets_us"]:
            await asyncio.sleep(base + offset_us / 1e6 - loop.time())
            tasks.append(asyncio.create_task(carry_out(start_ns + int(offset_us * 1000))))
        if tasks:
            _, pending = await asyncio.wait(tasks, timeout=DRAIN_S)
            for task in pending:
                task.cancel()
        return {
            **self._buyer.count(),
            "accepted_us": [None if one is None else one[0] for one in found],
            "finished_us": [None if one is None else one[1] for one in found],
            "unfinished": len(asked["offsets_us"]) - len(found),
        }


async def run() -> None:
    """Prepares, answers each step, and removes what was prepared when its input ends."""
    lines, answer = await _open_input(), take_standard_output()
    asked = json.loads(await lines.readline())
    kind = load_method(Path(asked["tree"]), asked["method"])
    transport = kind(build_setting(kind, asked))
    await transport.prepare()
    try:
        answer({"prepared": True})
        if await lines.readline():
            await _take_steps(transport, asked, lines, answer)
    finally:
        await transport.remove()


async def _take_steps(
    transport: Transport, asked: Mapping[str, Any], lines: asyncio.StreamReader, answer: Answer
) -> None:
    other = socket.socket(fileno=asked["other"])
    other.setblocking(False)
    async with transport.connect() as client:
        buyer = Buyer(client, read_orders(Path(asked["orders"])), asked["prefix"])
        duelist = Duelist(buyer, other, asked["leads"], asked["broker_pids"])
        steps: dict[str, Callable[[Mapping[str, Any]], Awaitable[dict[str, Any]]]] = {
            "warm": duelist.warm,
            "turns": duelist.take_turns,
            "load": duelist.carry_load,
        }
        await buyer.wait_until_ready()
        gc.collect()
        gc.freeze()
        gc.disable()
        answer({"ready": dict(transport.facts())})
        line = await lines.readline()
        while line:
            step = json.loads(line)
            work = asyncio.ensure_future(steps[step["step"]](step))
            following = asyncio.ensure_future(lines.readline())
            await asyncio.wait({work, following}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():  # the input has ended in the middle of a step
                work.cancel()
                await asyncio.wait({work})
                return
            answer(work.result())
            line = await following


async def _open_input() -> asyncio.StreamReader:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=2**24)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    return reader


def take_standard_output() -> Answer:
    """Returns what writes a line to standard output; from now on what an arm prints goes to standard error."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def answer(content: dict[str, Any]) -> None:
        answers.write(json.dumps(content) + "\n")
        answers.flush()

    return answer


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for who started us
    uvloop.run(run())

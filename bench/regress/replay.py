"""Replays seeded orders in the tree of one arm, and counts what they take. It is run as a file.

    python -P bench/regress/replay.py ASKED.json ANSWER.json

PYTHONPATH names the arm's tree, so that `shop` and `transports` are the arm's, and this file is that of the tree in
which the comparison was asked for. It imports of an arm what has been there for long, so that older trees run too.
One process hosts the four services and a client; one order is in flight. That makes the counts repeat.
"""

import asyncio
import base64
import contextlib
import ctypes
import dataclasses
import gc
import hashlib
import importlib
import json
import mmap
import os
import socket
import stat
import struct
import sys
import tomllib
import tracemalloc
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import uvloop

from shop.factory import open_service
from shop.messages import PROBE_PREFIX, Order, OrderLine, PlaceOrder
from shop.service import Service
from shop.workflow import SERVICES
from transports.base import Client, Setting, Transport
from transports.registry import load_transport

OUTCOME_TIMEOUT_S = 60.0
SETTLE_S = 0.1
"""After the last order of a piece, for acknowledgements that follow its outcome."""
_PROBES = 5
_DIGEST_BYTES = 6
"""So many fit into a number of JSON and CSV without loss."""


def load_method(tree: Path, name: str) -> type[Transport]:
    """Returns the arm's class of this method: as its pyproject.toml has it, or an installed plug-in's."""
    project = tomllib.loads((tree / "pyproject.toml").read_text("utf-8"))["project"]
    own = project.get("entry-points", {}).get("fourways.transports", {})
    if name not in own:
        return load_transport(name)
    module, _, attribute = own[name].partition(":")
    found: type[Transport] = getattr(importlib.import_module(module), attribute)
    return found


def build_setting(kind: type[Transport], asked: Mapping[str, Any]) -> Setting:
    """Returns the setting of the replay, without what the arm's Setting does not know."""
    wanted = {
        "trial": asked["trial"],
        "addresses": dict(zip(SERVICES, asked["addresses"], strict=True)),
        "servers": asked["servers"],
        "codec": getattr(kind.traits, "codec", "json"),
    }
    known = {field.name for field in dataclasses.fields(Setting)}
    return Setting(**{name: value for name, value in wanted.items() if name in known})


def read_orders(path: Path) -> list[tuple[PlaceOrder, str]]:
    """Reads the orders, each with the outcome that is planned for it."""
    return [
        (
            PlaceOrder(
                Order(
                    order_id=one["order_id"],
                    user_id=one["user_id"],
                    card=one["card"],
                    address=one["address"],
                    lines=tuple(OrderLine(**line) for line in one["lines"]),
                    document=base64.b64decode(one["document"]),
                )
            ),
            one["expected"],
        )
        for one in json.loads(path.read_text("utf-8"))
    ]


class Buyer:
    """Places orders one at a time, and keeps a hash of their outcomes."""

    def __init__(self, client: Client, orders: list[tuple[PlaceOrder, str]]) -> None:
        self._client = client
        self._orders = orders
        self._next = 0
        self._outcomes = hashlib.blake2b(digest_size=_DIGEST_BYTES)
        self.unfinished = 0
        self.unexpected = 0
        self.first_trouble = ""

    async def wait_until_answered(self) -> None:
        """Returns when the services answer; in callgrind a library may give up on its first connection.

        It asks with probes, which no service counts. Raises what the last one came to.
        """
        first, _ = self._orders[0]
        for number in range(_PROBES):
            probe = dataclasses.replace(first.order, order_id=f"{PROBE_PREFIX}count-{number}")
            try:
                async with asyncio.timeout(OUTCOME_TIMEOUT_S):
                    await (await self._client.submit(PlaceOrder(probe))).finished
            except Exception:
                if number == _PROBES - 1:
                    raise
                await asyncio.sleep(SETTLE_S)
            else:
                break

    async def place(self, count: int) -> None:
        """Places so many orders, and returns when the outcome of the last one is in."""
        for order, expected in self._orders[self._next : self._next + count]:
            try:
                async with asyncio.timeout(OUTCOME_TIMEOUT_S):
                    receipt = await self._client.submit(order)
                    outcome = (await receipt.finished).outcome
            except Exception as error:  # noqa: BLE001 - whatever an arm raises is an order that did not finish
                self.unfinished += 1
                self.first_trouble = self.first_trouble or f"{type(error).__name__}: {error}"
                continue
            told = (outcome.order.order_id, outcome.status, outcome.total_cents, outcome.reason)
            self._outcomes.update(repr((*told, outcome.tracking_number)).encode())
            if outcome.status != expected or outcome.order != order.order:
                self.unexpected += 1
        self._next += count
        await asyncio.sleep(SETTLE_S)

    def digest(self) -> int:
        """Returns a number that is the same for the same outcomes."""
        return int.from_bytes(self._outcomes.digest())


def digest_books(services: list[Service]) -> int:
    """Returns a number that is the same for the same books: decisions of each kind, their sums, and balances."""
    books = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    for service in services:
        for kind, tally in sorted(service.audit().items()):
            books.update(repr((service.name, kind, tally.count, tally.amount_cents)).encode())
        books.update(repr(sorted(service.balance().items())).encode())
    return int.from_bytes(books.digest())


def read_tcp_bytes() -> dict[int, tuple[int, int]]:
    """Returns for each TCP connection of this process, by inode, the bytes that it has sent and received."""
    found = {}
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - a path object for each would be counted as ours
        with contextlib.suppress(OSError, ValueError):
            inode = os.fstat(int(name)).st_ino
            if not stat.S_ISSOCK(os.fstat(int(name)).st_mode):
                continue
            with socket.socket(fileno=os.dup(int(name))) as one:
                if one.family not in (socket.AF_INET, socket.AF_INET6) or one.type & socket.SOCK_STREAM == 0:
                    continue
                info = one.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
                # struct tcp_info of linux/tcp.h: bytes received, bytes sent, bytes sent again.
                (received,), (sent, again) = struct.unpack_from("=Q", info, 128), struct.unpack_from("=QQ", info, 200)
                found[inode] = (sent - again, received)
    return found


class Valgrind:
    """Speaks to the callgrind in which this process runs, by client requests (valgrind.h); on x86-64 alone."""

    ZERO, DUMP, START, STOP = (0x43540000 + number for number in (1, 0, 4, 5))
    _RUNNING = 0x1001
    _CODE = bytes.fromhex("4889f8 31d2 48c1c703 48c1c70d 48c1c73d 48c1c733 4887db 4889d0 c3")
    """mov rax, rdi; xor edx, edx; the magic rotations of rdi; xchg rbx, rbx; mov rax, rdx; ret"""

    def __init__(self) -> None:
        self._page = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        self._page.write(self._CODE)
        address = ctypes.addressof(ctypes.c_char.from_buffer(self._page))
        self._function = ctypes.CFUNCTYPE(ctypes.c_uint64, ctypes.c_void_p)(address)
        if not self.request(self._RUNNING):
            raise RuntimeError("this process does not run in valgrind")

    def request(self, number: int) -> int:
        """Makes a request; returns its answer."""
        arguments = (ctypes.c_uint64 * 6)(number)
        return int(self._function(ctypes.addressof(arguments)))


class Switch:
    """Turns the counting of system calls on and off, in the program that traces this process."""

    def __init__(self, asked: Mapping[str, Any]) -> None:
        self._tool: str = asked["tool"]
        self._marker: str = asked["marker"]
        if self._tool == "perf":
            self._control = os.open(asked["control"], os.O_WRONLY)
            self._answers = os.open(asked["answers"], os.O_RDONLY)

    def turn(self, word: str) -> None:
        """``word`` is enable or disable."""
        if self._tool == "perf":
            os.write(self._control, f"{word}\n".encode())
            os.read(self._answers, 16)
        elif self._tool == "strace":
            with contextlib.suppress(OSError):
                os.stat(f"{self._marker}-{word}")  # noqa: PTH116 - one system call with a name that strace shows


async def count_instructions(buyer: Buyer, asked: Mapping[str, Any]) -> dict[str, list[float]]:
    """Plays the pieces in callgrind, which writes a file for each. Nothing is returned."""
    valgrind = Valgrind()
    await buyer.place(asked["warm_up"])
    valgrind.request(Valgrind.START)
    for _ in range(asked["pieces"]):
        valgrind.request(Valgrind.ZERO)
        await buyer.place(asked["orders_each"])
        valgrind.request(Valgrind.DUMP)
    valgrind.request(Valgrind.STOP)
    return {}


async def count_the_rest(
    buyer: Buyer, asked: Mapping[str, Any], handled: Callable[[], dict[str, int]]
) -> dict[str, list[float]]:
    """Plays the pieces; returns the values of each, per order, by metric."""
    switch, orders = Switch(asked), asked["orders_each"]
    counts: dict[str, list[float]] = {}
    await buyer.place(asked["warm_up"])
    for _ in range(asked["pieces"]):
        gc.collect()
        before_handled, before_tcp, before_blocks = handled(), read_tcp_bytes(), sys.getallocatedblocks()
        switch.turn("enable")
        await buyer.place(orders)
        switch.turn("disable")
        gc.collect()
        blocks, tcp, after_handled = sys.getallocatedblocks(), read_tcp_bytes(), handled()
        found = {"kept_objects": blocks - before_blocks}
        found |= {f"handled_{name}": count - before_handled[name] for name, count in after_handled.items()}
        if tcp and tcp.keys() == before_tcp.keys():  # of a connection that has gone nobody knows what it carried
            for place, name in enumerate(("bytes_sent", "bytes_received")):
                found[name] = sum(one[place] for one in tcp.values()) - sum(one[place] for one in before_tcp.values())
        for name, value in found.items():
            counts.setdefault(name, []).append(value / orders)
    tracemalloc.start()
    await buyer.place(orders)
    gc.collect()
    before_bytes, _ = tracemalloc.get_traced_memory()
    await buyer.place(orders)
    gc.collect()
    counts["kept_bytes"] = [(tracemalloc.get_traced_memory()[0] - before_bytes) / orders]
    tracemalloc.stop()
    return counts


@contextlib.asynccontextmanager
async def host(
    kind: type[Transport], setting: Setting, services: list[Service]
) -> AsyncIterator[tuple[Client, dict[str, Any]]]:
    """Context manager: the services are served and a client is connected, all in this process."""
    first = kind(setting)
    await first.prepare()
    try:
        async with contextlib.AsyncExitStack() as stack:
            servings = {}
            for service in services:
                transport = first if getattr(kind.traits, "in_process", False) else kind(setting)
                servings[service.name] = await stack.enter_async_context(transport.serve(service))
            yield await stack.enter_async_context(first.connect()), servings
    finally:
        await first.remove()


async def replay(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Plays all orders; returns the counts, and what became of the orders."""
    kind = load_method(Path(asked["tree"]), asked["method"])
    services = [open_service(name) for name in SERVICES]
    orders = read_orders(Path(asked["orders"]))
    async with host(kind, build_setting(kind, asked), services) as (client, servings):
        buyer = Buyer(client, orders)
        await buyer.wait_until_answered()
        gc.collect()
        gc.freeze()
        gc.disable()
        if asked["tool"] == "callgrind":
            counts = await count_instructions(buyer, asked)
        else:
            counts = await count_the_rest(
                buyer, asked, lambda: {name: serving.handled for name, serving in servings.items()}
            )
        return {
            "counts": counts,
            "unfinished": buyer.unfinished,
            "unexpected": buyer.unexpected,
            "outcomes": buyer.digest(),
            "books": digest_books(services),
            "trouble": buyer.first_trouble,
        }


if __name__ == "__main__":
    asked_file, answer_file = map(Path, sys.argv[1:])
    answer = uvloop.run(replay(json.loads(asked_file.read_text("utf-8"))))
    answer_file.write_text(json.dumps(answer), "utf-8")

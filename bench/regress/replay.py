"""Replays seeded orders in the tree of one arm, and counts what they take. It is run as a file.

    python -P bench/regress/replay.py ASKED.json ANSWER.json

PYTHONPATH names the arm's tree, so that `shop` and `transports` are the arm's, and this file is that of the tree in
which the comparison was asked for. It imports of an arm what has been there for long, so that older trees run too.
One process hosts the four services and a client; one order is in flight. That makes the counts repeat.
"""

import asyncio
import base64
import contextlib
import dataclasses
import gc
import hashlib
import importlib
import importlib.util
import json
import os
import sys
import tomllib
import tracemalloc
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvloop

# An editable install of another checkout would lend the modules that this tree lacks.
sys.meta_path[:] = [
    finder
    for finder in sys.meta_path
    if "shop" not in getattr(sys.modules.get(getattr(finder, "__module__", "")), "MAPPING", ())
]

from shop.factory import open_service  # noqa: E402
from shop.messages import PROBE_PREFIX, Order, OrderLine, PlaceOrder  # noqa: E402
from shop.service import Service  # noqa: E402
from shop.workflow import SERVICES  # noqa: E402
from transports.base import Client, Setting, Transport  # noqa: E402
from transports.registry import load_transport  # noqa: E402

if TYPE_CHECKING:
    from bench.regress import instruments
else:  # `bench` is the arm's, or there is none
    _spec = importlib.util.spec_from_file_location("instruments", Path(__file__).with_name("instruments.py"))
    instruments = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(instruments)

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


async def count_instructions(buyer: Buyer, asked: Mapping[str, Any]) -> dict[str, list[float]]:
    """Plays the pieces in callgrind, which writes a file for each. Nothing is returned."""
    valgrind = instruments.Valgrind()
    await buyer.place(asked["warm_up"])
    valgrind.request(valgrind.START)
    for _ in range(asked["pieces"]):
        valgrind.request(valgrind.ZERO)
        await buyer.place(asked["orders_each"])
        valgrind.request(valgrind.DUMP)
    valgrind.request(valgrind.STOP)
    return {}


async def count_the_rest(
    buyer: Buyer, asked: Mapping[str, Any], handled: Callable[[], dict[str, int]], calls: "instruments.Calls"
) -> dict[str, list[float]]:
    """Plays the pieces; returns the values of each, per order, by metric. What is kept has one value for all pieces."""
    orders, all_orders = asked["orders_each"], asked["orders_each"] * asked["pieces"]
    counts: dict[str, list[float]] = {}
    await buyer.place(asked["warm_up"])
    gc.collect()
    first_blocks = sys.getallocatedblocks()
    for _ in range(asked["pieces"]):
        gc.collect()
        before_handled, before_tcp = handled(), instruments.read_tcp_bytes()
        calls.begin()
        await buyer.place(orders)
        made = calls.end()
        tcp, after_handled = instruments.read_tcp_bytes(), handled()
        found = {f"handled_{name}": count - before_handled[name] for name, count in after_handled.items()}
        if made is not None:
            found["system_calls"] = made
        if tcp and tcp.keys() == before_tcp.keys():  # of a connection that has gone nobody knows what it carried
            for place, name in enumerate(("bytes_sent", "bytes_received")):
                found[name] = sum(one[place] for one in tcp.values()) - sum(one[place] for one in before_tcp.values())
        for name, value in found.items():
            counts.setdefault(name, []).append(value / orders)
    gc.collect()
    counts["kept_objects"] = [(sys.getallocatedblocks() - first_blocks) / all_orders]
    tracemalloc.start()
    await buyer.place(orders)
    gc.collect()
    first_bytes, _ = tracemalloc.get_traced_memory()
    await buyer.place(all_orders)
    gc.collect()
    counts["kept_bytes"] = [(tracemalloc.get_traced_memory()[0] - first_bytes) / all_orders]
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
    os.sched_setaffinity(0, asked["cpus"])
    kind = load_method(Path(asked["tree"]), asked["method"])
    services = [open_service(name) for name in SERVICES]
    orders = read_orders(Path(asked["orders"]))
    calls = instruments.Calls(asked["tool"], asked["marker"])  # before there are threads, which inherit it
    async with host(kind, build_setting(kind, asked), services) as (client, servings):
        buyer = Buyer(client, orders)
        await buyer.wait_until_answered()
        gc.collect()
        gc.freeze()
        gc.disable()
        if asked["tool"] == instruments.CALLGRIND:
            counts = await count_instructions(buyer, asked)
        else:
            counts = await count_the_rest(
                buyer, asked, lambda: {name: serving.handled for name, serving in servings.items()}, calls
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

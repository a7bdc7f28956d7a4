"""Tests that a store that is locked or full for a while costs no order, on real brokers and over real files."""

import asyncio
import itertools
import os
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from bench.provision.ports import find_free_ports
from bench.provision.services import run_services
from shop.factory import open_service
from shop.payments import PaymentService
from shop.store import MemoryStore, SqliteStore
from shop.workflow import SERVICES
from transports.base import Client, Setting, Transport
from transports.conformance import build_place_order, run_shop
from transports.conformance_faults import StoreThatGoesAway
from transports.registry import load_transport

pytestmark = [pytest.mark.slow, pytest.mark.broker]

BROKERED = (
    ("broker", "rabbitmq", {}),
    ("events", "kafka", {}),
    ("events", "kafka", {"client": "confluent"}),
)
brokered = pytest.mark.parametrize(
    ("method", "backend", "options"),
    BROKERED,
    ids=lambda part: "-".join(part.values()) if isinstance(part, dict) else part,
)
_trials = (f"passing-{os.getpid()}-{number}" for number in itertools.count())


def build(method: str, backend: str, servers: Mapping[str, str], **changes: Any) -> Transport:
    kind = load_transport(method, backend)
    addresses = {s: f"127.0.0.1:{p}" for s, p in zip(SERVICES, find_free_ports(len(SERVICES)), strict=True)}
    settings = {"servers": {name: servers[name] for name in kind.traits.needs}, "product": backend} | changes
    return kind(Setting(trial=next(_trials), addresses=addresses, codec=kind.traits.codec, **settings))


async def ship(client: Client, order_id: str, within_s: float = 60) -> None:
    async with asyncio.timeout(within_s):
        receipt = await client.submit(build_place_order(order_id))
        assert (await receipt.finished).outcome.status == "shipped"


async def until(condition: Callable[[], bool], within_s: float = 30) -> None:
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110 - another process, or the broker, sees to it
            await asyncio.sleep(0.02)


@brokered
async def test_a_store_that_another_process_locks_loses_no_order(
    method: str, backend: str, options: Mapping[str, str], servers: Mapping[str, str], tmp_path: Path
) -> None:
    transport = build(method, backend, servers, options=options)
    await transport.prepare()
    try:
        async with (
            run_services(method, transport.setting, folder=tmp_path, logs=tmp_path, store_folder=tmp_path) as running,
            transport.connect() as client,
        ):
            await ship(client, "before")
            other = sqlite3.connect(tmp_path / "payment.sqlite", isolation_level=None)
            other.execute("BEGIN IMMEDIATE")
            waiting = [asyncio.create_task(ship(client, f"o{number}")) for number in range(50)]
            log = tmp_path / f"{transport.setting.trial}-payment.log"
            await until(lambda: "database is locked" in log.read_text())
            other.execute("ROLLBACK")
            other.close()
            await asyncio.gather(*waiting)
            books = {name: await service.audit() for name, service in running.items()}
        assert books["payment"]["tallies"]["payment-taken"]["count"] == 51
        assert not any(sum(book["serving"]["dead_letters"].values()) for book in books.values())
        assert (await transport.read_dead_letters(10)).total == 0
        assert len(log.read_text().splitlines()) < 10
    finally:
        await transport.remove()


@brokered
async def test_a_store_that_is_full_loses_no_order(
    method: str,
    backend: str,
    options: Mapping[str, str],
    servers: Mapping[str, str],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = SqliteStore(tmp_path / "payment.sqlite")
    async with run_shop(build(method, backend, servers, options=options), [PaymentService(store)]) as shop:
        (pages,) = store._db.execute("PRAGMA page_count").fetchone()
        store._db.execute(f"PRAGMA max_page_count={pages}")
        waiting = [asyncio.create_task(ship(shop.client, f"o{number}")) for number in range(200)]
        await until(lambda: "is full" in caplog.text)
        store._db.execute("PRAGMA max_page_count=100000")
        await asyncio.gather(*waiting)
        assert shop.services["payment"].audit()["payment-taken"].count == 200
        assert not any(shop.serving["payment"].dead_letters.values())
    store.close()


@brokered
async def test_a_service_that_stops_while_its_store_is_away_leaves_its_messages_to_the_next(
    method: str, backend: str, options: Mapping[str, str], servers: Mapping[str, str]
) -> None:
    transport, store = build(method, backend, servers, options=options), StoreThatGoesAway()
    await transport.prepare()
    try:
        async with AsyncExitStack() as stack:
            for name in ("user", "product", "shipping"):
                await stack.enter_async_context(transport.serve(open_service(name)))
            client = await stack.enter_async_context(transport.connect())
            async with transport.serve(PaymentService(store)) as stopped:
                waiting = [asyncio.create_task(ship(client, f"o{number}")) for number in range(20)]
                await until(lambda: store.tries >= 4)
            # Had it waited until they are parked, they would be dead letters now.
            assert stopped.handled == 0 and not any(stopped.dead_letters.values())
            await stack.enter_async_context(transport.serve(PaymentService(MemoryStore())))
            await asyncio.gather(*waiting)
        assert (await transport.read_dead_letters(10)).total == 0
    finally:
        await transport.remove()


@pytest.mark.parametrize("client", ["aiokafka", "confluent"])
async def test_partitions_that_come_while_a_store_is_away_lose_no_record(
    client: str, servers: Mapping[str, str]
) -> None:
    """Another member of the group comes and goes meanwhile, so that partitions change hands twice."""
    transport = build("events", "kafka", servers, options={"client": client, "partitions": 4})
    store = StoreThatGoesAway()
    await transport.prepare()
    try:
        async with AsyncExitStack() as stack:
            for name in ("user", "product", "shipping"):
                await stack.enter_async_context(transport.serve(open_service(name)))
            client_ = await stack.enter_async_context(transport.connect())
            payment = await stack.enter_async_context(transport.serve(PaymentService(store)))
            waiting = [asyncio.create_task(ship(client_, f"a{number}")) for number in range(40)]
            await until(lambda: store.tries >= 4)
            async with transport.serve(PaymentService(MemoryStore())) as other:
                waiting += [asyncio.create_task(ship(client_, f"b{number}")) for number in range(40)]
                await until(lambda: other.handled > 0)
            waiting += [asyncio.create_task(ship(client_, f"c{number}")) for number in range(40)]
            tries = store.tries
            await until(lambda: store.tries >= tries + 2)
            store.is_away = False
            await asyncio.gather(*waiting)
            assert not any(payment.dead_letters.values())
    finally:
        await transport.remove()

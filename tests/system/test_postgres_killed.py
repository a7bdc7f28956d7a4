"""Tests that orders go on when PostgreSQL is killed between them, and that each is charged once."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import psutil
import pytest
import pytest_asyncio

from bench.paths import STATE
from bench.provision import postgres
from bench.provision.base import Broker
from bench.provision.brokers import provide_brokers
from bench.provision.services import run_services
from shop.messages import PlaceOrder
from shop.workflow import SERVICES
from stores import admin
from stores.urls import name_database
from tests.conftest import build_order
from transports.base import Setting
from transports.registry import load_transport

pytestmark = [pytest.mark.slow, pytest.mark.broker, pytest.mark.postgres]
ORDERS = 200


@pytest_asyncio.fixture
async def own_postgres() -> AsyncIterator[Broker]:
    """A server for this test alone, since it is killed."""
    if why := postgres.unavailable_reason():
        pytest.skip(why)
    async with provide_brokers([postgres.NAME], given={}, home=STATE, say=lambda _: None) as found:
        server = found[postgres.NAME]
        if not isinstance(server, Broker) or not server.pids:
            pytest.skip("no PostgreSQL that this test may kill")
        yield server


def kill_a_connection(server: Broker, database: str) -> None:
    """Kills the server's process for a database: PostgreSQL then ends all others, and recovers from its log."""
    (backend,) = (one for one in psutil.Process(server.pids[0]).children() if database in " ".join(one.cmdline()))
    os.kill(backend.pid, signal.SIGKILL)


@pytest.mark.parametrize(("method", "product"), [("broker", "rabbitmq"), ("events", "kafka")])
async def test_a_database_server_that_is_killed_costs_no_order_and_charges_none_twice(
    method: str, product: str, own_postgres: Broker, servers: Mapping[str, str], tmp_path: Path
) -> None:
    trial = f"pgkill-{os.getpid()}-{product}"
    names = {service: f"{trial}-{service}" for service in SERVICES}
    databases = {service: name_database(own_postgres.url, name) for service, name in names.items()}
    setting = Setting(trial=trial, servers=servers, product=product, durability="safe")
    transport = load_transport(method, product)(setting)
    admin.create_databases(own_postgres.url, list(names.values()))
    await transport.prepare()
    try:
        async with (
            run_services(
                method, setting, folder=tmp_path, logs=tmp_path, store_folder=None, databases=databases
            ) as running,
            transport.connect() as client,
            asyncio.timeout(90),
        ):
            receipts = [await client.submit(PlaceOrder(build_order(f"o{number}"))) for number in range(ORDERS)]
            await receipts[5].finished
            kill_a_connection(own_postgres, names["payment"])
            finished = await asyncio.gather(*(receipt.finished for receipt in receipts))
            books = {name: await service.audit() for name, service in running.items()}
        total = (await transport.read_dead_letters(10)).total
    finally:
        await transport.remove()
    assert {one.outcome.status for one in finished} == {"shipped"} and total == 0
    assert books["payment"]["tallies"]["payment-taken"]["count"] == ORDERS
    assert books["payment"]["balance"]["taken_cents"] == sum(one.outcome.total_cents for one in finished)
    assert books["shipping"]["tallies"]["order-shipped"]["count"] == ORDERS
    assert sum(book["store_refusals"] for book in books.values()) > 0

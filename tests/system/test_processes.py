"""Tests several processes per service, and callers that retry."""

import asyncio
import os
from collections import Counter
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.provision.ports import find_free_ports
from bench.provision.services import run_services
from shop.factory import open_service
from shop.workflow import SERVICES
from transports.base import Setting
from transports.conformance import build_place_order
from transports.errors import TransportError
from transports.registry import load_transport

pytestmark = pytest.mark.slow

PATIENCE_S = 30
AT_ONCE_S = 10
"""Less than the deadline, until which an order is asked for again."""

ORDERS = 40


def a_setting(trial: str, servers: Mapping[str, str], processes: int = 1, **options: Any) -> Setting:
    ports = iter(find_free_ports(len(SERVICES) * processes))
    addresses = {name: ",".join(f"127.0.0.1:{next(ports)}" for _ in range(processes)) for name in SERVICES}
    return Setting(
        trial=f"{trial}-{os.getpid()}", addresses=addresses, servers=servers, processes=processes, options=options
    )


@pytest.mark.broker
@pytest.mark.parametrize(
    ("transport", "product", "options"),
    [
        ("rest", "", {}),
        ("grpc", "", {}),
        ("broker", "rabbitmq", {}),
        ("broker", "kafka", {}),
        ("events", "kafka", {}),
        ("events", "kafka", {"client": "confluent"}),
        ("events", "rabbitmq", {}),
    ],
)
async def test_every_process_of_a_service_gets_orders(
    transport: str, product: str, options: dict[str, str], servers: Mapping[str, str], tmp_path: Path
) -> None:
    trial = "-".join(filter(None, ("shared", transport, product, *options.values())))
    setting = replace(a_setting(trial, servers, processes=2, **options), product=product)
    method = load_transport(transport, product)(setting)
    await method.prepare()
    try:
        async with run_services(transport, setting, folder=tmp_path, logs=tmp_path, store_folder=None) as running:
            async with method.connect() as client, asyncio.timeout(PATIENCE_S):
                receipts = [await client.submit(build_place_order(f"order-{n}")) for n in range(ORDERS)]
                outcomes = [await receipt.finished for receipt in receipts]
            books = {name: await service.audit() for name, service in running.items()}
    finally:
        await method.remove()
    assert Counter(finished.outcome.status for finished in outcomes) == {"shipped": ORDERS}
    assert sorted(books) == sorted(f"{name}{suffix}" for name in SERVICES for suffix in ("", "-2"))
    taken = {name: book["tallies"]["payment-taken"]["count"] for name, book in books.items() if "payment" in name}
    assert sum(taken.values()) == ORDERS
    assert min(taken.values()) > 0


@pytest.mark.parametrize("transport", ["rest", "grpc"])
@pytest.mark.parametrize("retries", [0, 50])
async def test_a_service_that_is_away_for_a_while_fails_an_order_unless_it_is_asked_again(
    transport: str, retries: int
) -> None:
    setting = a_setting(f"retries-{transport}", {}, retries=retries)
    method = load_transport(transport)(setting)
    opened = {name: open_service(name) for name in SERVICES}
    async with AsyncExitStack() as stack, asyncio.timeout(PATIENCE_S):
        for name in SERVICES:
            if name != "payment":
                await stack.enter_async_context(method.serve(opened[name]))
        client = await stack.enter_async_context(method.connect())
        ordering = asyncio.ensure_future(client.submit(build_place_order()))
        if not retries:
            with pytest.raises(TransportError):
                await asyncio.wait_for(ordering, AT_ONCE_S)
            return
        done, _ = await asyncio.wait([ordering], timeout=0.5)
        assert not done
        await stack.enter_async_context(method.serve(opened["payment"]))
        assert (await (await ordering).finished).outcome.status == "shipped"
        assert opened["payment"].audit()["payment-taken"].count == 1

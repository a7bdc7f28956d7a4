"""Tests that idle connections are closed and opened again."""

import asyncio
import os
from collections.abc import Mapping
from contextlib import AsyncExitStack

import psutil
import pytest

from shop.factory import open_service
from shop.workflow import SERVICES
from tests.system.test_processes import a_setting
from transports.conformance import build_place_order
from transports.registry import load_transport

pytestmark = [pytest.mark.slow, pytest.mark.broker]

PATIENCE_S = 15


def connected(ports: set[int]) -> int:
    """How many connections this process has made to these ports."""
    there = psutil.Process(os.getpid()).net_connections(kind="tcp")
    return sum(c.status == psutil.CONN_ESTABLISHED and bool(c.raddr) and c.raddr.port in ports for c in there)


@pytest.mark.parametrize("transport", ["rest", "grpc", "events"])
async def test_a_connection_that_is_idle_for_longer_than_asked_is_closed_and_made_again(
    transport: str, servers: Mapping[str, str]
) -> None:
    setting = a_setting(f"idle-{transport}", servers, idle_s=1.0)
    method = load_transport(transport)(setting)
    needs = method.traits.needs
    where = [servers[name] for name in needs] or list(setting.addresses.values())
    ports = {int(address.rpartition(":")[2]) for address in where}
    await method.prepare()
    try:
        async with AsyncExitStack() as stack, asyncio.timeout(4 * PATIENCE_S):
            for name in SERVICES:
                await stack.enter_async_context(method.serve(open_service(name)))
            client = await stack.enter_async_context(method.connect())
            for number in range(2):
                receipt = await client.submit(build_place_order(f"order-{number}"))
                assert (await receipt.finished).outcome.status == "shipped"
                in_use = connected(ports)
                assert in_use > 0
                async with asyncio.timeout(PATIENCE_S):
                    # Who consumes from a broker asks it without end; who sends, each service and the buyer, does not.
                    while connected(ports) > (0 if not needs else in_use - len(SERVICES) - 1):  # noqa: ASYNC110
                        await asyncio.sleep(0.05)
    finally:
        await method.remove()

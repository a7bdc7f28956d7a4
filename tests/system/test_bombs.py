"""Tests that decompression bombs are refused and the next order ships."""

import gzip
import tracemalloc
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

import aiohttp
import grpc
import pytest

from shop.factory import open_service
from shop.workflow import SERVICES
from tests.system.test_processes import a_setting
from transports.base import Client, Setting
from transports.conformance import build_place_order
from transports.grpc.methods import METHODS
from transports.registry import load_transport

pytestmark = pytest.mark.slow

MIB = 2**20
LIMIT_BYTES = 64 * 1024
BOMB = bytes(32 * MIB)


@asynccontextmanager
async def a_shop(transport: str, compression: str) -> AsyncIterator[tuple[Setting, Client]]:
    plain = a_setting(f"bomb-{transport}", {})
    setting = Setting(
        trial=plain.trial, addresses=plain.addresses, compression=compression, max_message_bytes=LIMIT_BYTES
    )
    method = load_transport(transport)(setting)
    async with AsyncExitStack() as stack:
        for name in SERVICES:
            await stack.enter_async_context(method.serve(open_service(name)))
        yield setting, await stack.enter_async_context(method.connect())


async def ships(client: Client) -> None:
    receipt = await client.submit(build_place_order("after"))
    assert (await receipt.finished).outcome.status == "shipped"


@pytest.mark.parametrize("compression", ["none", "gzip"])
async def test_rest_refuses_what_inflates_beyond_its_limit(compression: str) -> None:
    async with a_shop("rest", compression) as (setting, client), aiohttp.ClientSession() as session:
        headers: Mapping[str, str] = {"content-type": "application/json", "content-encoding": "gzip"}
        url = f"http://{setting.addresses['user']}/place-order"
        async with session.post(url, data=gzip.compress(BOMB), headers=headers) as answer:
            assert answer.status == 413
        await ships(client)


async def test_rest_inflates_a_bomb_no_further_than_its_limit() -> None:
    async with a_shop("rest", "gzip") as (setting, client), aiohttp.ClientSession() as session:
        await ships(client)
        headers, bomb = {"content-type": "application/json", "content-encoding": "gzip"}, gzip.compress(BOMB)
        tracemalloc.start()
        try:
            before_bytes, _ = tracemalloc.get_traced_memory()
            async with session.post(
                f"http://{setting.addresses['user']}/place-order", data=bomb, headers=headers
            ) as answer:
                assert answer.status == 413
            _, peak_bytes = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak_bytes - before_bytes < len(BOMB) / 8


@pytest.mark.parametrize(
    ("compression", "code"),
    [("none", grpc.StatusCode.UNIMPLEMENTED), ("gzip", grpc.StatusCode.RESOURCE_EXHAUSTED)],
)
async def test_grpc_inflates_nothing_unasked_and_takes_nothing_over_its_limit(
    compression: str, code: grpc.StatusCode
) -> None:
    async with a_shop("grpc", compression) as (setting, client):
        async with grpc.aio.insecure_channel(setting.addresses["user"]) as channel:
            ask = channel.unary_unary(METHODS["user"].path, None, None)
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await ask(BOMB, compression=grpc.Compression.Gzip)
        assert refused.value.code() is code
        await ships(client)

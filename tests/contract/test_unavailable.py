"""Tests what a chain answers while its store is away, by plain clients, and that a caller with retries goes on."""

import asyncio
import itertools
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import grpc
import pytest

from bench.provision.ports import find_free_ports
from shop.service import Service
from shop.users import UserService
from shop.workflow import SERVICES
from transports.base import Setting
from transports.conformance import RunningShop, build_place_order, run_shop
from transports.conformance_faults import StoreThatGoesAway
from transports.errors import Unavailable
from transports.grpc.methods import METHODS
from transports.registry import load_transport
from transports.retry import RETRY_AFTER_S
from transports.wire import load_codec

pytestmark = pytest.mark.slow

_trials = (f"unavailable-{os.getpid()}-{number}" for number in itertools.count())
SENTENCE = "the user service cannot store anything for now; try again later"


@asynccontextmanager
async def shop_without_store(method: str, **options: Any) -> AsyncIterator[tuple[RunningShop, StoreThatGoesAway, str]]:
    """Gives a shop whose user service has no store for now, the store, and the user service's address."""
    store, kind = StoreThatGoesAway(), load_transport(method)
    addresses = {s: f"127.0.0.1:{p}" for s, p in zip(SERVICES, find_free_ports(len(SERVICES)), strict=True)}
    setting = Setting(trial=next(_trials), addresses=addresses, codec=kind.traits.codec, options=options)
    user: Service = UserService(store)
    async with run_shop(kind(setting), [user]) as shop:
        yield shop, store, addresses["user"]


async def test_rest_answers_503_with_a_problem_and_when_to_try_again() -> None:
    async with shop_without_store("rest") as (_, store, address), aiohttp.ClientSession() as session:
        url, body = f"http://{address}/place-order", load_codec("json").encode(build_place_order())
        headers = {"content-type": "application/json"}
        async with session.post(url, data=body, headers=headers) as answer:
            assert (answer.status, answer.headers["retry-after"]) == (503, str(RETRY_AFTER_S))
            assert answer.headers["content-type"] == "application/problem+json"
            assert await answer.json() == {"status": 503, "detail": SENTENCE}
        store.is_away = False
        async with session.post(url, data=body, headers=headers) as answer:
            assert answer.status == 200


async def test_grpc_answers_unavailable_and_when_to_try_again() -> None:
    async with shop_without_store("grpc") as (_, _, address), grpc.aio.insecure_channel(address) as channel:
        call = channel.unary_unary(METHODS["user"].path, None, None)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call(load_codec("protobuf").encode(build_place_order()))
    assert (refused.value.code(), refused.value.details()) == (grpc.StatusCode.UNAVAILABLE, SENTENCE)
    trailing: Any = refused.value.trailing_metadata()
    assert trailing["grpc-retry-pushback-ms"] == str(RETRY_AFTER_S * 1000)


@pytest.mark.parametrize("method", ["rest", "grpc"])
async def test_a_buyer_is_told_that_the_store_is_away_and_not_that_nobody_is_there(method: str) -> None:
    async with shop_without_store(method) as (shop, _, _):
        with pytest.raises(Unavailable, match=f"^{SENTENCE}$"):
            await shop.client.submit(build_place_order())
        assert shop.serving["user"].failed == 1


@pytest.mark.parametrize("method", ["rest", "grpc"])
async def test_a_caller_with_retries_tries_again(method: str) -> None:
    async with shop_without_store(method, retries=9) as (shop, store, _):
        ordering = asyncio.create_task(shop.order(build_place_order()))
        async with asyncio.timeout(20):
            while store.tries < 2:  # noqa: ASYNC110 - a counter
                await asyncio.sleep(0.01)
        store.is_away = False
        assert (await ordering).status == "shipped"
        assert shop.serving["user"].failed >= 2

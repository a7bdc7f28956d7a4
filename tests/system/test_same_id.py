"""Tests an order id that comes back with other content, and a store that is locked for too long, from outside."""

import asyncio
import itertools
import os
import sqlite3
from collections.abc import Mapping
from pathlib import Path

import aio_pika
import aiohttp
import grpc
import pytest
from aiokafka import AIOKafkaProducer

from bench.provision.ports import find_free_ports
from bench.provision.services import run_services
from shop.messages import PlaceOrder
from shop.workflow import SERVICES
from tests.conftest import build_order
from transports.base import Setting, Transport
from transports.dead_letters import PARKED, REFUSED
from transports.grpc.methods import METHODS
from transports.registry import load_transport
from transports.wire import load_codec

pytestmark = [pytest.mark.slow, pytest.mark.broker]

_trials = (f"same-{os.getpid()}-{number}" for number in itertools.count())
FIRST, OTHER = PlaceOrder(build_order("same")), PlaceOrder(build_order("same", address="elsewhere"))
BACKENDS = pytest.mark.parametrize(("method", "product"), [("broker", "rabbitmq"), ("events", "kafka")])


def build(method: str, servers: Mapping[str, str], product: str = "", **changes: float) -> Transport:
    kind = load_transport(method, product)
    addresses = {s: f"127.0.0.1:{p}" for s, p in zip(SERVICES, find_free_ports(len(SERVICES)), strict=True)}
    return kind(Setting(trial=next(_trials), addresses=addresses, servers=servers, codec=kind.traits.codec, **changes))


async def test_rest_answers_422_with_a_problem(tmp_path: Path) -> None:
    transport = build("rest", {})
    url, headers = f"http://{transport.setting.addresses['user']}/place-order", {"content-type": "application/json"}
    async with (
        run_services("rest", transport.setting, folder=tmp_path, logs=tmp_path, store_folder=tmp_path) as running,
        aiohttp.ClientSession() as session,
    ):
        answers = []
        for order in (FIRST, OTHER, FIRST):
            body = load_codec("json").encode(order)
            async with session.post(url, data=body, headers=headers) as answer:
                answers.append((answer.status, answer.headers["content-type"]))
        books = {name: await service.audit() for name, service in running.items()}
    assert answers[1] == (422, "application/problem+json")
    assert answers[0][0] == answers[2][0] == 200
    assert books["payment"]["tallies"]["payment-taken"]["count"] == 1
    assert (books["user"]["conflicts"], books["user"]["repeated"]) == (1, 2)


async def test_grpc_answers_already_exists(tmp_path: Path) -> None:
    transport = build("grpc", {})
    async with (
        run_services("grpc", transport.setting, folder=tmp_path, logs=tmp_path, store_folder=tmp_path) as running,
        grpc.aio.insecure_channel(transport.setting.addresses["user"]) as channel,
    ):
        call = channel.unary_unary(METHODS["user"].path, None, None)
        await call(load_codec("protobuf").encode(FIRST))
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call(load_codec("protobuf").encode(OTHER))
        await call(load_codec("protobuf").encode(FIRST))
        books = await running["payment"].audit()
    assert refused.value.code() is grpc.StatusCode.ALREADY_EXISTS
    assert books["tallies"]["payment-taken"]["count"] == 1


async def send_raw(transport: Transport, product: str, order: PlaceOrder) -> None:
    """Sends an order as a program of somebody else's would."""
    setting, body = transport.setting, load_codec("json").encode(order)
    if product == "rabbitmq":
        connection = await aio_pika.connect(setting.servers[product])
        async with connection:
            exchange = (await connection.channel()).default_exchange
            await exchange.publish(aio_pika.Message(body, type="place-order"), f"{setting.trial}.user")
        return
    async with AIOKafkaProducer(bootstrap_servers=setting.servers[product]) as producer:
        await producer.send_and_wait(f"{setting.trial}.place-order", body, key=order.order.order_id.encode())


@BACKENDS
async def test_on_a_broker_it_is_a_dead_letter_with_its_own_reason(
    method: str, product: str, servers: Mapping[str, str], tmp_path: Path
) -> None:
    transport = build(method, servers, product)
    await transport.prepare()
    try:
        async with (
            run_services(method, transport.setting, folder=tmp_path, logs=tmp_path, store_folder=tmp_path) as running,
            asyncio.timeout(45),
        ):
            for order in (FIRST, OTHER, PlaceOrder(build_order("after"))):
                await send_raw(transport, product, order)
            while (books := await running["user"].audit())["tallies"].get("shipped", {}).get("count") != 2:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
            payment = await running["payment"].audit()
        letters = (await transport.read_dead_letters(10)).letters
    finally:
        await transport.remove()
    assert [(letter.reason, letter.kind, letter.order_id) for letter in letters] == [(REFUSED, "place-order", "same")]
    assert (books["serving"]["dead_letters"][REFUSED], books["conflicts"]) == (1, 1)
    assert payment["tallies"]["payment-taken"]["count"] == 2


@BACKENDS
async def test_a_store_that_is_locked_for_longer_than_the_limit_parks_the_message_and_the_rest_goes_on(
    method: str, product: str, servers: Mapping[str, str], tmp_path: Path
) -> None:
    """SQLite waits for a lock by itself before it says so: five seconds, which is longer than this limit."""
    transport = build(method, servers, product, park_after_s=0.5)
    await transport.prepare()
    try:
        async with (
            run_services(method, transport.setting, folder=tmp_path, logs=tmp_path, store_folder=tmp_path) as running,
            asyncio.timeout(60),
        ):
            await send_raw(transport, product, PlaceOrder(build_order("before")))
            while "shipped" not in (await running["user"].audit())["tallies"]:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
            other = sqlite3.connect(tmp_path / "payment.sqlite", isolation_level=None)
            other.execute("BEGIN IMMEDIATE")
            for number in range(5):
                await send_raw(transport, product, PlaceOrder(build_order(f"o{number}")))
            log = tmp_path / f"{transport.setting.trial}-payment.log"
            while "parked" not in log.read_text():  # noqa: ASYNC110
                await asyncio.sleep(0.05)
            other.execute("ROLLBACK")
            other.close()
            while True:
                payment = await running["payment"].audit()
                shipped = (await running["user"].audit())["tallies"]["shipped"]["count"]
                if shipped + payment["serving"]["dead_letters"][PARKED] == 6:
                    break
                await asyncio.sleep(0.05)
        found = await transport.read_dead_letters(10)
    finally:
        await transport.remove()
    assert 1 <= found.total < 5
    assert {(letter.reason, letter.kind) for letter in found.letters} == {(PARKED, "stock-reserved")}
    assert payment["tallies"]["payment-taken"]["count"] == 6 - found.total

"""Tests what a service does when the fact that follows cannot be sent: it waits, loses no order, and parks at last."""

import asyncio
import itertools
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aio_pika
import pytest
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from bench.provision.services import run_services
from shop.factory import open_service
from shop.messages import PlaceOrder
from shop.service import Service
from shop.workflow import SERVICES
from tests.conftest import build_order
from tests.system.cut_proxy import proxy_to
from tests.system.kafka_trial import read_topic_config, start_admin_client
from transports.base import Client, ServingStats, Setting, Transport
from transports.dead_letters import PARKED
from transports.registry import load_transport
from transports.wire import load_codec

pytestmark = [pytest.mark.slow, pytest.mark.broker]

_trials = (f"publish-{os.getpid()}-{number}" for number in itertools.count())
WITHIN_S = 45


class Shop:
    """A workflow with its buyer, on connections of its own."""

    def __init__(self, transport: Transport, services: Mapping[str, Service]) -> None:
        self.transport, self.services = transport, services
        self.serving: dict[str, ServingStats] = {}
        self.client: Client

    async def ship(self, order_id: str) -> None:
        async with asyncio.timeout(WITHIN_S):
            receipt = await self.client.submit(PlaceOrder(build_order(order_id)))
            assert (await receipt.finished).outcome.status == "shipped"

    def count_parked(self, service: str) -> int:
        return self.serving[service].dead_letters[PARKED]


@asynccontextmanager
async def a_shop(
    method: str, product: str, servers: Mapping[str, str], instead: Mapping[str, str] | None = None, **changes: Any
) -> AsyncIterator[Shop]:
    """Services that reach the broker by ``instead``, if given, and a buyer who reaches it as it is."""
    kind = load_transport(method, product)
    settings = {"trial": next(_trials), "product": product, "servers": servers} | changes
    direct, served = kind(Setting(**settings)), kind(Setting(**settings | {"servers": instead or servers}))
    shop = Shop(direct, {name: open_service(name) for name in SERVICES})
    await direct.prepare()
    try:
        async with AsyncExitStack() as stack:
            for name, service in shop.services.items():
                shop.serving[name] = await stack.enter_async_context(served.serve(service))
            shop.client = await stack.enter_async_context(direct.connect())
            yield shop
    finally:
        await direct.remove()


async def until(condition: Any) -> None:
    async with asyncio.timeout(WITHIN_S):
        while not condition():  # noqa: ASYNC110 - a counter of another task
            await asyncio.sleep(0.02)


@asynccontextmanager
async def without_exchange(servers: Mapping[str, str], trial: str) -> AsyncIterator[None]:
    """The exchange to which services publish is gone meanwhile; the orders go straight to the queue."""
    connection = await aio_pika.connect(servers["rabbitmq"])
    async with connection:
        channel = await connection.channel()
        await channel.exchange_delete(f"{trial}.facts")
        try:
            yield
        finally:
            exchange = await channel.declare_exchange(f"{trial}.facts", "topic", durable=True)
            for service, kinds in (
                ("user", ("place-order", "order-shipped", "payment-declined", "order-rejected")),
                ("product", ("order-placed",)),
                ("payment", ("stock-reserved",)),
                ("shipping", ("payment-taken",)),
            ):
                for kind in kinds:
                    await (await channel.get_queue(f"{trial}.{service}")).bind(exchange, kind)
            await (await channel.get_queue(f"{trial}.order-closed.0")).bind(exchange, "order-closed.0")


async def put_order(servers: Mapping[str, str], shop: Shop, order_id: str) -> None:
    connection = await aio_pika.connect(servers["rabbitmq"])
    async with connection:
        channel = await connection.channel()
        body = load_codec("json").encode(PlaceOrder(build_order(order_id)))
        message = aio_pika.Message(body, type="place-order", reply_to="order-closed.0")
        await channel.default_exchange.publish(message, f"{shop.transport.setting.trial}.user")


async def test_on_rabbitmq_a_fact_that_has_no_exchange_waits_until_there_is_one(servers: Mapping[str, str]) -> None:
    async with a_shop("events", "rabbitmq", servers) as shop:
        user = shop.services["user"]
        async with without_exchange(servers, shop.transport.setting.trial):
            for number in range(20):
                await put_order(servers, shop, f"o{number}")
            await until(lambda: user.repeated >= 3)
        await until(lambda: shop.services["user"].audit().get("shipped", None) is not None)
        await until(lambda: shop.services["user"].audit()["shipped"].count == 20)
        assert not any(any(serving.dead_letters.values()) for serving in shop.serving.values())


async def test_on_rabbitmq_a_fact_that_has_no_exchange_for_too_long_is_parked_and_not_sent_back_for_ever(
    servers: Mapping[str, str],
) -> None:
    async with a_shop("events", "rabbitmq", servers, park_after_s=0.5) as shop:
        async with without_exchange(servers, shop.transport.setting.trial):
            await put_order(servers, shop, "lost")
            await until(lambda: shop.count_parked("user") == 1)
        letters = await shop.transport.read_dead_letters(10)
        assert [(letter.reason, letter.order_id) for letter in letters.letters] == [(PARKED, "lost")]
        await shop.ship("after")


async def test_on_rabbitmq_connections_that_are_lost_with_messages_in_hand_lose_no_order(
    servers: Mapping[str, str],
) -> None:
    """Longer than the limit: what RabbitMQ delivers again is no dead letter."""
    at = urlsplit(servers["rabbitmq"])
    assert at.hostname and at.port
    async with proxy_to(at.hostname, at.port) as proxy:
        instead = {"rabbitmq": servers["rabbitmq"].replace(f":{at.port}", f":{proxy.port}")}
        limits = {"deadline_s": 4.0, "park_after_s": 0.5}
        async with a_shop("broker", "rabbitmq", servers, instead, **limits) as shop:
            await shop.ship("before")
            waiting = [asyncio.create_task(shop.ship(f"o{number}")) for number in range(100)]
            await until(lambda: shop.serving["payment"].handled >= 20)
            await proxy.cut()
            await asyncio.sleep(6)  # both limits, and what waits for them
            await proxy.mend()
            await asyncio.gather(*waiting)
            assert shop.services["shipping"].audit()["order-shipped"].count == 101
            assert not any(any(serving.dead_letters.values()) for serving in shop.serving.values())
            assert (await shop.transport.read_dead_letters(10)).total == 0


CLIENTS = pytest.mark.parametrize("client", ["aiokafka", "confluent"])


@asynccontextmanager
async def with_room_for_nothing(servers: Mapping[str, str], topic: str) -> AsyncIterator[None]:
    """The broker takes no record for this topic meanwhile; those who read it read on."""

    async def allow(size_bytes: int) -> None:
        wanted = {"max.message.bytes": str(size_bytes)}
        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, wanted)])
        async with asyncio.timeout(WITHIN_S):
            while (await read_topic_config(servers, topic))["max.message.bytes"] != str(size_bytes):  # noqa: ASYNC110
                await asyncio.sleep(0.02)

    async with start_admin_client(servers) as admin:
        await allow(10)
        yield
        await allow(1_000_000)


@CLIENTS
async def test_on_kafka_facts_that_are_not_taken_wait_until_they_are(servers: Mapping[str, str], client: str) -> None:
    async with a_shop("events", "kafka", servers, deadline_s=1.0, options={"client": client}) as shop:
        user = shop.services["user"]
        async with with_room_for_nothing(servers, f"{shop.transport.setting.trial}.order-placed"):
            waiting = [asyncio.create_task(shop.ship(f"o{number}")) for number in range(20)]
            await until(lambda: user.repeated >= 2)
        await asyncio.gather(*waiting)
        assert shop.services["shipping"].audit()["order-shipped"].count == 20
        assert not any(any(serving.dead_letters.values()) for serving in shop.serving.values())


@CLIENTS
async def test_on_kafka_a_fact_that_is_not_taken_for_too_long_is_parked(
    servers: Mapping[str, str], client: str
) -> None:
    limits = {"deadline_s": 1.0, "park_after_s": 0.1}
    async with a_shop("events", "kafka", servers, options={"client": client}, **limits) as shop:
        async with with_room_for_nothing(servers, f"{shop.transport.setting.trial}.order-placed"):
            lost = asyncio.create_task(shop.ship("lost"))
            await until(lambda: shop.count_parked("user") == 1)
            lost.cancel()
        letters = await shop.transport.read_dead_letters(10)
        assert [(letter.reason, letter.order_id) for letter in letters.letters] == [(PARKED, "lost")]
        await shop.ship("after")


async def test_a_connection_that_is_reset_makes_no_traceback_in_the_log_and_few_lines(
    servers: Mapping[str, str], tmp_path: Path
) -> None:
    at = urlsplit(servers["rabbitmq"])
    assert at.hostname and at.port
    kind, logs = load_transport("broker", "rabbitmq"), tmp_path / "logs"
    async with proxy_to(at.hostname, at.port) as proxy:
        direct = kind(Setting(trial=next(_trials), servers=servers))
        instead = {"rabbitmq": servers["rabbitmq"].replace(f":{at.port}", f":{proxy.port}")}
        through = Setting(trial=direct.setting.trial, servers=instead)
        await direct.prepare()
        try:
            async with (
                run_services("broker", through, folder=tmp_path, logs=logs, store_folder=None),
                direct.connect() as client,
            ):
                await proxy.cut()
                receipt = await client.submit(PlaceOrder(build_order("after")))
                await asyncio.sleep(3)  # tries to reconnect, each of which was logged
                await proxy.mend()
                async with asyncio.timeout(WITHIN_S):
                    assert (await receipt.finished).outcome.status == "shipped"
            written = {log.name: log.read_text() for log in logs.glob("*.log")}
        finally:
            await direct.remove()
    assert len(written) == len(SERVICES)
    for text in written.values():
        assert "aiormq" in text and "Traceback" not in text
        assert len(text.splitlines()) < 40

"""Tests by kill -9 that accepted orders survive exactly what the traits promise."""

import asyncio
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest

from bench.provision import kafka, rabbitmq
from bench.provision.base import Broker
from bench.provision.ports import find_free_ports
from bench.provision.process import find_marked_processes
from bench.provision.services import ServiceProcess, run_services
from shop.messages import PlaceOrder
from shop.workflow import SERVICES
from tests.conftest import HOME, build_order
from tests.system.command_line import TIMEOUT_S
from transports.base import Durability, Receipt, Setting, Transport
from transports.registry import load_transport, select_transport

pytestmark = [pytest.mark.slow, pytest.mark.broker]

ORDERS = 40


def a_setting(trial: str, durability: Durability, servers: Mapping[str, str], product: str = "") -> Setting:
    addresses = {name: f"127.0.0.1:{port}" for name, port in zip(SERVICES, find_free_ports(len(SERVICES)), strict=True)}
    return Setting(
        trial=trial,
        addresses=addresses,
        servers=servers,
        durability=durability,
        product=product,
        deadline_s=TIMEOUT_S,
    )


@asynccontextmanager
async def four(
    transport: Transport, folder: Path, store: str = "sqlite"
) -> AsyncIterator[Mapping[str, ServiceProcess]]:
    """Over SQLite, which every class of durability has when nothing else is said, or over memory."""
    product = transport.setting.product
    name = next(
        name for name in ("rest", "grpc", "broker", "events") if type(transport) is select_transport(name, product)
    )
    store_folder = folder if store == "sqlite" else None
    async with run_services(
        name, transport.setting, folder=folder, logs=folder / "logs", store_folder=store_folder
    ) as running:
        yield running


async def accepted(transport: Transport, orders: int, first: int = 0) -> None:
    """So many orders, each accepted; nobody waits for what becomes of them."""
    async with transport.connect() as client:
        for number in range(first, first + orders):
            await client.submit(PlaceOrder(build_order(f"o{number}")))


async def finished(receipts: list[Receipt]) -> list[str]:
    async with asyncio.timeout(TIMEOUT_S):
        return [(await receipt.finished).outcome.status for receipt in receipts]


async def placed(running: Mapping[str, ServiceProcess]) -> int:
    """How many orders the user service has in its books."""
    tally = (await running["user"].audit())["tallies"].get("order-placed", {"count": 0})
    return int(tally["count"])


def kill(pids: list[int]) -> None:
    processes = [psutil.Process(pid) for pid in pids]
    for process in processes:
        process.kill()
    psutil.wait_procs(processes, timeout=TIMEOUT_S)


@pytest.mark.parametrize("transport", ["rest", "grpc"])
@pytest.mark.parametrize(
    ("durability", "store", "survivors"),
    [("fast", "memory", 0), ("fast", "sqlite", ORDERS), ("safe", "sqlite", ORDERS)],
)
async def test_a_chain_has_after_the_death_of_its_services_what_their_stores_kept(
    tmp_path: Path, transport: str, durability: Durability, store: str, survivors: int
) -> None:
    chain = load_transport(transport)(a_setting("killed", durability, {}))
    async with four(chain, tmp_path, store) as running:
        await accepted(chain, ORDERS)
        assert await placed(running) == ORDERS
        kill([service.pid for service in running.values()])
    async with four(chain, tmp_path, store) as running:
        assert await placed(running) == survivors


@pytest.mark.parametrize("transport", ["broker", "events"])
@pytest.mark.parametrize("durability", ["fast", "safe"])
async def test_a_pipeline_finishes_what_was_accepted_although_all_services_die(
    tmp_path: Path, servers: Mapping[str, str], transport: str, durability: Durability
) -> None:
    pipeline = load_transport(transport)(a_setting(f"services-{durability}", durability, servers))
    await pipeline.prepare()
    try:
        async with pipeline.connect() as client:
            async with four(pipeline, tmp_path) as running:
                receipts = [await client.submit(PlaceOrder(build_order(f"o{number}"))) for number in range(ORDERS)]
                kill([service.pid for service in running.values()])
            async with four(pipeline, tmp_path):
                assert await finished(receipts) == ["shipped"] * ORDERS
    finally:
        await pipeline.remove()


@asynccontextmanager
async def a_broker(name: str, folder: Path) -> AsyncIterator[Broker]:
    """One that may be killed. Whatever runs in its place is ended."""
    folder.mkdir()
    try:
        yield await (rabbitmq.start(folder, home=HOME) if name == "rabbitmq" else kafka.start(folder, home=HOME))
    finally:
        left = find_marked_processes(folder)
        for process in left:
            process.kill()
        psutil.wait_procs(left, timeout=TIMEOUT_S)


async def answers(broker: Broker, folder: Path) -> bool:
    if broker.name == "kafka":
        return await kafka.is_reachable(broker.url)
    return await rabbitmq.probe_version(broker.url) is not None and await rabbitmq.elect_missing_leaders(folder)


@asynccontextmanager
async def killed_and_started_again(broker: Broker, data: Path) -> AsyncIterator[None]:
    """With the same command, on the same data and the same ports."""
    process = psutil.Process(broker.pids[0])
    command, env, folder = process.cmdline(), process.environ(), process.cwd()
    kill([process.pid])
    with psutil.Popen(command, env=env, cwd=folder, start_new_session=True, stdin=subprocess.DEVNULL) as again:
        try:
            async with asyncio.timeout(TIMEOUT_S):
                while not await answers(broker, data):  # noqa: ASYNC110 - the condition is in another process
                    await asyncio.sleep(0.2)
            yield
        finally:
            again.kill()


@pytest.mark.parametrize(
    ("transport", "product", "durability", "survivors"),
    [
        ("broker", "rabbitmq", "fast", 0),
        ("broker", "rabbitmq", "safe", ORDERS),
        ("events", "kafka", "fast", ORDERS),
        ("events", "kafka", "safe", ORDERS),
        ("broker", "kafka", "fast", ORDERS),
        ("events", "rabbitmq", "safe", ORDERS),
    ],
)
async def test_an_accepted_order_survives_the_brokers_death_or_not_as_the_trait_says(
    tmp_path: Path, transport: str, product: str, durability: Durability, survivors: int
) -> None:
    async with a_broker(product, tmp_path / "server") as broker:
        setting = a_setting(f"broker-{durability}", durability, {product: broker.url}, product)
        pipeline = load_transport(transport, product)(setting)
        await pipeline.prepare()
        async with four(pipeline, tmp_path), pipeline.connect() as client:
            first = await client.submit(PlaceOrder(build_order("first")))
            assert await finished([first]) == ["shipped"]
        # No service runs any more: what is accepted lies in the broker and nowhere else.
        await accepted(pipeline, ORDERS)
        async with killed_and_started_again(broker, tmp_path / "server"):
            await pipeline.prepare()
            async with four(pipeline, tmp_path) as running, pipeline.connect() as client:
                last = await client.submit(PlaceOrder(build_order("last")))
                assert await finished([last]) == ["shipped"]
                # The store still has the first order.
                assert await placed(running) == survivors + 2

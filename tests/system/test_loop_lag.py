"""Tests that an order which waits for a service's busy event loop waits, and is not said to be on its way."""

import asyncio
import os
import time
from pathlib import Path

import pytest

from bench.load.recorder import SampledOrder
from bench.provision.ports import find_free_ports
from bench.provision.services import run_services
from bench.results.rows import HopRow
from bench.trial.hops import build_path_steps
from shop.workflow import SERVICES
from transports.base import Client, Setting
from transports.conformance import build_place_order
from transports.registry import load_transport
from transports.tracing import Stamp

pytestmark = pytest.mark.slow

PAIRS = 8
APART_S = 0.03
"""From pair to pair, so that the loop has been seen to be free when the next one comes, and is still sampled."""


async def order(client: Client, order_id: str) -> SampledOrder:
    sent_ns = time.monotonic_ns()
    receipt = await client.submit(build_place_order(order_id))
    finished = await receipt.finished
    return SampledOrder(order_id, sent_ns, sent_ns, receipt.accepted_ns, finished.at_ns)


def find_part(steps: list[HopRow], part: str) -> HopRow:
    [found] = [step for step in steps if (step.service, step.part) == ("payment", part)]
    return found


@pytest.mark.parametrize("transport", ["rest", "grpc"])
async def test_what_comes_while_the_loop_is_blocked_waits_for_it(tmp_path: Path, transport: str) -> None:
    addresses = {s: f"127.0.0.1:{p}" for s, p in zip(SERVICES, find_free_ports(len(SERVICES)), strict=True)}
    kind = load_transport(transport)
    setting = Setting(trial=f"lag-{os.getpid()}", addresses=addresses, codec=kind.traits.codec, trace_every=1)
    program, orders, stamps = "tests.system.slow_payment", list[SampledOrder](), list[Stamp]()
    async with run_services(
        transport, setting, folder=tmp_path, logs=tmp_path, store_folder=None, program=program
    ) as running:
        async with kind(setting).connect() as client, asyncio.timeout(60):
            await order(client, "first")  # opens the connections
            for pair in range(PAIRS):
                await asyncio.sleep(APART_S)
                orders += await asyncio.gather(*(order(client, f"{pair}-{which}") for which in "ab"))
        for process in running.values():
            stamps += await process.stamps()
    begun_ns = {stamp.order_id: stamp.begun_ns for stamp in stamps if stamp.kind == "stock-reserved"}
    pairs = zip(orders[::2], orders[1::2], strict=True)
    firsts, seconds = zip(*(sorted(two, key=lambda one: begun_ns[one.order_id]) for two in pairs), strict=True)
    ahead, behind = build_path_steps(firsts, stamps), build_path_steps(seconds, stamps)
    transfer, wait = find_part(behind, "transfer"), find_part(behind, "wait")
    assert wait.p50_us > transfer.p50_us
    assert wait.loop_us is not None
    assert wait.loop_us > wait.mean_us / 2
    assert find_part(ahead, "wait").p50_us < wait.p50_us / 2

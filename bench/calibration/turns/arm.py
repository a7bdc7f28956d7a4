"""Runs one arm: the four services and a client, which plays slices of load when it is told to.

It is started by its path, with the checkout that it measures in PYTHONPATH, so that two revisions can be compared.
"""

import asyncio
import gc
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import uvloop

from bench.load import resources
from bench.load.pacer import create_best_pacer
from bench.load.scheduling import raise_priority
from bench.load.workload.arrivals import Schedule
from bench.load.workload.orders import Mix, Workload
from bench.provision.ports import find_free_ports
from bench.provision.service_main import open_standard_input
from bench.provision.services import run_services
from shop.workflow import SERVICES
from transports.base import Setting
from transports.registry import load_transport

LEAD_NS = 20_000_000
"""Before a slice's first order can be due, so that it is not late already."""
Submit = Callable[[int], Awaitable[int]]
"""Submits the order of this number; returns the instant at which its outcome came."""


async def play_slice(submit: Submit, first: int, seed: str, orders_per_s: float, duration_s: float) -> list[int]:
    """Returns the microseconds from planned to finished of every order, once all have finished."""
    latencies_us: list[int] = []
    schedule = Schedule("poisson", seed=seed, orders_per_s=orders_per_s, duration_s=duration_s)
    all_sent = asyncio.get_running_loop().create_future()
    start_ns, number = time.monotonic_ns() + LEAD_NS, first

    async with asyncio.TaskGroup() as group:

        async def order(number: int, planned_ns: int) -> None:
            latencies_us.append((await submit(number) - planned_ns) // 1000)

        def send_due() -> None:
            nonlocal number
            now_ns = time.monotonic_ns()
            while (due_ns := schedule.due_ns) is not None and start_ns + due_ns <= now_ns:
                group.create_task(order(number, start_ns + due_ns))
                number += 1
                schedule.take()
            if due_ns is not None:
                pacer.arm(start_ns + due_ns)
            elif not all_sent.done():
                all_sent.set_result(None)

        pacer = create_best_pacer(send_due)
        try:
            send_due()
            await all_sent
        finally:
            pacer.close()
    return latencies_us


async def run_arm(name: str, arm: dict[str, Any]) -> None:
    """Serves until standard input closes: a line asks for a slice, and a line answers with what it took."""
    told = await open_standard_input()
    kind = load_transport(arm["method"])
    addresses = {service: f"127.0.0.1:{port}" for service, port in zip(SERVICES, find_free_ports(4), strict=True)}
    setting = Setting(
        trial=f"fw-turns-{os.getpid()}",
        addresses=addresses,
        servers=arm.get("servers", {}),
        codec=kind.traits.codec,
        options=arm.get("options", {}),
    )
    transport = kind(setting)
    with tempfile.TemporaryDirectory(prefix="fourways-") as made:
        folder = Path(made)
        await transport.prepare()
        try:
            async with (
                run_services(
                    arm["method"], setting, folder=folder, logs=folder / "logs", store_folder=folder
                ) as services,
                transport.connect() as client,
            ):
                workload = Workload(prefix=name, seed=1, payload_bytes=1024, mix=Mix(sold_out=0.0, declined=0.0))

                async def submit(number: int) -> int:
                    finished = await (await client.submit(workload.order(number))).finished
                    if finished.outcome.status != "shipped":
                        raise RuntimeError(f"order {number} came back {finished.outcome.status}")
                    return finished.at_ns

                parts = {"services": [service.pid for service in services.values()], "broker": arm.get("pids", [])}
                await _answer(told, submit, parts, float(arm.get("orders_per_s", 150)))
        finally:
            await transport.remove()


async def _answer(told: asyncio.StreamReader, submit: Submit, parts: dict[str, list[int]], orders_per_s: float) -> None:
    raise_priority()
    gc.collect()
    gc.freeze()
    gc.disable()
    print('"ready"', flush=True)
    first = 0
    while line := await told.readline():
        asked = msgspec.json.decode(line)
        before = {part: resources.read_snapshot(pids) for part, pids in parts.items()}
        driver_ns = time.process_time_ns()
        latencies_us = await play_slice(submit, first, asked["seed"], orders_per_s, asked["duration_s"])
        driver_ns = time.process_time_ns() - driver_ns
        orders = len(latencies_us)
        first += orders
        row: dict[str, float | str] = {
            "orders": orders,
            "p50_us": statistics.median(latencies_us),
            "driver_cpu_us": driver_ns / 1e3 / orders,
        }
        for part, pids in parts.items():
            used = resources.compute_usage(before[part], resources.read_snapshot(pids))
            row[f"{part}_cpu_us"] = used.cpu_ns / 1e3 / orders if pids else ""
        print(msgspec.json.encode(row).decode(), flush=True)


if __name__ == "__main__":
    uvloop.run(run_arm(sys.argv[1], msgspec.json.decode(sys.argv[2])))

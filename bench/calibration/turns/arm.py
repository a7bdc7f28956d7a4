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
from pathlib import Path
from typing import Any

import msgspec
import uvloop

from bench.calibration.baseline.arms import RunningArm, build_orders, run_our_arm
from bench.calibration.baseline.load import run_schedule
from bench.load import resources
from bench.load.scheduling import raise_priority
from bench.load.workload.arrivals import Schedule
from bench.provision.ports import find_free_ports
from bench.provision.service_main import open_standard_input
from shop.workflow import SERVICES
from transports.base import Setting
from transports.registry import load_transport

PAYLOAD_BYTES = 1024


async def run_arm(arm: dict[str, Any]) -> None:
    """Serves until standard input closes: a line asks for a slice, and a line answers with what it took.

    ``arm`` is one of ARMS.json, with ``orders``, how many it may be asked for, and ``orders_per_s``.
    """
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
    orders = build_orders(arm["orders"], PAYLOAD_BYTES)
    with tempfile.TemporaryDirectory(prefix="fourways-") as made:
        folder = Path(made)
        await transport.prepare()
        try:
            async with run_our_arm(transport, arm["method"], orders, folder, folder / "logs", folder) as running:
                await _answer(told, running, arm.get("pids", []), arm["orders_per_s"])
        finally:
            await transport.remove()


async def _answer(told: asyncio.StreamReader, running: RunningArm, broker_pids: list[int], orders_per_s: float) -> None:
    parts = {"services": running.pids, "broker": broker_pids}
    raise_priority()
    gc.collect()
    gc.freeze()
    gc.disable()
    print('"ready"', flush=True)
    first = 0
    while line := await told.readline():
        asked = msgspec.json.decode(line)
        schedule = Schedule("poisson", seed=asked["seed"], orders_per_s=orders_per_s, duration_s=asked["duration_s"])
        before = {part: resources.read_snapshot(pids) for part, pids in parts.items()}
        driver_ns = time.process_time_ns()
        times_ns = (await run_schedule(running.submit, first, schedule)).from_planned_ns
        driver_ns = time.process_time_ns() - driver_ns
        orders = len(times_ns)
        first += orders
        row: dict[str, float | str] = {
            "orders": orders,
            "p50_us": statistics.median(times_ns) / 1e3,
            "driver_cpu_us": driver_ns / 1e3 / orders,
        }
        for part, pids in parts.items():
            used = resources.compute_usage(before[part], resources.read_snapshot(pids))
            row[f"{part}_cpu_us"] = used.cpu_ns / 1e3 / orders if pids else ""
        print(msgspec.json.encode(row).decode(), flush=True)


if __name__ == "__main__":
    uvloop.run(run_arm(msgspec.json.decode(sys.argv[1])))

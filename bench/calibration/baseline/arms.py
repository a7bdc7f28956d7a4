"""Provides the two arms of a comparison, ours and bare, behind the same interface."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bench.load.workload.orders import ALL_SHIP, Workload
from bench.provision.services import ServiceProcess, run_services
from bench.yardstick import import_bare_chain
from shop.messages import PlaceOrder
from transports.base import Setting, Transport
from transports.wire import load_codec

Arm = Literal["ours", "bare"]
Submit = Callable[[int], Awaitable[int]]
"""``await submit(number)``: when its outcome arrived, ``time.monotonic_ns()``. Raises WrongOutcome, and anything."""


class WrongOutcome(Exception):
    """An order came back with another outcome than expected. ``str(error)`` is a sentence."""


@dataclass(frozen=True, slots=True)
class RunningArm:
    """An arm that is running: how to submit an order, and the process ids of its four services."""

    submit: Submit
    pids: tuple[int, ...]


def build_orders(count: int, payload_bytes: int) -> list[PlaceOrder]:
    """Returns orders that ship, all made beforehand. Raises ValueError when an order cannot be that small."""
    workload = Workload(prefix="f", seed=1, payload_bytes=payload_bytes, mix=ALL_SHIP)
    return [workload.order(number) for number in range(count)]


@asynccontextmanager
async def run_our_arm(
    transport: Transport,
    name: str,
    orders: Sequence[PlaceOrder],
    folder: Path,
    logs: Path,
    store_folder: Path | None = None,
) -> AsyncIterator[RunningArm]:
    """Runs the real workflow, with its stores in memory or in ``store_folder``.

    Raises StartFailed and any of transports.errors.
    """
    async with (
        run_services(name, transport.setting, folder=folder, logs=logs, store_folder=store_folder) as processes,
        transport.connect() as client,
    ):

        async def submit(number: int) -> int:
            order = orders[number]
            receipt = await client.submit(order)
            finished = await receipt.finished
            outcome = finished.outcome
            if outcome.status != "shipped" or outcome.order.order_id != order.order.order_id:
                raise WrongOutcome(f"order {order.order.order_id} came back {outcome.status}: {outcome.reason}")
            return finished.at_ns

        yield RunningArm(submit, _process_ids(processes))


@asynccontextmanager
async def run_bare_arm(
    name: str, setting: Setting, orders: Sequence[PlaceOrder], folder: Path, logs: Path
) -> AsyncIterator[RunningArm]:
    """Runs the bare chain, which passes on the same orders as encoded by the transport's codec.

    Raises StartFailed, and what its library raises.
    """
    encode = load_codec(setting.codec).encode
    bodies = [encode(order) for order in orders]
    async with (
        run_services(
            name, setting, folder=folder, logs=logs, store_folder=None, program="bench.calibration.baseline.node"
        ) as processes,
        import_bare_chain(name).connect(setting) as pass_,
    ):

        async def submit(number: int) -> int:
            body = bodies[number]
            came, at_ns = await pass_(str(number), body)
            if came != body:
                raise WrongOutcome(f"body {number} came back as {came[:80]!r}")
            return at_ns

        yield RunningArm(submit, _process_ids(processes))


def _process_ids(processes: Mapping[str, ServiceProcess]) -> tuple[int, ...]:
    return tuple(process.pid for process in processes.values())

"""The two arms of a comparison, alike from outside: submit(number), and the processes to charge."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bench.calibration.baseline.bare import bare
from bench.load.workload.orders import Mix, Workload
from bench.provision.services import ServiceProcess, services
from shop.messages import PlaceOrder
from transports.base import Setting, Transport
from transports.wire import codec_named

Arm = Literal["ours", "bare"]
Submit = Callable[[int], Awaitable[int]]
"""``await submit(number)``: when its outcome arrived, ``time.monotonic_ns()``. Raises WrongOutcome, and anything."""


class WrongOutcome(Exception):
    """What came back is not what was to come. ``str(error)`` is a sentence."""


@dataclass(frozen=True, slots=True)
class Running:
    """An arm at work. ``pids`` are its four services."""

    submit: Submit
    pids: tuple[int, ...]


def orders_of(count: int, payload_bytes: int) -> list[PlaceOrder]:
    """Orders that ship, all made beforehand. Raises ValueError when an order cannot be that small."""
    workload = Workload(prefix="f", seed=1, payload_bytes=payload_bytes, mix=Mix(sold_out=0.0, declined=0.0))
    return [workload.order(number) for number in range(count)]


@asynccontextmanager
async def ours(
    transport: Transport, name: str, orders: Sequence[PlaceOrder], folder: Path, logs: Path
) -> AsyncIterator[Running]:
    """The real workflow. Raises StartFailed and any of transports.errors."""
    async with (
        services(name, transport.setting, folder=folder, logs=logs, store_folder=None) as processes,
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

        yield Running(submit, _pids(processes))


@asynccontextmanager
async def barest(
    name: str, setting: Setting, orders: Sequence[PlaceOrder], folder: Path, logs: Path
) -> AsyncIterator[Running]:
    """The bare chain, which passes on the same orders as the method's codec makes them.

    Raises StartFailed, and what its library raises.
    """
    encode = codec_named(setting.codec).encode
    bodies = [encode(order) for order in orders]
    async with (
        services(
            name, setting, folder=folder, logs=logs, store_folder=None, program="bench.calibration.baseline.node"
        ) as processes,
        bare(name).connect(setting) as pass_,
    ):

        async def submit(number: int) -> int:
            body = bodies[number]
            came, at_ns = await pass_(str(number), body)
            if came != body:
                raise WrongOutcome(f"body {number} came back as {came[:80]!r}")
            return at_ns

        yield Running(submit, _pids(processes))


def _pids(processes: Mapping[str, ServiceProcess]) -> tuple[int, ...]:
    return tuple(process.pid for process in processes.values())

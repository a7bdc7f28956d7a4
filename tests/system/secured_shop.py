"""Starts the four services at a security level, for the tests of refused clients."""

import asyncio
import itertools
import os
import re
import shutil
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from bench.provision.base import Broker
from bench.provision.certificates import CertificateAuthority
from bench.provision.ports import find_free_ports
from bench.provision.services import run_services
from shop.workflow import SERVICES
from transports.base import Setting, Transport
from transports.conformance import (
    build_place_order,
)
from transports.errors import TransportError
from transports.registry import load_transport

TIMEOUT_S = 20.0
_TRIAL_NAMES = (f"refused-{os.getpid()}-{number}" for number in itertools.count())


@dataclass(frozen=True)
class SecuredBrokers:
    """Keys, and brokers that accept every level but none."""

    authority: CertificateAuthority
    keys: Path
    brokers: Mapping[str, Broker]
    home: Path

    def setting(self, name: str, level: str) -> Setting:
        needs = load_transport(name).traits.needs
        ports = find_free_ports(len(SERVICES))
        return Setting(
            trial=next(_TRIAL_NAMES),
            addresses={service: f"127.0.0.1:{port}" for service, port in zip(SERVICES, ports, strict=True)},
            servers={need: self.brokers[need].at(level) for need in needs},
            codec=load_transport(name).traits.codec,
            security=level,
            keys=str(self.keys),
            deadline_s=5.0,
        )

    def copy_keys(self, folder: Path, change: Callable[[Path], None]) -> str:
        """Returns the path of a copy of the keys to which ``change`` was applied."""
        copy = folder / f"keys-{len(list(folder.iterdir()))}"
        shutil.copytree(self.keys, copy)
        change(copy)
        return str(copy)

    def log(self, name: str, logs: Path) -> str:
        """Returns the log of the server to which a buyer connects."""
        where = {
            "broker": self.home.glob("run-*/rabbitmq/log/*.log"),
            "events": self.home.glob("run-*/kafka/server.log"),
        }.get(name, logs.glob("*-user.log"))
        return "".join(path.read_text(errors="replace") for path in where)


@asynccontextmanager
async def start_shop(name: str, setting: Setting, folder: Path) -> AsyncIterator[Transport]:
    """Runs the four services as processes that log to ``folder``."""
    transport = load_transport(name)(setting)
    await transport.prepare()
    try:
        async with run_services(name, setting, folder=folder, logs=folder, store_folder=None):
            yield transport
    finally:
        await transport.remove()


async def ship_order(transport: Transport, order_id: str) -> None:
    async with asyncio.timeout(TIMEOUT_S), transport.connect() as client:
        finished = await (await client.submit(build_place_order(order_id))).finished
    assert finished.outcome.status == "shipped"


async def expect_refusal(name: str, setting: Setting) -> TransportError:
    with pytest.raises(TransportError) as refused:
        await ship_order(load_transport(name)(setting), "refused")
    return refused.value


async def wait_until_logged(read: Callable[[], str], reason: str, from_: int = 0) -> None:
    """Waits until the text that ``read`` returns matches ``reason`` after position ``from_``."""
    async with asyncio.timeout(TIMEOUT_S):
        while not re.search(reason, read()[from_:]):  # noqa: ASYNC110 - another process writes it
            await asyncio.sleep(0.05)

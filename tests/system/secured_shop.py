"""A shop at each level of security, and whoever comes to it wrongly."""

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

from bench.provision import Broker, free_ports
from bench.provision.certificates import Authority
from bench.provision.services import services
from shop.workflow import SERVICES
from transports.base import Setting, Transport
from transports.conformance import (
    an_order,
)
from transports.errors import TransportError
from transports.registry import named

PATIENCE_S = 20.0
_trials = (f"refused-{os.getpid()}-{number}" for number in itertools.count())


@dataclass(frozen=True)
class Ground:
    """Keys, and brokers that take every level but none."""

    authority: Authority
    keys: Path
    brokers: Mapping[str, Broker]
    home: Path

    def setting(self, name: str, level: str) -> Setting:
        needs = named(name).traits.needs
        ports = free_ports(len(SERVICES))
        return Setting(
            trial=next(_trials),
            addresses={service: f"127.0.0.1:{port}" for service, port in zip(SERVICES, ports, strict=True)},
            servers={need: self.brokers[need].at(level) for need in needs},
            codec=named(name).traits.codec,
            security=level,
            keys=str(self.keys),
            deadline_s=5.0,
        )

    def without(self, folder: Path, change: Callable[[Path], None]) -> str:
        """A copy of the keys in which something is changed."""
        copy = folder / f"keys-{len(list(folder.iterdir()))}"
        shutil.copytree(self.keys, copy)
        change(copy)
        return str(copy)

    def log(self, name: str, logs: Path) -> str:
        """What the server that a buyer meets has written so far."""
        where = {
            "broker": self.home.glob("run-*/rabbitmq/log/*.log"),
            "events": self.home.glob("run-*/kafka/server.log"),
        }.get(name, logs.glob("*-user.log"))
        return "".join(path.read_text(errors="replace") for path in where)


@asynccontextmanager
async def a_shop(name: str, setting: Setting, folder: Path) -> AsyncIterator[Transport]:
    """The four services as processes, with their logs in this folder."""
    transport = named(name)(setting)
    await transport.prepare()
    try:
        async with services(name, setting, folder=folder, logs=folder, store_folder=None):
            yield transport
    finally:
        await transport.remove()


async def ships(transport: Transport, order_id: str) -> None:
    async with asyncio.timeout(PATIENCE_S), transport.connect() as client:
        finished = await (await client.submit(an_order(order_id))).finished
    assert finished.outcome.status == "shipped"


async def is_refused(name: str, setting: Setting) -> TransportError:
    with pytest.raises(TransportError) as refused:
        await ships(named(name)(setting), "refused")
    return refused.value


async def told(read: Callable[[], str], reason: str, from_: int = 0) -> None:
    """Wait until the log says so."""
    async with asyncio.timeout(PATIENCE_S):
        while not re.search(reason, read()[from_:]):  # noqa: ASYNC110 - another process writes it
            await asyncio.sleep(0.05)

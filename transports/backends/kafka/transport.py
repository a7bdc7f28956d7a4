"""Kafka for any method: traits, and the parts joined."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import ClassVar

from aiokafka.errors import KafkaError

from shop.service import Service
from transports.backends.kafka.client import buying
from transports.backends.kafka.client_libraries import in_group, producing, versions
from transports.backends.kafka.config import COMPRESSIONS, Config
from transports.backends.kafka.server import Member
from transports.backends.kafka.topology import Places, create, delete, unreachable
from transports.backends.routes import Routes
from transports.base import Acceptance, Client, Serving, Setting, Traits, Transport
from transports.dispatch import Desk
from transports.errors import SettingError
from transports.options import config_from
from transports.security import SECURED
from transports.tracing import Trace


def traits_of(routes: Routes) -> Traits:
    """What a method with these routes promises over Kafka."""
    return Traits(
        style=routes.style,
        accepted=Acceptance.ON_ACKNOWLEDGED,
        survives={
            "fast": "D2: a service's and the broker's death; the record lies in the page cache of the broker's machine",
            "safe": "D3: everything but the disk; the broker has fsynced the record before it acknowledges",
        },
        redelivers=True,
        ordered=True,
        concurrency="a fetched batch at a time, in order",
        compressions=COMPRESSIONS,
        stamped=True,
        scales=True,
        replays=True,
        securities=SECURED,
        largest_bytes=8 * 1024 * 1024,  # message.max.bytes in bench/provision/kafka.py
        needs=frozenset({"kafka"}),
    )


class KafkaTransport(Transport):
    """Whoever subclasses it says the method's name, its routes and its traits."""

    product = "kafka"
    method: ClassVar[str]
    routes: ClassVar[Routes]
    Config = Config

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        if "kafka" not in setting.servers:
            raise SettingError(
                f"the {self.method} transport needs Kafka: give KAFKA_BOOTSTRAP, or type `make up`", code="no-server"
            )
        self._config = config_from(self.method, setting.options, Config)
        self._places = Places(self.routes, setting)

    def facts(self) -> Mapping[str, str]:
        library = versions(self._config)
        partitions = max(self._config.partitions, self.setting.processes)
        flush = "flush.messages=1" if self.setting.durability == "safe" else "default flush"
        return {
            "client": library,
            "server": f"{library}; acks=all, idempotent producer, {partitions} partition(s), {flush}",
        }

    async def prepare(self) -> None:
        await create(self.setting, self._config, self._places)

    async def remove(self) -> None:
        await delete(self.setting, self._places)

    @asynccontextmanager
    async def serve(self, service: Service) -> AsyncIterator[Serving]:
        setting, places = self.setting, self._places
        serving = Serving(Trace(setting.trace_every))
        try:
            async with AsyncExitStack() as stack:
                desk = await stack.enter_async_context(Desk(service, serving.trace))
                producer = await stack.enter_async_context(producing(self._config, setting, service.name))
                consumer = await stack.enter_async_context(in_group(self._config, setting, service.name, places))
                member = Member(desk, serving, consumer, producer, places, setting)
                # A member that dies takes its service with it: a service that consumes nothing looks like a slow one.
                async with asyncio.TaskGroup() as group:
                    group.create_task(member.run())
                    try:
                        yield serving
                    finally:
                        member.stop()
        except KafkaError as error:
            raise unreachable(setting, error) from error

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Client]:
        async with buying(self.setting, self._config, self._places) as client:
            yield client

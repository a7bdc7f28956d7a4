"""Base class of transports on Kafka: traits, server and client."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import ClassVar

from shop.service import Service
from transports.backends.kafka.client import connect_buyer
from transports.backends.kafka.client_libraries import Consumer, Producer, describe_versions
from transports.backends.kafka.config import COMPRESSIONS, Config, describe_commits
from transports.backends.kafka.dead_letters import read_dead_letters
from transports.backends.kafka.membership import Membership
from transports.backends.kafka.server import GroupMember
from transports.backends.kafka.topology import TrialTopics, create_topology, delete_topology
from transports.backends.kafka.unsent import UnsentFacts
from transports.backends.routes import Routes
from transports.base import Acceptance, Client, ServingStats, Setting, Traits, Transport
from transports.dead_letters import DeadLetters
from transports.dispatch import MessageProcessor
from transports.errors import SettingError
from transports.options import parse_options
from transports.security import ENCRYPTED_LEVELS
from transports.tracing import Tracer


def build_traits(routes: Routes) -> Traits:
    """Returns the traits of a method with these routes over Kafka."""
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
        acknowledges=f"{describe_commits(Config())}, once the facts that follow are acknowledged",
        compressions=COMPRESSIONS,
        stamped=True,
        scales=True,
        replays=True,
        securities=ENCRYPTED_LEVELS,
        largest_bytes=8 * 1024 * 1024,  # message.max.bytes in bench/provision/kafka.py
        needs=frozenset({"kafka"}),
    )


class KafkaTransport(Transport):
    """Base class of transports on Kafka; a subclass sets ``method``, ``routes`` and ``traits``."""

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
        self._config = parse_options(self.method, setting.options, Config)
        self._places = TrialTopics(self.routes, setting)

    def facts(self) -> Mapping[str, str]:
        library = describe_versions(self._config)
        partitions = max(self._config.partitions, self.setting.processes)
        flush = "flush.messages=1" if self.setting.durability == "safe" else "default flush"
        return {
            "client": library,
            "server": f"{library}; acks=all, idempotent producer, {partitions} partition(s), {flush}, "
            f"{describe_commits(self._config)}",
        }

    async def prepare(self) -> None:
        await create_topology(self.setting, self._config, self._places)

    async def remove(self) -> None:
        await delete_topology(self.setting, self._places)

    async def read_dead_letters(self, limit: int) -> DeadLetters:
        return await read_dead_letters(self.setting, self._config, self._places, limit)

    @asynccontextmanager
    async def serve(self, service: Service) -> AsyncIterator[ServingStats]:
        setting, places, config = self.setting, self._places, self._config
        serving = ServingStats(Tracer(setting.trace_every))
        async with MessageProcessor(service, serving.trace) as processor:

            def build_member(consumer: Consumer, producer: Producer, unsent: UnsentFacts) -> GroupMember:
                return GroupMember(processor, serving, consumer, producer, places, setting, config, unsent)

            membership = Membership(setting, config, places, service.name, build_member)
            running = asyncio.create_task(membership.run())
            await membership.wait_until_joined(running)
            # A member that dies takes its service with it: a service that consumes nothing looks like a slow one.
            async with asyncio.TaskGroup() as group:
                group.create_task(_wait_for(running))
                try:
                    yield serving
                finally:
                    membership.stop()

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Client]:
        async with connect_buyer(self.setting, self._config, self._places) as client:
            yield client


async def _wait_for(running: "asyncio.Task[None]") -> None:
    await running

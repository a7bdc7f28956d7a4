"""Kafka as a transport: traits, and the parts joined."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.metadata import version

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import KafkaError

from shop.service import Service
from transports.base import Acceptance, Client, Serving, Setting, Style, Traits, Transport
from transports.errors import SettingError
from transports.events.client import buying
from transports.events.config import COMPRESSIONS, Config, consumer_options, producer_options
from transports.events.server import Member
from transports.events.topology import create, delete, group_of, started, topics_consumed_by, unreachable
from transports.options import config_from
from transports.relay import Desk
from transports.security import SECURED
from transports.trace import Trace


class EventsTransport(Transport):
    traits = Traits(
        style=Style.CHOREOGRAPHY,
        accepted=Acceptance.ON_ACKNOWLEDGED,
        survives={
            "fast": "D2: a service's and the broker's death; the record lies in the page cache of the broker's machine",
            "safe": "D3: everything but the disk; the broker has fsynced the record before it acknowledges",
        },
        redelivers=True,
        ordered=True,
        concurrency="a fetched batch at a time, in order",
        replays=True,
        compressions=COMPRESSIONS,
        stamped=True,
        scales=True,
        securities=SECURED,
        largest_bytes=8 * 1024 * 1024,  # message.max.bytes in bench/provision/kafka.py
        needs=frozenset({"kafka"}),
    )
    Config = Config

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        if "kafka" not in setting.servers:
            raise SettingError("the events transport needs Kafka: give KAFKA_BOOTSTRAP, or type `make up`")
        self._config = config_from("events", setting.options, Config)

    def facts(self) -> Mapping[str, str]:
        library = f"aiokafka {version('aiokafka')}"
        partitions = max(self._config.partitions, self.setting.processes)
        flush = "flush.messages=1" if self.setting.durability == "safe" else "default flush"
        return {
            "client": library,
            "server": f"{library}; acks=all, idempotent producer, {partitions} partition(s), {flush}",
        }

    async def prepare(self) -> None:
        await create(self.setting, self._config)

    async def remove(self) -> None:
        await delete(self.setting)

    @asynccontextmanager
    async def serve(self, service: Service) -> AsyncIterator[Serving]:
        setting = self.setting
        serving = Serving(Trace(setting.trace_every))
        try:
            async with AsyncExitStack() as stack:
                desk = await stack.enter_async_context(Desk(service, serving.trace))
                producer = AIOKafkaProducer(**producer_options(self._config, setting, service.name))
                await stack.enter_async_context(started(producer))
                consumer = AIOKafkaConsumer(
                    *topics_consumed_by(setting, service.name),
                    group_id=group_of(setting, service.name),
                    auto_offset_reset="earliest",
                    **consumer_options(self._config, setting, service.name),
                )
                await stack.enter_async_context(started(consumer))
                member = Member(desk, serving, consumer, producer, setting)
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
        async with buying(self.setting, self._config) as client:
            yield client

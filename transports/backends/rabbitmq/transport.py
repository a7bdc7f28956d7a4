"""Base class of transports on RabbitMQ: traits, server and client."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import ClassVar

from shop.service import Service
from transports.backends.rabbitmq.client import connect_buyer
from transports.backends.rabbitmq.config import Config
from transports.backends.rabbitmq.dead_letters import DeadLetterQueue, read_dead_letters
from transports.backends.rabbitmq.publisher import Publisher
from transports.backends.rabbitmq.server import DeliveryHandler, consume_queue
from transports.backends.rabbitmq.topology import (
    TrialQueues,
    declare_topology,
    delete_topology,
    find_exchange,
    open_channel,
)
from transports.backends.routes import Routes
from transports.base import Acceptance, Client, ServingStats, Setting, Traits, Transport
from transports.dead_letters import DeadLetters
from transports.dispatch import MessageProcessor
from transports.errors import SettingError
from transports.options import parse_options
from transports.security import ENCRYPTED_LEVELS
from transports.tracing import Tracer


def build_traits(routes: Routes) -> Traits:
    """Returns the traits of a method with these routes over RabbitMQ."""
    return Traits(
        style=routes.style,
        accepted=Acceptance.ON_CONFIRM,
        survives={
            "fast": "D1: a service's death; the message lies in the broker's memory",
            "safe": "D3: everything but the disk; a quorum queue has fsynced the message before it confirms",
        },
        redelivers=True,
        ordered=False,
        concurrency="up to the prefetch of 200 messages",
        acknowledges="each message, once the fact that follows is confirmed",
        stamped=True,
        scales=True,
        securities=ENCRYPTED_LEVELS,
        largest_bytes=16 * 1024 * 1024,  # max_message_size in bench/provision/rabbitmq.py
        needs=frozenset({"rabbitmq"}),
    )


class RabbitMQTransport(Transport):
    """Base class of transports on RabbitMQ; a subclass sets ``method``, ``routes`` and ``traits``."""

    product = "rabbitmq"
    method: ClassVar[str]
    routes: ClassVar[Routes]
    Config = Config

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        if "rabbitmq" not in setting.servers:
            raise SettingError(
                f"the {self.method} transport needs RabbitMQ: give RABBITMQ_URL, or type `make up`", code="no-server"
            )
        self._config = parse_options(self.method, setting.options, Config)
        self._places = TrialQueues(self.routes, setting)

    def facts(self) -> Mapping[str, str]:
        queue = "quorum queues, persistent" if self.setting.durability == "safe" else "classic queues, transient"
        libraries = f"aio-pika {version('aio-pika')}, aiormq {version('aiormq')}"
        return {"client": libraries, "server": f"{libraries}; {queue} messages, prefetch {self._config.prefetch}"}

    async def prepare(self) -> None:
        await declare_topology(self.setting, self._places)

    async def remove(self) -> None:
        await delete_topology(self.setting, self._places)

    async def read_dead_letters(self, limit: int) -> DeadLetters:
        return await read_dead_letters(self.setting, self._places, limit)

    @asynccontextmanager
    async def serve(self, service: Service) -> AsyncIterator[ServingStats]:
        setting, places = self.setting, self._places
        serving = ServingStats(Tracer(setting.trace_every))
        async with (
            MessageProcessor(service, serving.trace) as processor,
            open_channel(setting, f"{service.name}.out") as out,
            open_channel(setting, service.name) as inward,
        ):
            publisher = Publisher(
                out, await find_exchange(out, places), setting, setting.max_message_bytes, service.name
            )
            dead_letters = DeadLetterQueue(out, places, service.name)
            consumer = DeliveryHandler(processor, serving, publisher, dead_letters, places, setting)
            async with consume_queue(inward, consumer, places.queue_by_service[service.name], self._config.prefetch):
                yield serving

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Client]:
        async with connect_buyer(self.setting, self._places) as client:
            yield client

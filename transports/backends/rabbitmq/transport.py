"""RabbitMQ for any method: traits, and the parts joined."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import ClassVar

from shop.service import Service
from transports.backends.rabbitmq.client import buying
from transports.backends.rabbitmq.config import Config
from transports.backends.rabbitmq.publisher import Publisher
from transports.backends.rabbitmq.server import Consumer, consuming
from transports.backends.rabbitmq.topology import Places, channel, declare, delete, exchange_on
from transports.backends.routes import Routes
from transports.base import Acceptance, Client, Serving, Setting, Traits, Transport
from transports.dispatch import Desk
from transports.errors import SettingError
from transports.options import config_from
from transports.security import SECURED
from transports.tracing import Trace


def traits_of(routes: Routes) -> Traits:
    """What a method with these routes promises over RabbitMQ."""
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
        stamped=True,
        scales=True,
        securities=SECURED,
        largest_bytes=16 * 1024 * 1024,  # max_message_size in bench/provision/rabbitmq.py
        needs=frozenset({"rabbitmq"}),
    )


class RabbitMQTransport(Transport):
    """Whoever subclasses it says the method's name, its routes and its traits."""

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
        self._config = config_from(self.method, setting.options, Config)
        self._places = Places(self.routes, setting)

    def facts(self) -> Mapping[str, str]:
        queue = "quorum queues, persistent" if self.setting.durability == "safe" else "classic queues, transient"
        libraries = f"aio-pika {version('aio-pika')}, aiormq {version('aiormq')}"
        return {"client": libraries, "server": f"{libraries}; {queue} messages, prefetch {self._config.prefetch}"}

    async def prepare(self) -> None:
        await declare(self.setting, self._places)

    async def remove(self) -> None:
        await delete(self.setting, self._places)

    @asynccontextmanager
    async def serve(self, service: Service) -> AsyncIterator[Serving]:
        setting, places = self.setting, self._places
        serving = Serving(Trace(setting.trace_every))
        async with (
            Desk(service, serving.trace) as desk,
            channel(setting, f"{service.name}.out") as out,
            channel(setting, service.name) as inward,
        ):
            publisher = Publisher(out, await exchange_on(out, places), setting, setting.max_message_bytes, service.name)
            consumer = Consumer(desk, serving, publisher, places, setting)
            async with consuming(inward, consumer, places.queue_of[service.name], self._config.prefetch):
                yield serving

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Client]:
        async with buying(self.setting, self._places) as client:
            yield client

"""RabbitMQ as a transport: traits, and the parts joined."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from importlib.metadata import version

from shop.service import Service
from transports.base import Acceptance, Client, Serving, Setting, Style, Traits, Transport
from transports.broker.client import buying
from transports.broker.config import Config
from transports.broker.publisher import Publisher
from transports.broker.server import Consumer, consuming
from transports.broker.topology import channel, declare, delete, work_queue
from transports.errors import SettingError
from transports.options import config_from
from transports.relay import Desk
from transports.security import SECURED
from transports.trace import Trace


class BrokerTransport(Transport):
    traits = Traits(
        style=Style.PIPELINE,
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
    Config = Config

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        if "rabbitmq" not in setting.servers:
            raise SettingError("the broker transport needs RabbitMQ: give RABBITMQ_URL, or type `make up`")
        self._config = config_from("broker", setting.options, Config)

    def facts(self) -> Mapping[str, str]:
        queue = "quorum queues, persistent" if self.setting.durability == "safe" else "classic queues, transient"
        libraries = f"aio-pika {version('aio-pika')}, aiormq {version('aiormq')}"
        return {"client": libraries, "server": f"{libraries}; {queue} messages, prefetch {self._config.prefetch}"}

    async def prepare(self) -> None:
        await declare(self.setting)

    async def remove(self) -> None:
        await delete(self.setting)

    @asynccontextmanager
    async def serve(self, service: Service) -> AsyncIterator[Serving]:
        setting = self.setting
        serving = Serving(Trace(setting.trace_every))
        async with (
            Desk(service, serving.trace) as desk,
            channel(setting, f"{service.name}.out") as out,
            channel(setting, service.name) as inward,
        ):
            publisher = Publisher(out, setting, setting.max_message_bytes)
            consumer = Consumer(desk, serving, publisher, setting)
            async with consuming(inward, consumer, work_queue(setting, service.name), self._config.prefetch):
                yield serving

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Client]:
        async with buying(self.setting) as client:
            yield client

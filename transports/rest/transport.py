"""REST as a transport: traits, and the parts joined."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from importlib.metadata import version

from shop.service import Service
from transports.base import Acceptance, Client, Serving, Setting, Style, Traits, Transport
from transports.dispatch import Desk
from transports.options import config_from
from transports.rest.client import Asker, RestClient
from transports.rest.client_libraries import engine, versions
from transports.rest.config import Config
from transports.rest.server import application, listening
from transports.security import BUYER, SECURED, client_context, server_context
from transports.tracing import Trace
from transports.wire import codec_named
from transports.wire.compression import COMPRESSIONS


class RestTransport(Transport):
    traits = Traits(
        style=Style.CHAIN,
        accepted=Acceptance.ON_OUTCOME,
        survives={
            "fast": "D0: nothing survives a service process",
            "safe": "D3: every service has fsynced its decision before it answers",
        },
        redelivers=False,
        ordered=True,
        concurrency="unbounded requests",
        browsers=True,
        compressions=frozenset(COMPRESSIONS),
        securities=SECURED,
        stamped=True,
        scales=True,
    )
    Config = Config

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self._config = config_from("rest", setting.options, Config)
        self._codec = codec_named(setting.codec)

    def facts(self) -> Mapping[str, str]:
        return {
            "client": versions(self._config),
            "server": f"uvicorn {version('uvicorn')}, fastapi {version('fastapi')}, httptools {version('httptools')}",
        }

    @asynccontextmanager
    async def serve(self, service: Service) -> AsyncIterator[Serving]:
        serving = Serving(Trace(self.setting.trace_every))
        context = server_context(self.setting, service.name)
        async with Desk(service, serving.trace) as desk, self._asker(service.name) as ask:
            app = application(desk, serving, ask, self.setting)
            async with listening(app, self.setting.own_address(service.name), self._config, context):
                yield serving

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Client]:
        async with self._asker(BUYER) as ask:
            yield RestClient(ask, self._codec)

    @asynccontextmanager
    async def _asker(self, role: str) -> AsyncIterator[Asker]:
        async with engine(self._config, client_context(self.setting, role)) as post:
            yield Asker(post, self.setting, role, self._config.retries)

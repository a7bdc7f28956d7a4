"""Defines the REST transport: its traits, its server and its client."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from importlib.metadata import version

from shop.service import Service
from transports.base import Acceptance, Client, ServingStats, Setting, Style, Traits, Transport
from transports.dispatch import MessageProcessor
from transports.options import parse_options
from transports.rest.client import RestClient, ServiceCaller
from transports.rest.client_libraries import describe_versions, open_http_client
from transports.rest.config import Config
from transports.rest.server import build_application, run_server
from transports.security import BUYER, ENCRYPTED_LEVELS, build_client_context, build_server_context
from transports.tracing import Tracer
from transports.wire import load_codec
from transports.wire.compression import COMPRESSIONS


class RestTransport(Transport):
    traits = Traits(
        style=Style.CHAIN,
        accepted=Acceptance.ON_OUTCOME,
        survives={
            "fast": "D2: a service's death; every decision is committed and lies in the page cache of its machine",
            "safe": "D3: every service has fsynced its decision before it answers",
        },
        redelivers=False,
        ordered=True,
        concurrency="unbounded requests",
        browsers=True,
        compressions=frozenset(COMPRESSIONS),
        securities=ENCRYPTED_LEVELS,
        stamped=True,
        scales=True,
    )
    Config = Config

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self._config = parse_options("rest", setting.options, Config)
        self._codec = load_codec(setting.codec)

    def facts(self) -> Mapping[str, str]:
        return {
            "client": describe_versions(self._config),
            "server": f"uvicorn {version('uvicorn')}, fastapi {version('fastapi')}, httptools {version('httptools')}",
        }

    @asynccontextmanager
    async def serve(self, service: Service) -> AsyncIterator[ServingStats]:
        serving = ServingStats(Tracer(self.setting.trace_every))
        context = build_server_context(self.setting, service.name)
        async with MessageProcessor(service, serving.trace) as processor, self._open_caller(service.name) as ask:
            app = build_application(processor, serving, ask, self.setting)
            async with run_server(app, self.setting.own_address(service.name), self._config, context):
                yield serving

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Client]:
        async with self._open_caller(BUYER) as ask:
            yield RestClient(ask, self._codec)

    @asynccontextmanager
    async def _open_caller(self, role: str) -> AsyncIterator[ServiceCaller]:
        async with open_http_client(self._config, build_client_context(self.setting, role)) as post:
            yield ServiceCaller(post, self.setting, role, self._config.retries)

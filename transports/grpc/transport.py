"""Defines the gRPC transport: its traits, its server and its client."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from importlib.metadata import version

from shop.service import Service
from transports.base import Acceptance, Client, ServingStats, Setting, Style, Traits, Transport
from transports.dispatch import MessageProcessor
from transports.grpc.client import GrpcClient, open_caller
from transports.grpc.config import GRPC_COMPRESSIONS, Config
from transports.grpc.server import run_server
from transports.options import parse_options
from transports.security import BUYER, ENCRYPTED_LEVELS
from transports.tracing import Tracer
from transports.wire import load_codec


class GrpcTransport(Transport):
    traits = Traits(
        style=Style.CHAIN,
        accepted=Acceptance.ON_OUTCOME,
        survives={
            "fast": "D2: a service's death; every decision is committed and lies in the page cache of its machine",
            "safe": "D3: every service has fsynced its decision before it answers",
        },
        redelivers=False,
        ordered=True,
        concurrency="unbounded calls",
        compressions=frozenset(GRPC_COMPRESSIONS) - {"none"},
        securities=ENCRYPTED_LEVELS,
        stamped=True,
        scales=True,
        codec="protobuf",
    )
    Config = Config

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self._config = parse_options("grpc", setting.options, Config)

    def facts(self) -> Mapping[str, str]:
        return {"client": f"grpcio {version('grpcio')}", "server": f"grpcio {version('grpcio')}"}

    @asynccontextmanager
    async def serve(self, service: Service) -> AsyncIterator[ServingStats]:
        serving = ServingStats(Tracer(self.setting.trace_every))
        async with (
            MessageProcessor(service, serving.trace) as processor,
            open_caller(self.setting, service.name, self._config) as ask,
            run_server(processor, serving, ask, self.setting, self._config),
        ):
            yield serving

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Client]:
        async with open_caller(self.setting, BUYER, self._config) as ask:
            yield GrpcClient(ask, load_codec(self.setting.codec))

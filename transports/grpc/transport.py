"""gRPC as a transport: traits, and the parts joined."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from importlib.metadata import version

from shop.service import Service
from transports.base import Acceptance, Client, Serving, Setting, Style, Traits, Transport
from transports.dispatch import Desk
from transports.grpc.client import GrpcClient, asking
from transports.grpc.config import COMPRESSIONS, Config
from transports.grpc.server import listening
from transports.options import config_from
from transports.security import BUYER, SECURED
from transports.tracing import Trace
from transports.wire import codec_named


class GrpcTransport(Transport):
    traits = Traits(
        style=Style.CHAIN,
        accepted=Acceptance.ON_OUTCOME,
        survives={
            "fast": "D0: nothing survives a service process",
            "safe": "D3: every service has fsynced its decision before it answers",
        },
        redelivers=False,
        ordered=True,
        concurrency="unbounded calls",
        compressions=frozenset(COMPRESSIONS) - {"none"},
        securities=SECURED,
        stamped=True,
        scales=True,
        codec="protobuf",
    )
    Config = Config

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self._config = config_from("grpc", setting.options, Config)

    def facts(self) -> Mapping[str, str]:
        return {"client": f"grpcio {version('grpcio')}", "server": f"grpcio {version('grpcio')}"}

    @asynccontextmanager
    async def serve(self, service: Service) -> AsyncIterator[Serving]:
        serving = Serving(Trace(self.setting.trace_every))
        async with (
            Desk(service, serving.trace) as desk,
            asking(self.setting, service.name, self._config) as ask,
            listening(desk, serving, ask, self.setting, self._config),
        ):
            yield serving

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Client]:
        async with asking(self.setting, BUYER, self._config) as ask:
            yield GrpcClient(ask, codec_named(self.setting.codec))

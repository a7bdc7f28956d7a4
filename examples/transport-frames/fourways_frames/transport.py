"""Defines the frames transport: its traits, options, server and client."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from platform import python_version

import msgspec

from fourways_frames.client import FramesClient, open_caller
from fourways_frames.server import FrameServer, run_server
from shop.service import Service
from transports.base import Acceptance, Client, ServingStats, Setting, Style, Traits, Transport
from transports.dispatch import MessageProcessor
from transports.options import parse_options
from transports.tracing import Tracer
from transports.wire import load_codec


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of the frames transport: a profile's table [options.frames]."""

    backlog: int = 1024
    """Connections that may wait to be accepted by a service."""


class FramesTransport(Transport):
    traits = Traits(
        style=Style.CHAIN,
        accepted=Acceptance.ON_OUTCOME,
        survives={
            "fast": "D2: a service's death; every decision is committed and lies in the page cache of its machine",
            "safe": "D3: every service has fsynced its decision before it answers",
        },
        redelivers=False,
        ordered=True,
        concurrency="unbounded connections, an exchange on each",
        stamped=True,
    )
    Config = Config

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self._config = parse_options("frames", setting.options, Config)

    def facts(self) -> Mapping[str, str]:
        streams = f"asyncio streams of Python {python_version()}"
        return {"client": streams, "server": f"{streams}, backlog {self._config.backlog}"}

    @asynccontextmanager
    async def serve(self, service: Service) -> AsyncIterator[ServingStats]:
        setting = self.setting
        serving = ServingStats(Tracer(setting.trace_every))
        async with MessageProcessor(service, serving.trace) as processor, open_caller(setting) as ask:
            server = FrameServer(processor, serving, ask, setting)
            async with run_server(server, setting.addresses[service.name], self._config.backlog):
                yield serving

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Client]:
        async with open_caller(self.setting) as ask:
            yield FramesClient(ask, load_codec(self.setting.codec))

"""Frames on TCP as a transport: traits, settings, and the parts joined."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from platform import python_version

import msgspec

from fourways_frames.client import FramesClient, asking
from fourways_frames.server import Server, listening
from shop.service import Service
from transports.base import Acceptance, Client, Serving, Setting, Style, Traits, Transport
from transports.dispatch import Desk
from transports.options import config_from
from transports.tracing import Trace
from transports.wire import codec_named


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What can be set: a profile's table [options.frames]."""

    backlog: int = 1024
    """Connections that may wait to be accepted by a service."""


class FramesTransport(Transport):
    traits = Traits(
        style=Style.CHAIN,
        accepted=Acceptance.ON_OUTCOME,
        survives={
            "fast": "D0: nothing survives a service process",
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
        self._config = config_from("frames", setting.options, Config)

    def facts(self) -> Mapping[str, str]:
        streams = f"asyncio streams of Python {python_version()}"
        return {"client": streams, "server": f"{streams}, backlog {self._config.backlog}"}

    @asynccontextmanager
    async def serve(self, service: Service) -> AsyncIterator[Serving]:
        setting = self.setting
        serving = Serving(Trace(setting.trace_every))
        async with Desk(service, serving.trace) as desk, asking(setting) as ask:
            server = Server(desk, serving, ask, setting)
            async with listening(server, setting.addresses[service.name], self._config.backlog):
                yield serving

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Client]:
        async with asking(self.setting) as ask:
            yield FramesClient(ask, codec_named(self.setting.codec))

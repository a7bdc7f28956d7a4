"""A chain of function calls, through the same codec and the same relay as the others."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec

from shop.messages import KIND, Message, PlaceOrder
from shop.service import Service
from shop.workflow import FRONT
from transports.base import Acceptance, Client, Receipt, Serving, Setting, Style, Traits, Transport
from transports.dispatch import Desk, answer, told
from transports.errors import NoOutcome, TooLarge, Unreachable, Unreadable
from transports.options import config_from
from transports.tracing import Trace
from transports.wire import codec_named


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Nothing to set."""


class MemoryTransport(Transport):
    traits = Traits(
        style=Style.CHAIN,
        accepted=Acceptance.ON_OUTCOME,
        survives={"fast": "D0: nothing survives the process", "safe": "D3: each service's own fsync"},
        redelivers=False,
        ordered=True,
        concurrency="unbounded",
        stamped=True,
        in_process=True,
    )
    Config = Config

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        config_from("memory", setting.options, Config)
        self.codec = codec_named(setting.codec)
        self._desks: dict[str, tuple[Desk, Serving]] = {}

    @asynccontextmanager
    async def serve(self, service: Service) -> AsyncIterator[Serving]:
        serving = Serving(Trace(self.setting.trace_every))
        async with Desk(service, serving.trace) as desk:
            self._desks[service.name] = desk, serving
            try:
                yield serving
            finally:
                del self._desks[service.name]

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Client]:
        yield _MemoryClient(self)

    async def ask(self, consumer: str, message: Message, limit_bytes: int) -> bytes:
        """What a chain does between two processes, without the wire between them."""
        body = self.codec.encode(message)
        if len(body) > limit_bytes:
            raise TooLarge(len(body), limit_bytes)
        if consumer not in self._desks:
            raise Unreachable(f"no service {consumer!r} is served in this process")
        desk, serving = self._desks[consumer]
        arrived_ns = time.monotonic_ns()
        try:
            received = self.codec.decode(KIND[type(message)], body)
        except Unreadable:
            serving.unreadable += 1
            raise
        content = await answer(desk, self.codec, received, self._onward, arrived_ns)
        serving.handled += 1
        return content

    async def _onward(self, consumer: str, message: Message) -> bytes:
        return await self.ask(consumer, message, self.setting.max_message_bytes)


class _MemoryClient(Client):
    def __init__(self, transport: MemoryTransport) -> None:
        self._transport = transport

    async def submit(self, order: PlaceOrder) -> Receipt:
        setting = self._transport.setting
        try:
            async with asyncio.timeout(setting.deadline_s):
                content = await self._transport.ask(FRONT, order, setting.max_order_bytes)
        except TimeoutError as error:
            raise NoOutcome(f"no answer within {setting.deadline_s} s") from error
        return told(self._transport.codec, content)

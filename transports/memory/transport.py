"""Calls services as functions in one process, with the codec and dispatch of the others."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec

from shop.messages import KIND_BY_TYPE, Message, PlaceOrder
from shop.service import Service
from shop.workflow import ENTRY_SERVICE
from transports.base import Acceptance, Client, Receipt, ServingStats, Setting, Style, Traits, Transport
from transports.dispatch import MessageProcessor, OrdersInHand, decode_receipt, handle_in_chain
from transports.errors import NoOutcome, TooLarge, TransportError, Unreachable, Unreadable
from transports.options import parse_options
from transports.tracing import Tracer
from transports.wire import load_codec


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The memory transport has no options."""


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
        parse_options("memory", setting.options, Config)
        self.codec = load_codec(setting.codec)
        self._processors: dict[str, tuple[MessageProcessor, ServingStats]] = {}
        self.in_hand = OrdersInHand()
        """The orders of all buyers, which go on when their buyer has gone."""

    @asynccontextmanager
    async def serve(self, service: Service) -> AsyncIterator[ServingStats]:
        serving = ServingStats(Tracer(self.setting.trace_every))
        async with MessageProcessor(service, serving.trace) as processor:
            self._processors[service.name] = processor, serving
            try:
                yield serving
            finally:
                await self.in_hand.finish()
                del self._processors[service.name]

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Client]:
        yield _MemoryClient(self)

    async def ask(self, consumer: str, message: Message, limit_bytes: int) -> bytes:
        """Encodes the message, lets ``consumer`` handle it in this process, and returns the encoded answer.

        Raises TooLarge, Unreachable when the service is not served here, and any other of transports.errors.
        """
        body = self.codec.encode(message)
        if len(body) > limit_bytes:
            raise TooLarge(len(body), limit_bytes)
        if consumer not in self._processors:
            raise Unreachable(f"no service {consumer!r} is served in this process")
        processor, serving = self._processors[consumer]
        arrived_ns = time.monotonic_ns()
        try:
            received = self.codec.decode(KIND_BY_TYPE[type(message)], body)
        except Unreadable:
            serving.unreadable += 1
            raise
        try:
            content = await handle_in_chain(processor, self.codec, received, self._ask_next, arrived_ns)
        except TransportError:
            serving.failed += 1
            raise
        serving.handled += 1
        return content

    async def _ask_next(self, consumer: str, message: Message) -> bytes:
        return await self.ask(consumer, message, self.setting.max_message_bytes)


class _MemoryClient(Client):
    def __init__(self, transport: MemoryTransport) -> None:
        self._transport = transport

    async def submit(self, order: PlaceOrder) -> Receipt:
        setting = self._transport.setting
        try:
            async with asyncio.timeout(setting.deadline_s):
                work = self._transport.ask(ENTRY_SERVICE, order, setting.max_order_bytes)
                content = await self._transport.in_hand.run(work)
        except TimeoutError as error:
            raise NoOutcome(f"no answer within {setting.deadline_s} s") from error
        return decode_receipt(self._transport.codec, content)

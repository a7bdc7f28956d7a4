"""Calls services over TCP frames, and submits orders as the buyer."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fourways_frames.frame import FrameStatus, build_frame, read_frame
from shop.messages import Message, PlaceOrder
from shop.workflow import ENTRY_SERVICE, SERVICES
from transports.base import Client, Receipt, Setting
from transports.dispatch import decode_receipt
from transports.errors import Failed, NoOutcome, NotAccepted, TooLarge, TransportError, Unreachable
from transports.wire import Codec, load_codec

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]

_ERROR_BY_STATUS: dict[FrameStatus, type[TransportError]] = {
    FrameStatus.REFUSED: NotAccepted,
    FrameStatus.LATE: NoOutcome,
    FrameStatus.FAILED: Failed,
}


class ServiceCaller:
    """Calls services over TCP: ``await caller(service, message)`` returns the encoded answer.

    Raises any of transports.errors.
    """

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._codec = load_codec(setting.codec)
        self._idle: dict[str, list[Stream]] = {service: [] for service in SERVICES}

    async def __call__(self, service: str, message: Message) -> bytes:
        setting, body = self._setting, self._codec.encode(message)
        limit_bytes = setting.max_order_bytes if service == ENTRY_SERVICE else setting.max_message_bytes
        if len(body) > limit_bytes:
            raise TooLarge(len(body), limit_bytes)
        try:
            async with asyncio.timeout(setting.deadline_s), self._stream(service) as (reader, writer):
                writer.write(build_frame(FrameStatus.MESSAGE, body))
                await writer.drain()
                status, content = await read_frame(reader)
        except TimeoutError as error:
            raise NoOutcome(f"{service} did not answer within {setting.deadline_s:g} s") from error
        except (OSError, EOFError) as error:
            raise Unreachable(f"{service} cannot be reached: {error}") from error
        except ValueError as error:
            raise Failed(f"{service} answered with what is no frame: {error}") from error
        if status is not FrameStatus.MESSAGE:
            raise _ERROR_BY_STATUS[status](f"{service}: {content.decode(errors='replace')}")
        return content

    @asynccontextmanager
    async def _stream(self, service: str) -> AsyncIterator[Stream]:
        """Opens or reuses a connection for one exchange, and keeps it afterwards.

        A connection on which the exchange failed is closed: its answer could still come.
        """
        idle = self._idle[service]
        while idle and idle[-1][0].at_eof():
            idle.pop()[1].close()
        if idle:
            stream = idle.pop()
        else:
            host, _, port = self._setting.addresses[service].rpartition(":")
            stream = await asyncio.open_connection(host, int(port))
        try:
            yield stream
        except BaseException:
            stream[1].close()
            raise
        idle.append(stream)

    def close(self) -> None:
        for idle in self._idle.values():
            for _, writer in idle:
                writer.close()


@asynccontextmanager
async def open_caller(setting: Setting) -> AsyncIterator[ServiceCaller]:
    ask = ServiceCaller(setting)
    try:
        yield ask
    finally:
        ask.close()


class FramesClient(Client):
    def __init__(self, ask: ServiceCaller, codec: Codec) -> None:
        self._ask = ask
        self._codec = codec

    async def submit(self, order: PlaceOrder) -> Receipt:
        return decode_receipt(self._codec, await self._ask(ENTRY_SERVICE, order))

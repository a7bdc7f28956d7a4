"""Asking a service over gRPC, and the buyer who does."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import grpc

from shop.messages import Message, PlaceOrder
from shop.workflow import FRONT
from transports.base import Client, Receipt, Setting
from transports.errors import Failed, NoOutcome, NotAccepted, TooLarge, TransportError, Unreachable
from transports.grpc.config import channel_options
from transports.grpc.methods import CODEC_METADATA, METHODS
from transports.relay import told
from transports.wire import Codec, codec_named


class Asker:
    """``await asker(service, message)`` is the answer, encoded. Raises any of transports.errors."""

    def __init__(self, channels: dict[str, grpc.aio.Channel], setting: Setting) -> None:
        self._codec = codec_named(setting.codec)
        self._deadline_s = setting.deadline_s
        self._limit_bytes = setting.max_message_bytes
        self._metadata = None if setting.codec == "protobuf" else ((CODEC_METADATA, setting.codec),)
        self._call = {
            service: channel.unary_unary(METHODS[service].path, None, None) for service, channel in channels.items()
        }

    async def __call__(self, service: str, message: Message) -> bytes:
        body = self._codec.encode(message)
        try:
            content: bytes = await self._call[service](body, timeout=self._deadline_s, metadata=self._metadata)
        except grpc.aio.AioRpcError as error:
            raise self._translated(error, service, len(body)) from error
        return content

    def _translated(self, error: grpc.aio.AioRpcError, service: str, size_bytes: int) -> TransportError:
        code, detail = error.code(), error.details() or error.code().name
        if code is grpc.StatusCode.RESOURCE_EXHAUSTED:
            return TooLarge(size_bytes, self._limit_bytes)
        if code is grpc.StatusCode.INVALID_ARGUMENT:
            return NotAccepted(f"{service} refused the message: {detail}")
        if code is grpc.StatusCode.UNAVAILABLE:
            return Unreachable(f"{service} cannot be reached: {detail}")
        if code is grpc.StatusCode.DEADLINE_EXCEEDED:
            return NoOutcome(f"{service} did not answer within {self._deadline_s:g} s")
        return Failed(f"{service} answered {code.name}: {detail}")


@asynccontextmanager
async def asking(setting: Setting, services: tuple[str, ...]) -> AsyncIterator[Asker]:
    """One channel per service asked."""
    options = channel_options(setting.max_message_bytes)
    async with AsyncExitStack() as stack:
        channels = {
            service: await stack.enter_async_context(grpc.aio.insecure_channel(setting.addresses[service], options))
            for service in services
        }
        yield Asker(channels, setting)


class GrpcClient(Client):
    def __init__(self, ask: Asker, codec: Codec) -> None:
        self._ask = ask
        self._codec = codec

    async def submit(self, order: PlaceOrder) -> Receipt:
        return told(self._codec, await self._ask(FRONT, order))

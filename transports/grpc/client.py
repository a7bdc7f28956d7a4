"""Asking a service over gRPC, and the buyer who does."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import grpc

from shop.messages import Message, PlaceOrder
from shop.workflow import FRONT
from transports.base import Client, Receipt, Setting
from transports.dispatch import told
from transports.errors import Denied, Failed, NoOutcome, NotAccepted, TooLarge, TransportError, Unreachable
from transports.grpc.config import COMPRESSIONS, Config, channel_options
from transports.grpc.credentials import channel
from transports.grpc.methods import CODEC_METADATA, METHODS
from transports.retry import reached
from transports.security import asked_by, bearer
from transports.wire import Codec, codec_named

Metadata = tuple[tuple[str, str], ...]


class Asker:
    """``await asker(service, message)`` is the answer, encoded. Raises any of transports.errors."""

    def __init__(self, channels: dict[str, grpc.aio.Channel], setting: Setting, role: str, retries: int = 0) -> None:
        """``role`` is who asks."""
        self._codec = codec_named(setting.codec)
        self._deadline_s = setting.deadline_s
        self._retries = retries
        self._limit_bytes = setting.max_message_bytes
        self._metadata = {service: _metadata(setting, role, service) for service in channels}
        self._call = {
            service: channel.unary_unary(METHODS[service].path, None, None) for service, channel in channels.items()
        }
        self._compression = COMPRESSIONS[setting.compression]

    async def __call__(self, service: str, message: Message) -> bytes:
        body = self._codec.encode(message)
        if not self._retries:
            return await self._asked(service, body, self._metadata[service], self._deadline_s)
        metadata = (*(self._metadata[service] or ()), ("idempotency-key", message.order.order_id))
        return await reached(
            lambda within_s: self._asked(service, body, metadata, within_s), self._retries, self._deadline_s
        )

    async def _asked(self, service: str, body: bytes, metadata: Metadata | None, within_s: float) -> bytes:
        try:
            content: bytes = await self._call[service](
                body, timeout=within_s, metadata=metadata, compression=self._compression
            )
        except grpc.aio.AioRpcError as error:
            raise self._translated(error, service, len(body)) from error
        return content

    def _translated(self, error: grpc.aio.AioRpcError, service: str, size_bytes: int) -> TransportError:
        code, detail = error.code(), error.details() or error.code().name
        if code is grpc.StatusCode.RESOURCE_EXHAUSTED:
            return TooLarge(size_bytes, self._limit_bytes)
        if code is grpc.StatusCode.INVALID_ARGUMENT:
            return NotAccepted(f"{service} refused the message: {detail}")
        if code in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED):
            return Denied(f"{service} refused whoever asked: {detail}")
        if code is grpc.StatusCode.UNAVAILABLE:
            return Unreachable(f"{service} cannot be reached: {detail}")
        if code is grpc.StatusCode.DEADLINE_EXCEEDED:
            return NoOutcome(f"{service} did not answer within {self._deadline_s:g} s")
        return Failed(f"{service} answered {code.name}: {detail}")


def _metadata(setting: Setting, role: str, service: str) -> Metadata | None:
    """Of every call of that role to that service."""
    codec = () if setting.codec == "protobuf" else ((CODEC_METADATA, setting.codec),)
    return (*codec, *bearer(setting, role, service).items()) or None


_IN_TURNS = '{"loadBalancingConfig":[{"round_robin":{}}]}'


def target_of(setting: Setting, service: str) -> str:
    """All its processes, for the channel to take in turns: by itself it keeps to one connection."""
    addresses = setting.addresses_of(service)
    return addresses[0] if len(addresses) == 1 else f"ipv4:{','.join(addresses)}"


@asynccontextmanager
async def asking(setting: Setting, role: str, config: Config) -> AsyncIterator[Asker]:
    """One channel per service that the role asks."""
    options: list[tuple[str, int | str]] = [*channel_options(setting.max_message_bytes)]
    if setting.processes > 1:
        # Several addresses are no host, and a certificate is one's of a host.
        options += [("grpc.service_config", _IN_TURNS), ("grpc.default_authority", "127.0.0.1")]
    async with AsyncExitStack() as stack:
        channels = {
            service: await stack.enter_async_context(channel(setting, role, target_of(setting, service), options))
            for service in asked_by(role)
        }
        yield Asker(channels, setting, role, config.retries)


class GrpcClient(Client):
    def __init__(self, ask: Asker, codec: Codec) -> None:
        self._ask = ask
        self._codec = codec

    async def submit(self, order: PlaceOrder) -> Receipt:
        return told(self._codec, await self._ask(FRONT, order))

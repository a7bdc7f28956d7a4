"""Calls services over gRPC, and submits orders as the buyer."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import grpc

from shop.messages import Message, PlaceOrder
from shop.workflow import ENTRY_SERVICE
from transports.base import Client, Receipt, Setting
from transports.dispatch import decode_receipt
from transports.errors import (
    ContentConflict,
    Denied,
    Failed,
    NoOutcome,
    NotAccepted,
    TooLarge,
    TransportError,
    Unavailable,
    Unreachable,
)
from transports.grpc.config import GRPC_COMPRESSIONS, Config, build_channel_options
from transports.grpc.credentials import open_channel
from transports.grpc.methods import CODEC_METADATA, METHODS, PUSHBACK_METADATA
from transports.retry import retry_unreachable
from transports.security import build_bearer_header, list_callable_services
from transports.wire import Codec, load_codec

Metadata = tuple[tuple[str, str], ...]


class ServiceCaller:
    """Calls services over gRPC: ``await caller(service, message)`` returns the encoded answer.

    Raises any of transports.errors.
    """

    def __init__(self, channels: dict[str, grpc.aio.Channel], setting: Setting, role: str, retries: int = 0) -> None:
        """``role`` is the role that calls."""
        self._codec = load_codec(setting.codec)
        self._deadline_s = setting.deadline_s
        self._retries = retries
        self._limit_bytes = setting.max_message_bytes
        self._metadata = {service: _build_metadata(setting, role, service) for service in channels}
        self._call = {
            service: channel.unary_unary(METHODS[service].path, None, None) for service, channel in channels.items()
        }
        self._compression = GRPC_COMPRESSIONS[setting.compression]

    async def __call__(self, service: str, message: Message) -> bytes:
        body = self._codec.encode(message)
        if not self._retries:
            return await self._asked(service, body, self._metadata[service], self._deadline_s)
        metadata = (*(self._metadata[service] or ()), ("idempotency-key", message.order.order_id))
        return await retry_unreachable(
            lambda within_s: self._asked(service, body, metadata, within_s), self._retries, self._deadline_s
        )

    async def _asked(self, service: str, body: bytes, metadata: Metadata | None, within_s: float) -> bytes:
        try:
            content: bytes = await self._call[service](
                body, timeout=within_s, metadata=metadata, compression=self._compression
            )
        except grpc.aio.AioRpcError as error:
            raise self._translate_error(error, service, len(body)) from error
        return content

    def _translate_error(self, error: grpc.aio.AioRpcError, service: str, size_bytes: int) -> TransportError:
        code, detail = error.code(), error.details() or error.code().name
        trailing: Any = error.trailing_metadata() or ()  # a mapping, of which grpc-stubs knows nothing
        if code is grpc.StatusCode.UNAVAILABLE and PUSHBACK_METADATA in trailing:
            return Unavailable(detail)
        translate = _ERROR_BY_CODE.get(code)
        if translate is not None:
            return translate(service, detail)
        if code is grpc.StatusCode.RESOURCE_EXHAUSTED:
            return TooLarge(size_bytes, self._limit_bytes)
        if code is grpc.StatusCode.DEADLINE_EXCEEDED:
            return NoOutcome(f"{service} did not answer within {self._deadline_s:g} s")
        return Failed(f"{service} answered {code.name}: {detail}")


def _deny(service: str, detail: str) -> TransportError:
    return Denied(f"{service} refused whoever asked: {detail}")


_ERROR_BY_CODE: Mapping[grpc.StatusCode, Callable[[str, str], TransportError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: lambda service, detail: NotAccepted(f"{service} refused the message: {detail}"),
    grpc.StatusCode.ALREADY_EXISTS: lambda _, detail: ContentConflict(detail),
    grpc.StatusCode.UNAUTHENTICATED: _deny,
    grpc.StatusCode.PERMISSION_DENIED: _deny,
    grpc.StatusCode.UNAVAILABLE: lambda service, detail: Unreachable(f"{service} cannot be reached: {detail}"),
}


def _build_metadata(setting: Setting, role: str, service: str) -> Metadata | None:
    """Returns the metadata of every call of ``role`` to ``service``, or None."""
    codec = () if setting.codec == "protobuf" else ((CODEC_METADATA, setting.codec),)
    return (*codec, *build_bearer_header(setting, role, service).items()) or None


_ROUND_ROBIN = '{"loadBalancingConfig":[{"round_robin":{}}]}'


def build_target(setting: Setting, service: str) -> str:
    """Returns the gRPC target with all processes of ``service``, so that the channel can balance between them."""
    addresses = setting.addresses_of(service)
    return addresses[0] if len(addresses) == 1 else f"ipv4:{','.join(addresses)}"


@asynccontextmanager
async def open_caller(setting: Setting, role: str, config: Config) -> AsyncIterator[ServiceCaller]:
    """Opens one channel per service that ``role`` calls, and gives a caller on them."""
    options: list[tuple[str, int | str]] = [*build_channel_options(setting.max_message_bytes)]
    if setting.processes > 1:
        # Several addresses are no host, and a certificate is one's of a host.
        options += [("grpc.service_config", _ROUND_ROBIN), ("grpc.default_authority", "127.0.0.1")]
    async with AsyncExitStack() as stack:
        channels = {
            service: await stack.enter_async_context(
                open_channel(setting, role, build_target(setting, service), options)
            )
            for service in list_callable_services(role)
        }
        yield ServiceCaller(channels, setting, role, config.retries)


class GrpcClient(Client):
    def __init__(self, ask: ServiceCaller, codec: Codec) -> None:
        self._ask = ask
        self._codec = codec

    async def submit(self, order: PlaceOrder) -> Receipt:
        return decode_receipt(self._codec, await self._ask(ENTRY_SERVICE, order))

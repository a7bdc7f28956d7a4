"""Serves one service on grpc.aio: one unary method, reflection and health."""

import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
from grpc_health.v1 import _async as health_aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from shop.workflow import ENTRY_SERVICE
from transports.base import ServingStats, Setting
from transports.dispatch import MessageProcessor, OrdersInHand, handle_in_chain
from transports.errors import (
    ContentConflict,
    Failed,
    NoOutcome,
    NotAccepted,
    TooLarge,
    TransportError,
    Unavailable,
    Unreachable,
    Unreadable,
)
from transports.grpc.client import ServiceCaller
from transports.grpc.config import (
    GRPC_COMPRESSIONS,
    Config,
    build_channel_options,
    build_decompression_option,
    build_idle_options,
)
from transports.grpc.credentials import add_port
from transports.grpc.methods import CODEC_METADATA, METHODS, PUSHBACK_METADATA, RpcMethod
from transports.grpc.reflection import enable_reflection
from transports.retry import RETRY_AFTER_S
from transports.security import AccessGuard, Forbidden, Unauthenticated, build_guard
from transports.wire import load_codec

_log = logging.getLogger(__name__)

_PUSHBACK = ((PUSHBACK_METADATA, str(RETRY_AFTER_S * 1000)),)

_STATUS_BY_ERROR: tuple[tuple[type[TransportError], grpc.StatusCode], ...] = (
    (Unreadable, grpc.StatusCode.INVALID_ARGUMENT),
    (TooLarge, grpc.StatusCode.RESOURCE_EXHAUSTED),
    (ContentConflict, grpc.StatusCode.ALREADY_EXISTS),
    (NotAccepted, grpc.StatusCode.INTERNAL),
    (NoOutcome, grpc.StatusCode.DEADLINE_EXCEEDED),
    (Unreachable, grpc.StatusCode.INTERNAL),  # not UNAVAILABLE: the service that answers this is there
    (Unavailable, grpc.StatusCode.UNAVAILABLE),
    (Failed, grpc.StatusCode.INTERNAL),
)


@asynccontextmanager
async def run_server(
    processor: MessageProcessor, serving: ServingStats, ask: ServiceCaller, setting: Setting, config: Config
) -> AsyncIterator[None]:
    """Runs the gRPC server of a service until exit, and then finishes the orders in hand.

    Raises Unreachable when the port is taken.
    """
    name = processor.service.name
    address = setting.own_address(name)
    limit_bytes = setting.max_order_bytes if name == ENTRY_SERVICE else setting.max_message_bytes
    # Without so_reuseport=0 two servers would share a taken port in silence.
    server = grpc.aio.server(
        options=[
            *build_channel_options(limit_bytes),
            *build_idle_options(config.idle_s),
            build_decompression_option(setting.compression),
            ("grpc.so_reuseport", 0),
        ],
        compression=GRPC_COMPRESSIONS[setting.compression],
    )
    method, in_hand = METHODS[name], OrdersInHand()
    server.add_generic_rpc_handlers((_build_handlers(method, processor, serving, ask, setting, in_hand),))
    healthy = health_aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(healthy, server)
    enable_reflection(server, method.service, health.SERVICE_NAME)
    try:
        add_port(server, address, setting, name)
    except RuntimeError as error:
        raise Unreachable(f"cannot listen on {address}: the port is taken; choose another port") from error
    await server.start()
    for known in ("", method.service):
        await healthy.set(known, health_pb2.HealthCheckResponse.SERVING)
    try:
        yield
    finally:
        await healthy.enter_graceful_shutdown()
        await server.stop(config.stop_grace_s)
        await in_hand.finish()


def _build_handlers(
    method: RpcMethod,
    processor: MessageProcessor,
    serving: ServingStats,
    ask: ServiceCaller,
    setting: Setting,
    in_hand: OrdersInHand,
) -> "grpc.GenericRpcHandler[bytes, bytes]":
    """Returns the handler of the service's one method; bodies stay bytes for grpc, so that every codec can be used."""
    codec, guard = load_codec(setting.codec), build_guard(setting, processor.service.name)

    async def carry_on(body: bytes, arrived_ns: int) -> bytes:
        try:
            content = await handle_in_chain(processor, codec, codec.decode(method.kind, body), ask, arrived_ns)
        except TransportError as error:
            if isinstance(error, Unreadable):
                serving.unreadable += 1
            else:
                serving.failed += 1
            raise
        serving.handled += 1
        return content

    async def take(body: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        arrived_ns = time.monotonic_ns()
        if guard is not None:
            await _check_authorization(guard, context)
        try:
            # grpc.aio cancels this handler when its caller has gone, be it between a charge and its shipment.
            return await in_hand.run(carry_on(body, arrived_ns))
        except TransportError as error:
            code = next(code for known, code in _STATUS_BY_ERROR if isinstance(error, known))
            detail = str(error) + (_describe_stated_codec(context) if isinstance(error, Unreadable) else "")
            await context.abort(code, detail, _PUSHBACK if isinstance(error, Unavailable) else ())

    return grpc.method_handlers_generic_handler(
        method.service, {method.name: grpc.unary_unary_rpc_method_handler(take)}
    )


async def _check_authorization(guard: AccessGuard, context: grpc.aio.ServicerContext[bytes, bytes]) -> None:
    """Aborts the call if its caller may not make it."""
    try:
        guard.check(_read_metadata(context, "authorization"))
    except (Unauthenticated, Forbidden) as error:
        _log.warning("refused a call: %s", error)
        known = isinstance(error, Forbidden)
        code = grpc.StatusCode.PERMISSION_DENIED if known else grpc.StatusCode.UNAUTHENTICATED
        await context.abort(code, str(error))


def _read_metadata(context: grpc.aio.ServicerContext[bytes, bytes], key: str) -> str | None:
    stated = dict(context.invocation_metadata() or ()).get(key)
    return None if stated is None else str(stated)


def _describe_stated_codec(context: grpc.aio.ServicerContext[bytes, bytes]) -> str:
    stated = _read_metadata(context, CODEC_METADATA)
    return "" if stated is None else f" (the caller says {CODEC_METADATA}: {stated})"

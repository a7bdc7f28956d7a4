"""A service on grpc.aio: one unary method, reflection and health beside it."""

import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
from grpc_health.v1 import _async as health_aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from shop.workflow import FRONT
from transports.base import Serving, Setting
from transports.dispatch import Desk, answer
from transports.errors import Failed, NoOutcome, NotAccepted, TooLarge, TransportError, Unreachable, Unreadable
from transports.grpc.client import Asker
from transports.grpc.config import COMPRESSIONS, Config, channel_options, idle, readable
from transports.grpc.credentials import listen
from transports.grpc.methods import CODEC_METADATA, METHODS, Method
from transports.security import Forbidden, Guard, Unauthenticated, guard_of
from transports.wire import codec_named

_log = logging.getLogger(__name__)

_STATUS: tuple[tuple[type[TransportError], grpc.StatusCode], ...] = (
    (Unreadable, grpc.StatusCode.INVALID_ARGUMENT),
    (TooLarge, grpc.StatusCode.RESOURCE_EXHAUSTED),
    (NotAccepted, grpc.StatusCode.INTERNAL),
    (NoOutcome, grpc.StatusCode.DEADLINE_EXCEEDED),
    (Unreachable, grpc.StatusCode.INTERNAL),  # not UNAVAILABLE: the service that answers this is there
    (Failed, grpc.StatusCode.INTERNAL),
)


@asynccontextmanager
async def listening(desk: Desk, serving: Serving, ask: Asker, setting: Setting, config: Config) -> AsyncIterator[None]:
    """Raises Unreachable when the port is taken."""
    name = desk.service.name
    address = setting.own_address(name)
    limit_bytes = setting.max_order_bytes if name == FRONT else setting.max_message_bytes
    # Without so_reuseport=0 two servers would share a taken port in silence.
    server = grpc.aio.server(
        options=[
            *channel_options(limit_bytes),
            *idle(config.idle_s),
            readable(setting.compression),
            ("grpc.so_reuseport", 0),
        ],
        compression=COMPRESSIONS[setting.compression],
    )
    method = METHODS[name]
    server.add_generic_rpc_handlers((_handlers(method, desk, serving, ask, setting),))
    healthy = health_aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(healthy, server)
    reflection.enable_server_reflection((method.service, health.SERVICE_NAME, reflection.SERVICE_NAME), server)
    try:
        listen(server, address, setting, name)
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


def _handlers(
    method: Method, desk: Desk, serving: Serving, ask: Asker, setting: Setting
) -> "grpc.GenericRpcHandler[bytes, bytes]":
    """Bodies stay bytes as far as grpc knows, so that every codec can travel."""
    codec, guard = codec_named(setting.codec), guard_of(setting, desk.service.name)

    async def take(body: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        arrived_ns = time.monotonic_ns()
        if guard is not None:
            await _checked(guard, context)
        try:
            content = await answer(desk, codec, codec.decode(method.kind, body), ask, arrived_ns)
        except TransportError as error:
            detail = str(error)
            if isinstance(error, Unreadable):
                serving.unreadable += 1
                detail += _stated_codec(context)
            else:
                serving.failed += 1
            await context.abort(next(code for known, code in _STATUS if isinstance(error, known)), detail)
        serving.handled += 1
        return content

    return grpc.method_handlers_generic_handler(
        method.service, {method.name: grpc.unary_unary_rpc_method_handler(take)}
    )


async def _checked(guard: Guard, context: grpc.aio.ServicerContext[bytes, bytes]) -> None:
    """Ends the call of whoever may not make it."""
    try:
        guard.check(_stated(context, "authorization"))
    except (Unauthenticated, Forbidden) as error:
        _log.warning("refused a call: %s", error)
        known = isinstance(error, Forbidden)
        code = grpc.StatusCode.PERMISSION_DENIED if known else grpc.StatusCode.UNAUTHENTICATED
        await context.abort(code, str(error))


def _stated(context: grpc.aio.ServicerContext[bytes, bytes], key: str) -> str | None:
    stated = dict(context.invocation_metadata() or ()).get(key)
    return None if stated is None else str(stated)


def _stated_codec(context: grpc.aio.ServicerContext[bytes, bytes]) -> str:
    stated = _stated(context, CODEC_METADATA)
    return "" if stated is None else f" (the caller says {CODEC_METADATA}: {stated})"

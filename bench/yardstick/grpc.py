"""Bare gRPC chain on grpc.aio: one generic unary handler that passes bytes on.

It has neither reflection nor health checks.
"""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc

from bench.yardstick import PassBody
from bench.yardstick.route import next_service
from shop.workflow import ENTRY_SERVICE
from transports.base import Setting
from transports.grpc.config import Config, build_channel_options

_SERVICE, _METHOD = "bare.Chain", "Pass"
_PATH = f"/{_SERVICE}/{_METHOD}"


@asynccontextmanager
async def serve(service: str, setting: Setting) -> AsyncIterator[None]:
    onward = next_service(service)
    options = build_channel_options(setting.max_message_bytes)
    server = grpc.aio.server(options=[*options, ("grpc.so_reuseport", 0)])
    async with grpc.aio.insecure_channel(setting.addresses[onward or service], options) as channel:
        ask = channel.unary_unary(_PATH, None, None)

        async def take(body: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
            answer: bytes = await ask(body)
            return answer

        async def end(body: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
            return body

        handler = grpc.unary_unary_rpc_method_handler(end if onward is None else take)
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_SERVICE, {_METHOD: handler}),))
        server.add_insecure_port(setting.addresses[service])
        await server.start()
        try:
            yield
        finally:
            await server.stop(Config().stop_grace_s)


@asynccontextmanager
async def connect(setting: Setting) -> AsyncIterator[PassBody]:
    options = build_channel_options(setting.max_message_bytes)
    async with grpc.aio.insecure_channel(setting.addresses[ENTRY_SERVICE], options) as channel:
        ask = channel.unary_unary(_PATH, None, None)

        async def pass_(key: str, body: bytes) -> tuple[bytes, int]:
            return await ask(body), time.monotonic_ns()

        yield pass_

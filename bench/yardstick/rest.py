"""Bare REST chain on Starlette: one plain route that posts the body on with aiohttp.

It answers with what came back; uvicorn serves it.
"""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from yarl import URL

from bench.yardstick import PassBody
from bench.yardstick.route import next_service
from shop.workflow import ENTRY_SERVICE
from transports.base import Setting
from transports.rest.config import Config
from transports.rest.server import run_server

_JSON = "application/json"
_HEADERS = {"content-type": _JSON}


@asynccontextmanager
async def serve(service: str, setting: Setting) -> AsyncIterator[None]:
    onward = next_service(service)
    async with _session(setting) as session:
        url = _url(setting, onward or service)

        async def take(request: Request) -> Response:
            async with session.post(url, data=await request.body(), headers=_HEADERS) as response:
                return Response(await response.read(), media_type=_JSON)

        async def end(request: Request) -> Response:
            return Response(await request.body(), media_type=_JSON)

        app = Starlette(routes=[Route("/pass", end if onward is None else take, methods=["POST"])])
        async with run_server(app, setting.addresses[service], Config()):
            yield


@asynccontextmanager
async def connect(setting: Setting) -> AsyncIterator[PassBody]:
    url = _url(setting, ENTRY_SERVICE)
    async with _session(setting) as session:

        async def pass_(key: str, body: bytes) -> tuple[bytes, int]:
            async with session.post(url, data=body, headers=_HEADERS) as response:
                return await response.read(), time.monotonic_ns()

        yield pass_


def _session(setting: Setting) -> aiohttp.ClientSession:
    """Returns a session configured as that of transports.rest.client_libraries."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=Config().idle_s),
        timeout=aiohttp.ClientTimeout(total=setting.deadline_s),
        cookie_jar=aiohttp.DummyCookieJar(),
    )


def _url(setting: Setting, service: str) -> URL:
    return URL(f"http://{setting.addresses[service]}/pass")

"""Bare REST chain on FastAPI: one route that posts the body on with aiohttp.

It answers with what came back; uvicorn serves it.
"""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from fastapi import FastAPI, Request, Response
from yarl import URL

from bench.calibration.baseline.bare import PassBody
from bench.calibration.baseline.bare.route import next_service
from shop.workflow import ENTRY_SERVICE
from transports.base import Setting
from transports.rest.config import Config
from transports.rest.server import run_server

_JSON = "application/json"
_HEADERS = {"content-type": _JSON}


@asynccontextmanager
async def serve(service: str, setting: Setting) -> AsyncIterator[None]:
    app = FastAPI()
    onward = next_service(service)
    async with _session(setting) as session:
        if onward is None:

            @app.post("/pass")
            async def end(request: Request) -> Response:
                return Response(await request.body(), media_type=_JSON)

        else:
            url = _url(setting, onward)

            @app.post("/pass")
            async def take(request: Request) -> Response:
                async with session.post(url, data=await request.body(), headers=_HEADERS) as response:
                    return Response(await response.read(), media_type=_JSON)

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
    """Returns a session configured as that of transports.rest.engines."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=Config().idle_s),
        timeout=aiohttp.ClientTimeout(total=setting.deadline_s),
        cookie_jar=aiohttp.DummyCookieJar(),
    )


def _url(setting: Setting, service: str) -> URL:
    return URL(f"http://{setting.addresses[service]}/pass")

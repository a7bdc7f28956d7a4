"""FastAPI on uvicorn with one route that posts the body on with aiohttp, and answers with what came back."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from fastapi import FastAPI, Request, Response
from yarl import URL

from bench.calibration.baseline.bare import Pass
from bench.calibration.baseline.bare.route import onward_of
from shop.workflow import FRONT
from transports.base import Setting
from transports.rest.config import Config
from transports.rest.server import listening

_JSON = "application/json"
_HEADERS = {"content-type": _JSON}


@asynccontextmanager
async def serve(service: str, setting: Setting) -> AsyncIterator[None]:
    app = FastAPI()
    onward = onward_of(service)
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

        async with listening(app, setting.addresses[service], Config()):
            yield


@asynccontextmanager
async def connect(setting: Setting) -> AsyncIterator[Pass]:
    url = _url(setting, FRONT)
    async with _session(setting) as session:

        async def pass_(key: str, body: bytes) -> tuple[bytes, int]:
            async with session.post(url, data=body, headers=_HEADERS) as response:
                return await response.read(), time.monotonic_ns()

        yield pass_


def _session(setting: Setting) -> aiohttp.ClientSession:
    """As transports.rest.client_libraries has it for its own client."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=Config().idle_s),
        timeout=aiohttp.ClientTimeout(total=setting.deadline_s),
        cookie_jar=aiohttp.DummyCookieJar(),
    )


def _url(setting: Setting, service: str) -> URL:
    return URL(f"http://{setting.addresses[service]}/pass")

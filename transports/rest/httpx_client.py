"""Posts with httpx, over its own connections or over aiohttp's."""

import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import httpx
from httpx_aiohttp import AiohttpTransport

from transports.rest.client_libraries import PostFunction, open_session, translate_error
from transports.rest.config import Config


@asynccontextmanager
async def open_client(config: Config, context: ssl.SSLContext | None) -> AsyncIterator[PostFunction]:
    """Opens the client and gives its post function; arguments as of ``client_libraries.open_http_client``."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None, keepalive_expiry=config.idle_s)
    verify = context or True
    transport = None
    if config.client == "httpx-aiohttp":
        transport = AiohttpTransport(client=lambda: open_session(config, context), verify=verify)
    async with httpx.AsyncClient(limits=limits, trust_env=False, transport=transport, verify=verify) as client:
        yield build_post(client)


def build_post(client: httpx.AsyncClient) -> PostFunction:
    """Returns the post function of an open client."""

    async def post(url: str, body: bytes, headers: Mapping[str, str], within_s: float) -> tuple[int, str, bytes]:
        try:
            async with client.stream("POST", url, content=body, headers=headers, timeout=within_s) as response:
                content = b"".join([chunk async for chunk in response.aiter_raw()])
        except httpx.ConnectTimeout as error:  # nothing was sent, so it was not reached
            raise translate_error(ConnectionError(str(error)), url, within_s) from error
        except httpx.TimeoutException as error:
            raise translate_error(TimeoutError(), url, within_s) from error
        except httpx.HTTPError as error:
            raise translate_error(error, url, within_s) from error
        return response.status_code, response.headers.get("content-encoding", ""), content

    return post

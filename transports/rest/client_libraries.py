"""Opens the chosen HTTP client library behind one function that posts a body."""

import io
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import lru_cache
from importlib import import_module
from importlib.metadata import version
from typing import Protocol

import aiohttp
from yarl import URL

from transports.errors import NoOutcome, TransportError, Unreachable
from transports.rest.config import Config


class PostFunction(Protocol):
    """Posts a body; returns status, Content-Encoding and body as received. Raises Unreachable or NoOutcome."""

    async def __call__(
        self, url: str, body: bytes, headers: Mapping[str, str], within_s: float
    ) -> tuple[int, str, bytes]: ...


_AIOHTTP_MAX_WRITE_BYTES = 2**20  # above it aiohttp warns of bytes that it writes in one go, and wants a file


def describe_versions(config: Config) -> str:
    """Returns the names and versions of the chosen libraries, for the manifest."""
    libraries = {"aiohttp": ("aiohttp",), "httpx": ("httpx",), "httpx-aiohttp": ("httpx", "httpx-aiohttp", "aiohttp")}
    return ", ".join(f"{library} {version(library)}" for library in libraries[config.client])


@asynccontextmanager
async def open_http_client(config: Config, context: ssl.SSLContext | None) -> AsyncIterator[PostFunction]:
    """Opens the chosen HTTP client and gives its post function.

    The connection pool has no limit: the load decides how many orders are in flight. Responses stay compressed, so that
    we can limit their decompressed size. ``context`` is for TLS; None: plain HTTP.
    """
    if config.client == "aiohttp":
        async with open_session(config, context) as session:
            yield _build_aiohttp_post(session)
    else:
        # Imported when asked for: httpx would be counted as start-up and memory of a method that uses aiohttp.
        async with import_module("transports.rest.httpx_client").open_client(config, context) as post:
            yield post


def open_session(config: Config, context: ssl.SSLContext | None) -> aiohttp.ClientSession:
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=config.idle_s, ssl=context or True)
    return aiohttp.ClientSession(
        connector=connector, timeout=aiohttp.ClientTimeout(), cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False
    )


def _build_aiohttp_post(session: aiohttp.ClientSession) -> PostFunction:
    urls: dict[str, URL] = {}

    async def post(url: str, body: bytes, headers: Mapping[str, str], within_s: float) -> tuple[int, str, bytes]:
        parsed = urls.get(url)
        if parsed is None:
            parsed = urls[url] = URL(url)
        data = body if len(body) < _AIOHTTP_MAX_WRITE_BYTES else io.BytesIO(body)
        try:
            async with session.post(parsed, data=data, headers=headers, timeout=_build_timeout(within_s)) as response:
                return response.status, response.headers.get("content-encoding", ""), await response.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise translate_error(error, url, within_s) from error

    return post


@lru_cache(maxsize=16)
def _build_timeout(within_s: float) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=within_s)


def translate_error(error: Exception, url: str, deadline_s: float) -> TransportError:
    """Returns NoOutcome for a timeout, and Unreachable for a failed connection."""
    if isinstance(error, TimeoutError):
        return NoOutcome(f"{url} did not answer within {deadline_s:g} s")
    return Unreachable(f"{url} cannot be reached: {error or type(error).__name__}")

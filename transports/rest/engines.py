"""Three client libraries behind one function: post a body, get a status and a body."""

import io
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from importlib.metadata import version

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport
from yarl import URL

from transports.errors import NoOutcome, TransportError, Unreachable
from transports.rest.config import Config

Post = Callable[[str, bytes], Awaitable[tuple[int, bytes]]]
"""``await post(url, body)`` is (status, body). Raises Unreachable or NoOutcome."""

_AIOHTTP_BYTES = 2**20  # above it aiohttp warns of bytes that it writes in one go, and wants a file


def versions(config: Config) -> str:
    """The chosen libraries with their versions, for the record."""
    libraries = {"aiohttp": ("aiohttp",), "httpx": ("httpx",), "httpx-aiohttp": ("httpx", "httpx-aiohttp", "aiohttp")}
    return ", ".join(f"{library} {version(library)}" for library in libraries[config.client])


@asynccontextmanager
async def engine(config: Config, content_type: str, deadline_s: float) -> AsyncIterator[Post]:
    """A pool of connections without a limit: how many orders are in flight is the load's business, not the pool's."""
    if config.client == "aiohttp":
        async with _session(config, aiohttp.ClientTimeout(total=deadline_s)) as session:
            yield _aiohttp_post(session, content_type, deadline_s)
    else:
        limits = httpx.Limits(
            max_connections=None, max_keepalive_connections=None, keepalive_expiry=config.client_keepalive_s
        )
        transport = None
        if config.client == "httpx-aiohttp":
            transport = AiohttpTransport(client=lambda: _session(config, aiohttp.ClientTimeout()))
        async with httpx.AsyncClient(
            limits=limits, timeout=deadline_s, trust_env=False, transport=transport, headers={"accept": content_type}
        ) as client:
            yield _httpx_post(client, content_type, deadline_s)


def _session(config: Config, timeout: aiohttp.ClientTimeout) -> aiohttp.ClientSession:
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=config.client_keepalive_s)
    return aiohttp.ClientSession(connector=connector, timeout=timeout, cookie_jar=aiohttp.DummyCookieJar())


def _aiohttp_post(session: aiohttp.ClientSession, content_type: str, deadline_s: float) -> Post:
    headers = {"content-type": content_type}
    urls: dict[str, URL] = {}

    async def post(url: str, body: bytes) -> tuple[int, bytes]:
        parsed = urls.get(url)
        if parsed is None:
            parsed = urls[url] = URL(url)
        data = body if len(body) < _AIOHTTP_BYTES else io.BytesIO(body)
        try:
            async with session.post(parsed, data=data, headers=headers) as response:
                return response.status, await response.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise translated(error, url, deadline_s) from error

    return post


def _httpx_post(client: httpx.AsyncClient, content_type: str, deadline_s: float) -> Post:
    headers = {"content-type": content_type}

    async def post(url: str, body: bytes) -> tuple[int, bytes]:
        try:
            response = await client.post(url, content=body, headers=headers)
        except httpx.HTTPError as error:
            raise translated(error, url, deadline_s) from error
        return response.status_code, response.content

    return post


def translated(error: Exception, url: str, deadline_s: float) -> TransportError:
    """Theirs to ours: a time that ran out, or a connection that was not to be had."""
    if isinstance(error, TimeoutError | httpx.TimeoutException) and not isinstance(error, httpx.ConnectTimeout):
        return NoOutcome(f"{url} did not answer within {deadline_s:g} s")
    return Unreachable(f"{url} cannot be reached: {error or type(error).__name__}")

"""Options of the REST transport."""

from typing import Literal

import msgspec


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    client: Literal["aiohttp", "httpx-aiohttp", "httpx"] = "aiohttp"
    """The library that calls; docs/decisions/0003-aiohttp-for-rest.md says why it is aiohttp by default."""

    retries: int = 0
    """How often a request is repeated after a refused or lost connection; with an Idempotency-Key then."""

    idle_s: float = 30.0
    """How long a client keeps an idle connection."""

    server_keepalive_s: int = 75
    """How long a server keeps one: longer, or a request meets a connection that is just being closed."""

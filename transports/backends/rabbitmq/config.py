"""Options of the RabbitMQ backend."""

from typing import Literal

import msgspec


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    client: Literal["aio-pika"] = "aio-pika"
    """The library; there is one, named so that CLIENT= reads alike for every method."""

    prefetch: int = 200
    """How many messages a service process may have in hand: the middle of what RabbitMQ's guides recommend."""

"""Who comes says so in a bearer token (RFC 6750): REST in the Authorization header, gRPC in metadata of that name."""

from typing import Protocol

from transports.base import Setting
from transports.security.keys import keys_of
from transports.security.levels import AUTH

SCHEME = "Bearer "


class Unauthenticated(Exception):
    """Nobody knows who comes. ``str(error)`` is a sentence."""


class Forbidden(Exception):
    """It is known who comes, and that role has no right. ``str(error)`` is a sentence."""


class Guard(Protocol):
    """Stands before a service, and lets through who may ask it."""

    def check(self, authorization: str | None) -> None:
        """Of every call. Raises Unauthenticated or Forbidden."""


def bearer(setting: Setting, role: str, audience: str) -> dict[str, str]:
    """The header, or metadata, in which the role says to this service who it is; empty where nobody asks.

    Raises SettingError.
    """
    if setting.security != AUTH:
        return {}
    return {"authorization": SCHEME + keys_of(setting.keys, role).token(audience)}


def guard_of(setting: Setting, service: str) -> Guard | None:
    """None where nobody is asked who he is. Raises SettingError."""
    if setting.security != AUTH:
        return None
    # Megabytes of cryptography, for those alone who verify.
    from transports.security.tokens import TokenGuard  # noqa: PLC0415

    return TokenGuard(service, keys_of(setting.keys, service).tokens_key)

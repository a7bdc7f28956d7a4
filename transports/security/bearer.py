"""Adds bearer tokens to REST and gRPC calls and checks them (RFC 6750)."""

from transports.base import Setting
from transports.security.guard import BEARER_PREFIX, AccessGuard
from transports.security.keys import find_keys
from transports.security.levels import AUTH


def build_bearer_header(setting: Setting, role: str, audience: str) -> dict[str, str]:
    """Returns the header, or gRPC metadata, with the role's token for ``audience``; empty below level auth.

    Raises SettingError.
    """
    if setting.security != AUTH:
        return {}
    return {"authorization": BEARER_PREFIX + find_keys(setting.keys, role).token(audience)}


def build_guard(setting: Setting, service: str) -> AccessGuard | None:
    """Returns the guard of ``service``, or None below level auth. Raises SettingError."""
    if setting.security != AUTH:
        return None
    # Megabytes of cryptography, only for a service that verifies.
    from transports.security.tokens import TokenGuard  # noqa: PLC0415

    return TokenGuard(service, find_keys(setting.keys, service).tokens_key)

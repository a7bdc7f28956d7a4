"""What guards a service: the check of a caller, and how it refuses one."""

from typing import Protocol

BEARER_PREFIX = "Bearer "


class Unauthenticated(Exception):
    """The caller is not identified. ``str(error)`` is a sentence."""


class Forbidden(Exception):
    """The caller is identified, and its role may not do this. ``str(error)`` is a sentence."""


class AccessGuard(Protocol):
    """Checks the Authorization header of calls to a service."""

    def check(self, authorization: str | None) -> None:
        """Checks one call. Raises Unauthenticated or Forbidden."""

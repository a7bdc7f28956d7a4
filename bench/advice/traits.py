"""What a transport promises, looked up once: results may be of one that is not installed here."""

from functools import cache

from transports.base import Traits
from transports.errors import SettingError
from transports.registry import named


@cache
def traits_of(transport: str) -> Traits | None:
    """None for a transport that is not installed, or does not load."""
    try:
        return named(transport).traits
    except SettingError:
        return None

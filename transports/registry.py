"""Finds and loads transports by name through Python entry points."""

import sys
from contextlib import suppress
from functools import cache
from importlib.metadata import EntryPoints, entry_points
from inspect import isabstract

from transports.base import Transport
from transports.errors import SettingError, describe_unknown

ENTRY_POINT_GROUP = "fourways.transports"
YARDSTICK_GROUP = "fourways.yardsticks"
"""Of transports that are measured beside the methods; they stand in no list of them."""


def list_transports() -> tuple[str, ...]:
    """Returns the names of all installed transports, sorted."""
    return tuple(sorted({point.name for point in _find_entry_points(ENTRY_POINT_GROUP)}))


def list_backends(name: str) -> tuple[str, ...]:
    """Returns the backends that the method ``name`` can run over, sorted; empty if there is no choice."""
    return tuple(sorted({point.name for point in _find_entry_points(f"{ENTRY_POINT_GROUP}.{name}")}))


def list_needs_of_plugins() -> tuple[str, ...]:
    """Returns the servers that transports of other distributions need, sorted. One that cannot be loaded has none."""
    needs: set[str] = set()
    for point in _find_entry_points(ENTRY_POINT_GROUP):
        if not point.module.startswith("transports."):
            with suppress(SettingError):
                needs |= load_transport(point.name).traits.needs
    return tuple(sorted(needs))


def load_transport(name: str, backend: str = "") -> type[Transport]:
    """Returns the transport class called ``name``, over this ``backend`` or, if empty, the method's own.

    Raises SettingError for an unknown name, with the nearest known one, and for an entry point that is not a Transport.
    """
    points = (
        _find_entry_points(f"{ENTRY_POINT_GROUP}.{name}").select(name=backend)
        if backend
        else _find_entry_points(ENTRY_POINT_GROUP).select(name=name)
        or _find_entry_points(YARDSTICK_GROUP).select(name=name)
    )
    if not points:
        raise _refuse_missing(name, backend)
    point = next(iter(points))
    where = f"the entry point of transport {name!r}, {point.value},"
    try:
        found = point.load()
    except Exception as error:
        raise SettingError(
            f"{where} cannot be loaded: {error}; see docs/adding-a-transport.md", code="bad-transport"
        ) from error
    if not (isinstance(found, type) and issubclass(found, Transport)):
        raise SettingError(f"{where} is not a Transport; see docs/adding-a-transport.md", code="bad-transport")
    if isabstract(found):
        lacking = " and ".join(sorted(found.__abstractmethods__))
        raise SettingError(
            f"{where} is a Transport without {lacking}; see docs/adding-a-transport.md", code="bad-transport"
        )
    for part in ("traits", "Config"):
        if not hasattr(found, part):
            raise SettingError(
                f"{where} is a Transport without {part}; see docs/adding-a-transport.md", code="bad-transport"
            )
    if silent := {"fast", "safe"} - found.traits.survives.keys():
        raise SettingError(
            f"{where} does not say what survives at durability {min(silent)}; see docs/adding-a-transport.md",
            code="bad-transport",
        )
    return found


def select_transport(name: str, backend: str) -> type[Transport]:
    """Returns the transport class called ``name``, over ``backend`` if the method has a choice. Raises SettingError."""
    return load_transport(name, backend if list_backends(name) else "")


def _find_entry_points(group: str) -> EntryPoints:
    return _scan_entry_points(group, tuple(sys.path))


@cache
def _scan_entry_points(group: str, path: tuple[str, ...]) -> EntryPoints:
    """Returns the entry points of ``group`` on this path, cached: reading them opens a file per installed package."""
    return entry_points(group=group)


def _refuse_missing(name: str, backend: str) -> SettingError:
    if not backend or name not in list_transports():
        return SettingError(describe_unknown("transport", name, list_transports()), code="unknown-transport")
    if not list_backends(name):
        return SettingError(f"{name} has no choice of backend; leave BACKEND out", code="no-backend-choice")
    return SettingError(describe_unknown(f"backend of {name}", backend, list_backends(name)), code="unknown-backend")

"""Transports by name, from entry points: ours are declared the same way as anyone's."""

import sys
from functools import cache
from importlib.metadata import EntryPoints, entry_points
from inspect import isabstract

from transports.base import Transport
from transports.errors import SettingError, unknown

GROUP = "fourways.transports"


def installed() -> tuple[str, ...]:
    """The names of all transports that are installed, sorted."""
    return tuple(sorted({point.name for point in _points(GROUP)}))


def products(name: str) -> tuple[str, ...]:
    """Over which the method called ``name`` may run, sorted; none where there is no choice."""
    return tuple(sorted({point.name for point in _points(f"{GROUP}.{name}")}))


def named(name: str, product: str = "") -> type[Transport]:
    """The transport called ``name``, over ``product`` or, without one, over the method's own.

    Raises SettingError: with the nearest right name, or with what is wrong at the entry point.
    """
    points = _points(f"{GROUP}.{name}").select(name=product) if product else _points(GROUP).select(name=name)
    if not points:
        raise SettingError(_not_there(name, product), code="unknown-transport")
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


def heeding(name: str, product: str) -> type[Transport]:
    """The transport called ``name``, over ``product`` where the method has the choice. Raises SettingError."""
    return named(name, product if products(name) else "")


def _points(group: str) -> EntryPoints:
    return _installed(group, tuple(sys.path))


@cache
def _installed(group: str, path: tuple[str, ...]) -> EntryPoints:
    """Of all that lies on this path, which is a file for each package to read: once."""
    return entry_points(group=group)


def _not_there(name: str, product: str) -> str:
    if not product or name not in installed():
        return unknown("transport", name, installed())
    if not products(name):
        return f"{name} runs over no product; leave PRODUCT out"
    return unknown(f"product of {name}", product, products(name))

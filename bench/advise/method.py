"""Defines a method as advice names it: a transport with its client and backend."""

from dataclasses import dataclass
from functools import cache

from bench.report.style import format_cell_name
from transports.base import Traits
from transports.errors import SettingError
from transports.registry import load_transport


@dataclass(frozen=True, slots=True)
class Method:
    """A method that was measured. Its transport need not be installed here."""

    name: str
    """With the client and the backend where they are not the transport's own: ``rest:httpx``, ``broker+kafka``."""
    transport: str

    @property
    def backend(self) -> str:
        """The backend that it runs over; empty for the transport's own, or none."""
        return self.name.partition("+")[2]

    @property
    def pairing(self) -> str:
        """Transport and backend, without the client: ``broker+kafka``."""
        return f"{self.transport}+{self.backend}" if self.backend else self.transport

    @property
    def title(self) -> str:
        """The name as people know it."""
        return format_cell_name(self.name, self.transport)

    @property
    def traits(self) -> Traits | None:
        """The traits over its backend; None when the transport is not installed, or does not load."""
        return find_traits(self.transport, self.backend)


def parse_method(cell: str, transport: str, codec: str, compression: str) -> Method:
    """Returns the method: ``broker:confluent+kafka`` for the cell ``broker:confluent+kafka+msgpack@64KiB``."""
    name = cell.partition("@")[0].removesuffix(f"+{compression}").removesuffix(f"+{codec}")
    return Method(name, transport)


@cache
def find_traits(transport: str, backend: str = "") -> Traits | None:
    """Returns the traits of a transport over a backend.

    None when the transport is not installed, does not load, or does not run over the backend.
    """
    try:
        return load_transport(transport, backend).traits
    except SettingError:
        return None

"""A method as advice speaks of it: a transport, with the client and over the product that it was measured with."""

from dataclasses import dataclass
from functools import cache

from bench.report.style import title
from transports.base import Traits
from transports.errors import SettingError
from transports.registry import named


@dataclass(frozen=True, slots=True)
class Method:
    """Results may be of a transport that is not installed here."""

    name: str
    """With the client and the product where they are not the transport's own: ``rest:httpx``, ``broker+kafka``."""
    transport: str

    @property
    def product(self) -> str:
        """Over which it runs; empty for its own, or none."""
        return self.name.partition("+")[2]

    @property
    def pairing(self) -> str:
        """Whatever the client."""
        return f"{self.transport}+{self.product}" if self.product else self.transport

    @property
    def title(self) -> str:
        """How people know it."""
        return title(self.name, self.transport)

    @property
    def traits(self) -> Traits | None:
        """What it promises over its product; None where it is not installed, or does not load."""
        return traits_of(self.transport, self.product)


def method_of(cell: str, transport: str, codec: str, compression: str) -> Method:
    """Of ``broker:confluent+kafka+msgpack@64KiB`` in msgpack the method ``broker:confluent+kafka``."""
    name = cell.partition("@")[0].removesuffix(f"+{compression}").removesuffix(f"+{codec}")
    return Method(name, transport)


@cache
def traits_of(transport: str, product: str = "") -> Traits | None:
    """None for a transport that is not installed, does not load, or does not run over the product."""
    try:
        return named(transport, product).traits
    except SettingError:
        return None

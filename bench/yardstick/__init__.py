"""The yardstick: the bare chain of each method, four processes that pass a body on and return it.

They have no shop, codec or checks. What can be set on a library comes from the transport's own config, so that the two
sides cannot drift apart. Apart from transports/ this is the only place where their libraries are used.
"""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from importlib import import_module
from typing import Protocol, cast

from transports.base import Setting

PassBody = Callable[[str, bytes], Awaitable[tuple[bytes, int]]]
"""``await pass_(key, body)``: through the chain and back: the body that came, and ``time.monotonic_ns()`` as it did."""


class BareChain(Protocol):
    """What each module of this package provides."""

    def serve(self, service: str, setting: Setting) -> AbstractAsyncContextManager[None]:
        """Passes bodies on from enter until exit."""

    def connect(self, setting: Setting) -> AbstractAsyncContextManager[PassBody]:
        """Connects the driver's end. ``pass_`` raises what the library raises."""


def import_bare_chain(transport: str) -> BareChain:
    """Returns the bare chain of a transport, imported on demand, as each library costs start-up time."""
    return cast(BareChain, import_module(f"bench.yardstick.{transport}"))

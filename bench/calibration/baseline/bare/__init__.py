"""The barest chains: four processes that pass a body on, and its return through user. No shop, no codec, no checks.

What can be set on a library comes from the transport's own config, so that the two sides cannot drift apart.
"""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from importlib import import_module
from typing import Protocol, cast

from transports.base import Setting

Pass = Callable[[str, bytes], Awaitable[tuple[bytes, int]]]
"""``await pass_(key, body)``: through the chain and back: the body that came, and ``time.monotonic_ns()`` as it did."""


class Bare(Protocol):
    """What each module here provides."""

    def serve(self, service: str, setting: Setting) -> AbstractAsyncContextManager[None]:
        """Pass on from enter until exit."""

    def connect(self, setting: Setting) -> AbstractAsyncContextManager[Pass]:
        """A driver's end. ``pass_`` raises what the library raises."""


def bare(transport: str) -> Bare:
    """The chain beside the transport of this name. Imported when asked for, as each library costs start-up."""
    return cast(Bare, import_module(f"bench.calibration.baseline.bare.{transport}"))

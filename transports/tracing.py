"""Where sampled orders were, and when: each process keeps its own stamps, which are joined by order id afterwards.

So a sampled order is no larger on a wire than any other. All stamps are ``time.monotonic_ns()``, which the processes
of one machine share; the conductor checks that they do.
"""

from array import array
from typing import NamedTuple
from zlib import crc32

from shop.messages import KIND, Message

MOST_STAMPS = 60_000
"""Kept per process; a long run keeps its first ones."""


class Stamp(NamedTuple):
    """One message at one service. From ``arrived_ns`` to ``begun_ns`` it was decoded and waited for its turn."""

    order_id: str
    kind: str
    arrived_ns: int
    """The transport had its bytes in the process."""
    begun_ns: int
    """The handler began. Messages that share a transaction share this instant and the next."""
    ended_ns: int
    """The fact that follows was there, its effects committed: it left for the next service."""
    commit_ns: int
    """How much of it the store took to commit."""


class Trace:
    """Which orders are stamped, and their stamps."""

    def __init__(self, every: int) -> None:
        """One in ``every`` orders; 0: none."""
        self._every = every
        # Side by side and not as Stamps, of which 5,000 would take 2 MB where these take half of one.
        self._order_ids: list[str] = []
        self._kinds: list[str] = []
        self._instants_ns = array("q")

    @property
    def stamps(self) -> list[Stamp]:
        """All so far, in order."""
        four = [iter(self._instants_ns)] * 4
        return [Stamp(*row) for row in zip(self._order_ids, self._kinds, *four, strict=True)]

    def wants(self, order_id: str) -> bool:
        """The same answer in every process."""
        return self._every > 0 and crc32(order_id.encode()) % self._every == 0

    def add(self, message: Message, arrived_ns: int, begun_ns: int, ended_ns: int, commit_ns: int = 0) -> None:
        if len(self._order_ids) < MOST_STAMPS:
            self._order_ids.append(message.order.order_id)
            self._kinds.append(KIND[type(message)])
            self._instants_ns.extend((arrived_ns or begun_ns, begun_ns, ended_ns, commit_ns))

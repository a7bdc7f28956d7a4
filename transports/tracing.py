"""Records when sampled orders arrived at each service, and when they were handled.

Each process keeps its own stamps, which are joined by order id afterwards, so a sampled order is no larger on the wire
than any other. All stamps are ``time.monotonic_ns()``, which the processes of one machine share; the runner checks that
they do.
"""

from array import array
from typing import NamedTuple
from zlib import crc32

from shop.messages import KIND_BY_TYPE, Message
from transports.loop_lag import AWAKE_NS, UNKNOWN_NS, LoopLag

MAX_STAMPS = 60_000
"""The most stamps that a process keeps; a long run keeps its first ones."""


class Stamp(NamedTuple):
    """When one message was handled at one service. From ``arrived_ns`` to ``begun_ns`` it was decoded and queued."""

    order_id: str
    kind: str
    arrived_ns: int
    """The transport had its bytes in the process."""
    begun_ns: int
    """The handler began. Messages that share a transaction share this instant and the next."""
    ended_ns: int
    """The next fact was ready and its effects committed: it left for the next service."""
    commit_ns: int
    """How much of it the store took to commit."""
    lag_ns: int = UNKNOWN_NS
    """How long it had waited for the event loop before it arrived, by samples; never longer than it was on its way."""


class Tracer:
    """Decides which orders are sampled, and keeps their stamps."""

    def __init__(self, every: int) -> None:
        """Samples one order in ``every``; 0: none."""
        self._every = every
        # Columns instead of Stamps: 5,000 Stamps would take 2 MB, and these take half of one.
        self._order_ids: list[str] = []
        self._kinds: list[str] = []
        self._instants_ns = array("q")
        self._loop_lag: LoopLag | None = None

    def watch(self, loop_lag: LoopLag | None) -> None:
        """Lets stamps say how long messages waited for this loop, in a process that they reach by sockets."""
        self._loop_lag = loop_lag

    @property
    def stamps(self) -> list[Stamp]:
        """All stamps so far, in the order in which they were added."""
        four = [iter(self._instants_ns)] * 4
        found = [Stamp(*row) for row in zip(self._order_ids, self._kinds, *four, strict=True)]
        return [stamp._replace(lag_ns=self.estimate_lag_ns(stamp.arrived_ns)) for stamp in found]

    def estimate_lag_ns(self, arrived_ns: int) -> int:
        """Returns how long a message had waited for the loop when it arrived; UNKNOWN_NS if nothing says."""
        return UNKNOWN_NS if self._loop_lag is None else self._loop_lag.estimate_ns(arrived_ns)

    def is_sampled(self, order_id: str) -> bool:
        """Returns whether this order is sampled; every process gives the same answer."""
        return self._every > 0 and crc32(order_id.encode()) % self._every == 0

    def add(self, message: Message, arrived_ns: int, begun_ns: int, ended_ns: int, commit_ns: int = 0) -> None:
        if len(self._order_ids) < MAX_STAMPS:
            self._order_ids.append(message.order.order_id)
            self._kinds.append(KIND_BY_TYPE[type(message)])
            self._instants_ns.extend((arrived_ns or begun_ns, begun_ns, ended_ns, commit_ns))
            if self._loop_lag is not None:
                self._loop_lag.stay_awake(ended_ns + AWAKE_NS)

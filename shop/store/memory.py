"""A store in memory that keeps the decisions of an order for as long as it may come again."""

import sys
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from shop.store.base import Decision, Store

LONGEST_REDELIVERY_S = 300.0
"""So long a broker may wait before it hands a message to somebody else: max.poll.interval.ms of Kafka's clients."""

_NO_TRANSACTION = nullcontext()
_FIELDS_PER_DECISION = 1 + len(Decision._fields)


class MemoryStore(Store):
    blocking = False

    def __init__(self, deadline_s: float = 30.0, *, clock: Callable[[], float] = time.monotonic) -> None:
        """An order is forgotten when it has not come for ``deadline_s`` and the longest redelivery, by ``clock``."""
        self._keep_s = deadline_s + LONGEST_REDELIVERY_S
        self._clock = clock
        self._quantities: dict[str, int] = {}
        # Not a plain dict: taking its first key again and again walks over all that were taken before.
        self._decisions_by_order: OrderedDict[str, tuple[Any, ...]] = OrderedDict()
        """The order that came last is at the end. Flat, as the instant of its coming, kind, fact, amount … kind …: one
        object of an order, and none that the collector follows."""

    def transaction(self) -> AbstractContextManager[None]:
        """Returns a context that does nothing.

        None is needed: there is one thread and no disk, and a handler acts only after it has decided.
        """
        return _NO_TRANSACTION

    def quantity(self, name: str) -> int | None:
        return self._quantities.get(name)

    def set_quantity(self, name: str, value: int) -> None:
        self._quantities[name] = value

    def find_decision(self, kind: str, order_id: str) -> Decision | None:
        decided = self._decisions_by_order.get(order_id, ())
        for at in range(1, len(decided), _FIELDS_PER_DECISION):
            if decided[at] == kind:
                self._keep(order_id, decided[1:])
                return Decision(*decided[at + 1 : at + _FIELDS_PER_DECISION])
        return None

    def save_decision(self, kind: str, order_id: str, decision: Decision) -> None:
        """A message of this kind has no decision yet."""
        now_s = self._keep(order_id, (*self._decisions_by_order.get(order_id, ())[1:], kind, *decision))
        orders = self._decisions_by_order
        while next(iter(orders.values()))[0] < now_s - self._keep_s:
            orders.popitem(last=False)

    def _keep(self, order_id: str, decided: tuple[Any, ...]) -> float:
        """Notes what was decided about an order that comes now; returns the instant."""
        now_s = self._clock()
        self._decisions_by_order[order_id] = (now_s, *decided)
        self._decisions_by_order.move_to_end(order_id)
        return now_s

    def decisions(self) -> Iterator[tuple[str, Decision]]:
        for order_id, decided in self._decisions_by_order.items():
            for at in range(1, len(decided), _FIELDS_PER_DECISION):
                yield order_id, Decision(*decided[at + 1 : at + _FIELDS_PER_DECISION])

    def size_bytes(self) -> int:
        """Returns the size of all orders with their decisions; it walks over them."""
        orders = self._decisions_by_order
        of_orders = sum(
            sys.getsizeof(order_id) + sys.getsizeof(decided) + sum(map(sys.getsizeof, decided))
            for order_id, decided in orders.items()
        )
        return sys.getsizeof(orders) + of_orders + sys.getsizeof(self._quantities)

    def close(self) -> None:
        pass

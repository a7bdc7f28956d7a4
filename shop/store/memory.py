"""A store in memory that keeps the decisions of the newest orders only."""

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from shop.store.base import Decision, Store

_NO_TRANSACTION = nullcontext()
_FIELDS_PER_DECISION = 1 + len(Decision._fields)


class MemoryStore(Store):
    blocking = False

    def __init__(self, keep: int = 20_000) -> None:
        """``keep`` is the number of orders whose decisions are remembered; beyond it the oldest order is forgotten."""
        self._keep = keep
        self._quantities: dict[str, int] = {}
        # By order, since of a kind that is rare the newest 20,000 would grow for a million orders. Not a plain dict:
        # taking its first key again and again walks over all that were taken before.
        self._decisions_by_order: OrderedDict[str, tuple[Any, ...]] = OrderedDict()
        """Flat, as kind, fact, amount, detail, kind …: one object of an order, and none that the collector follows."""

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
        for at in range(0, len(decided), _FIELDS_PER_DECISION):
            if decided[at] == kind:
                return Decision(*decided[at + 1 : at + _FIELDS_PER_DECISION])
        return None

    def save_decision(self, kind: str, order_id: str, decision: Decision) -> None:
        """A message of this kind has no decision yet."""
        self._decisions_by_order[order_id] = (*self._decisions_by_order.get(order_id, ()), kind, *decision)
        if len(self._decisions_by_order) > self._keep:
            self._decisions_by_order.popitem(last=False)

    def decisions(self) -> Iterator[tuple[str, Decision]]:
        for order_id, decided in self._decisions_by_order.items():
            for at in range(0, len(decided), _FIELDS_PER_DECISION):
                yield order_id, Decision(*decided[at + 1 : at + _FIELDS_PER_DECISION])

    def close(self) -> None:
        pass

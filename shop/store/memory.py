"""State in memory, bounded: decisions about the newest orders are kept, so a long run does not grow."""

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext

from shop.store.base import Decision, Store

_NO_TRANSACTION = nullcontext()


class MemoryStore(Store):
    blocking = False

    def __init__(self, keep: int = 20_000) -> None:
        """``keep`` is how many orders are remembered; beyond it the oldest is forgotten."""
        self._keep = keep
        self._quantities: dict[str, int] = {}
        # Not a plain dict: taking its first key again and again walks over all that were taken before.
        self._orders: OrderedDict[str, dict[str, Decision]] = OrderedDict()

    def transaction(self) -> AbstractContextManager[None]:
        """Nothing to do: one thread, no disk, and a handler acts only after it has decided."""
        return _NO_TRANSACTION

    def quantity(self, name: str) -> int | None:
        return self._quantities.get(name)

    def set_quantity(self, name: str, value: int) -> None:
        self._quantities[name] = value

    def recall(self, kind: str, order_id: str) -> Decision | None:
        decided = self._orders.get(order_id)
        return None if decided is None else decided.get(kind)

    def remember(self, kind: str, order_id: str, decision: Decision) -> None:
        decided = self._orders.get(order_id)
        if decided is not None:
            decided[kind] = decision
            return
        self._orders[order_id] = {kind: decision}
        if len(self._orders) > self._keep:
            self._orders.popitem(last=False)

    def decisions(self) -> Iterator[tuple[str, Decision]]:
        for order_id, decided in self._orders.items():
            for decision in decided.values():
                yield order_id, decision

    def close(self) -> None:
        pass

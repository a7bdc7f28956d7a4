"""State in memory, bounded: decisions about the newest orders are kept, so a long run does not grow."""

from collections import OrderedDict, defaultdict
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext

from shop.store.base import Decision, Store

_NO_TRANSACTION = nullcontext()


class MemoryStore(Store):
    blocking = False

    def __init__(self, keep: int = 20_000) -> None:
        """``keep`` is how many decisions about a kind of message are remembered; beyond it the oldest is forgotten."""
        self._keep = keep
        self._quantities: dict[str, int] = {}
        # Not a plain dict: taking its first key again and again walks over all that were taken before.
        self._decided: defaultdict[str, OrderedDict[str, Decision]] = defaultdict(OrderedDict)

    def transaction(self) -> AbstractContextManager[None]:
        """Nothing to do: one thread, no disk, and a handler acts only after it has decided."""
        return _NO_TRANSACTION

    def quantity(self, name: str) -> int | None:
        return self._quantities.get(name)

    def set_quantity(self, name: str, value: int) -> None:
        self._quantities[name] = value

    def recall(self, kind: str, order_id: str) -> Decision | None:
        return self._decided[kind].get(order_id)

    def remember(self, kind: str, order_id: str, decision: Decision) -> None:
        decided = self._decided[kind]
        decided[order_id] = decision
        if len(decided) > self._keep:
            decided.popitem(last=False)

    def decisions(self) -> Iterator[tuple[str, Decision]]:
        for decided in self._decided.values():
            yield from decided.items()

    def close(self) -> None:
        pass

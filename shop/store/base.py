"""What a service asks of its database."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Literal, NamedTuple

DETAIL = 160
"""Characters of a decision's detail that are kept."""

Durability = Literal["fast", "safe"]


class Decision(NamedTuple):
    """What a service once decided about a message: 200 bytes or less, the fact is rebuilt from it and the message.

    ``fact`` names the kind of fact, ``amount_cents`` is its money, ``detail`` is its number or reason.
    """

    fact: str
    amount_cents: int = 0
    detail: str = ""


class Store(ABC):
    """Quantities by name, and the decisions taken, by message kind and order id.

    Used by one thread at a time. Everything between ``transaction()``'s enter and exit happens or does not;
    an exception inside rolls it back.
    """

    blocking: bool
    """Whether calls may wait for a disk, so that an event loop must not make them itself."""
    commit_ns: int = 0
    """How long the last transaction took to commit."""

    @abstractmethod
    def transaction(self) -> AbstractContextManager[None]: ...

    @abstractmethod
    def quantity(self, name: str) -> int | None:
        """The quantity called ``name``, None where it was never set."""

    @abstractmethod
    def set_quantity(self, name: str, value: int) -> None: ...

    @abstractmethod
    def recall(self, kind: str, order_id: str) -> Decision | None:
        """The decision about this message, None when it is new or, in memory, not among the newest 20,000 orders."""

    @abstractmethod
    def remember(self, kind: str, order_id: str, decision: Decision) -> None: ...

    @abstractmethod
    def decisions(self) -> Iterator[tuple[str, Decision]]:
        """Every decision kept, with its order id."""

    @abstractmethod
    def close(self) -> None:
        """Idempotent."""

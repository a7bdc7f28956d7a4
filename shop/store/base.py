"""The interface of a service's database: quantities, decisions and transactions."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Literal, NamedTuple

MAX_DETAIL_CHARS = 160
"""Characters of a decision's detail that are kept."""

Durability = Literal["fast", "safe"]


class StoreUnavailable(Exception):
    """A database cannot be opened, reached or written to for now; the same may succeed later.

    ``str(error)`` is a sentence without a password.
    """


class Decision(NamedTuple):
    """The stored decision of a service about a message, 220 bytes or less; the fact is rebuilt from it and the message.

    ``fact`` is the kind of fact, ``amount_cents`` its money, ``detail`` its number or reason. The service adds
    ``units``, of all lines of the order, and ``fingerprint``, of the order's whole content.
    """

    fact: str
    amount_cents: int = 0
    detail: str = ""
    units: int = 0
    fingerprint: int = 0


class Store(ABC):
    """The interface of a service's database: quantities by name, and decisions by message kind and order id.

    One thread uses it at a time. Changes within ``transaction()`` are kept all together or not at all; an exception
    inside rolls them back. A database that is locked, full or away raises StoreUnavailable there.
    """

    blocking: bool
    """Whether calls may wait for a disk, so that an event loop must not make them itself."""
    commit_ns: int = 0
    """How long the last transaction took to commit."""

    @abstractmethod
    def transaction(self) -> AbstractContextManager[None]: ...

    @abstractmethod
    def quantity(self, name: str) -> int | None:
        """Returns the quantity called ``name``, or None if it was never set."""

    @abstractmethod
    def set_quantity(self, name: str, value: int) -> None: ...

    @abstractmethod
    def find_decision(self, kind: str, order_id: str) -> Decision | None:
        """Returns the decision about this message, or None if it is new.

        A memory store returns None also for an order that can no longer come again.
        """

    @abstractmethod
    def save_decision(self, kind: str, order_id: str, decision: Decision) -> None: ...

    @abstractmethod
    def decisions(self) -> Iterator[tuple[str, Decision]]:
        """Yields every stored decision with its order id."""

    @abstractmethod
    def size_bytes(self) -> int:
        """Returns the size of what is stored: in memory, of a file, or of a database on its server."""

    @abstractmethod
    def close(self) -> None:
        """Closes the database. Idempotent."""

"""Base class of the four services: runs handlers, remembers decisions, counts for the audit."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from typing import Any, ClassVar
from zlib import crc32

from shop.messages import KIND_BY_TYPE, Message, Order
from shop.store import Decision, Store, StoreUnavailable

_MODULUS = 2**64
_MAX_HASHED_BYTES = 8192


@lru_cache(maxsize=256)  # a service asks for the same order a few times in a row
def hash_order_id(order_id: str) -> int:
    """Returns a 64-bit hash of an order id, the same in every process and on every machine."""
    return int.from_bytes(blake2b(order_id.encode(), digest_size=8).digest())


def fingerprint(order: Order) -> int:
    """Returns a signed 64-bit hash of everything in an order but its id, the same in every process and machine.

    It is of the order as it was decoded, whatever was on the wire. Of a part that is longer than 8 KiB the hash takes
    the length and the CRC-32, which costs a seventh.
    """
    # Thousands of lines are joined in half of the time that repr takes.
    lines = "\n".join([f"{line.sku}\0{line.name}\0{line.quantity}\0{line.price_cents}" for line in order.lines])
    texts = [text.encode(errors="surrogatepass") for text in (order.user_id, order.card, order.address, lines)]
    content = blake2b(digest_size=8)
    for part in (*texts, order.document):
        content.update(len(part).to_bytes(8))
        content.update(part if len(part) <= _MAX_HASHED_BYTES else crc32(part).to_bytes(4))
    return int.from_bytes(content.digest(), signed=True)


def count_units(order: Order) -> int:
    """Returns how many units an order wants, over all its lines, as far as a database can hold the number."""
    return max(-(2**63), min(2**63 - 1, sum([line.quantity for line in order.lines])))


class Conflict(Exception):
    """An order id came back with other content than it had before. ``str(error)`` is a sentence."""

    def __init__(self, order_id: str) -> None:
        super().__init__(f"order {order_id[:80]} was placed before with other content; give this one an id of its own")


@dataclass(slots=True)
class Tally:
    """Decisions of one kind in constant size: a count, sums of money and units, and of hashes modulo 2**64.

    The hashes are those of order ids, and those of the orders' contents. Two tallies over the same set of orders are
    equal; tallies of different sets are equal with probability 2**-64.
    """

    count: int = 0
    amount_cents: int = 0
    order_ids: int = 0
    units: int = 0
    contents: int = 0

    def add(self, order_id: str, amount_cents: int, units: int = 0, content: int = 0) -> None:
        """Adds a decision; ``content`` is the order's fingerprint."""
        self.count += 1
        self.amount_cents += amount_cents
        self.units += units
        self.order_ids = (self.order_ids + hash_order_id(order_id)) % _MODULUS
        self.contents = (self.contents + content) % _MODULUS

    def include(self, other: "Tally") -> None:
        """Adds the decisions of another tally."""
        self.count += other.count
        self.amount_cents += other.amount_cents
        self.units += other.units
        self.order_ids = (self.order_ids + other.order_ids) % _MODULUS
        self.contents = (self.contents + other.contents) % _MODULUS


@dataclass(frozen=True, slots=True)
class Handler:
    """How a service turns one type of message into a fact.

    ``decide`` reads the store and decides; ``act`` changes the store and runs once per order; ``tell`` builds the fact
    from the message and the decision and may run again on every redelivery. For a probe order ``act`` is not called.
    """

    decide: Callable[[Any], Decision]
    act: Callable[[Any, Decision], None]
    tell: Callable[[Any, Decision], Message]


class Service:
    """Base class of the four services. Handlers are plain functions; the caller runs them one at a time."""

    name: ClassVar[str]

    def __init__(self, store: Store) -> None:
        self.store = store
        self._handlers = self.handlers()
        self._tallies: dict[str, Tally] = {}
        self.repeated = 0
        """Messages answered before, in the life of this object."""
        self.conflicts = 0
        """Messages refused since their order had other content before, in the life of this object."""
        self.store_refusals = 0
        """How often the store was locked, full or away, in the life of this object."""
        self._unsure: set[tuple[str, str]] = set()
        """Kind and order id of decisions whose transaction failed: it may have been committed, its answer lost."""
        for order_id, decision in store.decisions():
            self._count(order_id, decision)

    def handlers(self) -> Mapping[type[Message], Handler]:
        raise NotImplementedError

    @property
    def blocking(self) -> bool:
        """Whether ``handle`` may wait for a disk."""
        return self.store.blocking

    def handle(self, message: Message) -> Message:
        """Returns the fact that follows from ``message``: the same one however often it is delivered.

        Raises Conflict for an order that had other content before.
        """
        fact = self.handle_all((message,))[0] if self.blocking else self._handle(message, self._count_one)
        if isinstance(fact, Conflict):
            raise fact
        return fact

    def handle_all(self, messages: Iterable[Message]) -> list[Message | Conflict]:
        """Returns the facts that follow from ``messages``, in order, handled within one transaction.

        Either all effects are kept and counted, or none. A message that is refused has no effect: its Conflict stands
        where its fact would. A memory store has no transaction: what was handled before an exception is kept and
        counted.
        """
        if not self.blocking:
            return [self._handle(message, self._count_one) for message in messages]
        fresh: list[tuple[str, str, Decision]] = []
        repeated, conflicts = self.repeated, self.conflicts
        try:
            with self.store.transaction():
                facts = [self._handle(message, lambda *decided: fresh.append(decided)) for message in messages]
        except BaseException as error:
            self.store_refusals += isinstance(error, StoreUnavailable)
            # Nothing of it was answered, and it comes again.
            self.repeated, self.conflicts = repeated, conflicts
            self._unsure |= {(kind, order_id) for kind, order_id, _ in fresh}
            raise
        for _, order_id, decision in fresh:
            self._count(order_id, decision)
        return facts

    def _handle(self, message: Message, decided: Callable[[str, str, Decision], None]) -> Message | Conflict:
        """Returns the fact for one message.

        ``decided`` is called with the kind of message, the order id and the decision if the decision is new, or was
        not counted when it was made.
        """
        handler = self._handlers[type(message)]
        order: Order = message.order
        if order.is_probe:
            return handler.tell(message, handler.decide(message))
        kind = KIND_BY_TYPE[type(message)]
        content = fingerprint(order)
        decision = self.store.find_decision(kind, order.order_id)
        if decision is None:
            fact, amount_cents, detail, *_ = handler.decide(message)
            decision = Decision(fact, amount_cents, detail, count_units(order), content)
            handler.act(message, decision)
            self.store.save_decision(kind, order.order_id, decision)
            self._unsure.discard((kind, order.order_id))
            decided(kind, order.order_id, decision)
        elif decision.fingerprint != content:
            self.conflicts += 1
            return Conflict(order.order_id)
        elif (kind, order.order_id) in self._unsure:
            self._unsure.discard((kind, order.order_id))
            decided(kind, order.order_id, decision)
        else:
            self.repeated += 1
        return handler.tell(message, decision)

    def _count_one(self, _: str, order_id: str, decision: Decision) -> None:
        self._count(order_id, decision)

    def _count(self, order_id: str, decision: Decision) -> None:
        tally = self._tallies.get(decision.fact)
        if tally is None:
            tally = self._tallies[decision.fact] = Tally()
        tally.add(order_id, decision.amount_cents, decision.units, decision.fingerprint)

    def audit(self) -> Mapping[str, Tally]:
        """Returns, per kind of fact, the tally of all decisions of this service (over memory: since it started)."""
        return self._tallies

    def balance(self) -> Mapping[str, int]:
        """Returns sums of the service's own books that must agree with its tallies."""
        return {}

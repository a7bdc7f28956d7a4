"""Generates seeded orders of a chosen size, shape and mix, the same ones on every machine."""

import base64
import hashlib
import itertools
import random
from bisect import bisect_right
from dataclasses import dataclass
from typing import Literal, Protocol

import msgspec

from shop.catalogue import PRICES_CENTS, PRODUCT_NAMES, SHORTEST_SKU, SOLD_OUT_SKU
from shop.messages import PROBE_PREFIX, Order, OrderClosed, OrderLine, PlaceOrder
from shop.payments import DECLINED_CARD, GOOD_CARD

OrderKind = Literal["ships", "sold out", "declined"]
PlannedOutcome = Literal["shipped", "rejected"]
PayloadShape = Literal["document", "structured"]
"""What gives an order its size: an attachment, which is bytes to everyone, or more lines, which formats take apart."""
PAYLOAD_SHAPES: tuple[PayloadShape, ...] = ("document", "structured")

CYCLE_ORDERS = 1_000
"""In every so many orders the mix holds exactly; then lines, cards and addresses come again."""

_PROSE = (
    "the parcel goes to the side door and the neighbour at number nine will sign for it please ring twice gift wrap "
    "in plain paper no invoice inside delivery before noon on weekdays only leave it dry the lift is out of order "
    "fragile glass this way up returns within thirty days with the receipt and the original box measured width "
    "height depth weight colour as pictured or close to it second choice accepted call first if anything is missing "
    "warranty two years parts and labour excluded batteries from january to december thank you kindly best regards"
)
_STREETS = ("Mill Lane", "Canal Street", "Station Road", "Harbour Row", "Orchard Way", "Quarry Hill")
_TOWNS = ("Ghent", "Leiden", "Bergen", "Porto", "Gdansk", "Trieste")
_MAX_LINES = 3
_ORDER_NUMBER_DIGITS = 6
"""Order numbers have room for so many digits in the smallest order; larger ones take it from the document."""
_DOCUMENT_STARTS = 8_192
"""Documents are cut from one text at so many places, so that neighbours differ."""
_LINE_STARTS = 128
"""The same of structured orders, in lines."""
_NOISE_BYTES = 64
"""Text and noise take turns in pieces of so many bytes."""
_DISTINCT_NUMBERS = 64
_NAME_BYTES = 9
"""Of noise in a line's name, which is 12 letters in base64."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mix:
    """Shares of orders that are planned to be refused. Raises ValueError when they are not shares."""

    sold_out: float = 0.02
    declined: float = 0.02

    def __post_init__(self) -> None:
        if not (self.sold_out >= 0 and self.declined >= 0 and self.sold_out + self.declined <= 1):
            raise ValueError(
                f"the shares of refused orders add up to a number from 0 to 1, not {self.sold_out} + {self.declined}"
            )


DEFAULT_MIX = Mix()
ALL_SHIP = Mix(sold_out=0.0, declined=0.0)
"""For transports without a shop, which cannot tell a declined card."""


class Workload:
    """Orders by number, from 0 on. ``order`` costs a few microseconds, since all contents are made beforehand."""

    def __init__(
        self,
        *,
        prefix: str,
        seed: int,
        payload_bytes: int,
        mix: Mix = DEFAULT_MIX,
        shape: PayloadShape = "document",
        compressible: float = 1.0,
    ) -> None:
        """``payload_bytes`` is the size of an order's compact JSON, its id included.

        ``compressible`` is the share of the content that is words and numbers; the rest is noise, which no compression
        makes smaller. Raises ValueError when it is no share, and when an order cannot be that small, naming the
        smallest size that would do.
        """
        if not 0 <= compressible <= 1:
            raise ValueError(f"what can be compressed is a share from 0 to 1, not {compressible}")
        room_bytes = payload_bytes - len(prefix) - 1 - _ORDER_NUMBER_DIGITS
        lacking = (
            max(_json_size_bytes(_build_smallest_order(kind)) for kind in ("ships", "sold out", "declined"))
            - room_bytes
        )
        if lacking > 0:
            raise ValueError(
                f"an order of {payload_bytes:,} bytes is not possible; the smallest here has "
                f"{payload_bytes + lacking:,} bytes"
            )
        rng = random.Random(f"{seed}:orders")
        kinds = _draw_kinds(mix, rng)
        bare = [_build_bare_order(kind, room_bytes, rng) for kind in kinds]
        self._prefix = prefix
        self._templates = [
            (order.user_id, order.card, order.address, order.lines, payload_bytes - _json_size_bytes(order))
            for order in bare
        ]
        self._expected: list[PlannedOutcome] = ["shipped" if kind == "ships" else "rejected" for kind in kinds]
        structured = shape == "structured"
        self._text = b"" if structured else _draw_document(payload_bytes + _DOCUMENT_STARTS, compressible, rng)
        self._lines = _draw_lines(payload_bytes, compressible, rng) if structured else ()
        self._ends = list(itertools.accumulate((_json_size_bytes(line) + 1 for line in self._lines), initial=0))
        """Up to each line of these, the bytes of their JSON with a comma each."""
        self._prose = _draw_words(200, rng)
        content = f"{seed}|{payload_bytes}|{shape}|{compressible}|{self._expected}"
        self.fingerprint = hashlib.sha256(content.encode()).hexdigest()
        """Of all orders' contents, sizes and outcomes. The prefix is left out, as every trial has its own."""

    def order(self, number: int) -> PlaceOrder:
        """Builds the order of this number."""
        user_id, card, address, lines, free_bytes = self._templates[number % CYCLE_ORDERS]
        order_id = f"{self._prefix}-{number}"
        free_bytes -= len(order_id)
        if self._lines:
            start = number * 37 % _LINE_STARTS
            end = bisect_right(self._ends, self._ends[start] + free_bytes) - 1
            lines += self._lines[start:end]
            return PlaceOrder(
                Order(order_id, user_id, card, address + self._address_padding(start, end, free_bytes), lines)
            )
        # Three bytes are four letters of base64, in which JSON has them; what is left over goes into the address.
        start = number * 37 % _DOCUMENT_STARTS
        document = self._text[start : start + free_bytes // 4 * 3]
        return PlaceOrder(Order(order_id, user_id, card, address + self._prose[: free_bytes % 4], lines, document))

    def _address_padding(self, start: int, end: int, free_bytes: int) -> str:
        """What the lines leave over: less than one more would take."""
        return self._prose[: free_bytes - (self._ends[end] - self._ends[start])]

    def expected(self, number: int) -> PlannedOutcome:
        """Returns the outcome that is planned for the order of this number."""
        return self._expected[number % CYCLE_ORDERS]


class OrderSource(Protocol):
    """Orders by number, with the outcome that is planned for each."""

    def order(self, number: int) -> PlaceOrder:
        """Builds the order of this number."""

    def expected(self, number: int) -> PlannedOutcome:
        """Returns the outcome that is planned for the order of this number."""


class OrderStretch:
    """A part of a workload that has numbers of its own: from 0 up, and from -1 down."""

    def __init__(self, whole: Workload, first: int, last_below: int = 0) -> None:
        """Its order 0 is the workload's ``first``, and its order -1 the workload's ``last_below`` - 1."""
        self._whole = whole
        self._first = first
        self._last_below = last_below

    def order(self, number: int) -> PlaceOrder:
        """Builds the order of this number."""
        return self._whole.order(self._number(number))

    def expected(self, number: int) -> PlannedOutcome:
        """Returns the outcome that is planned for the order of this number."""
        return self._whole.expected(self._number(number))

    def _number(self, number: int) -> int:
        return number + (self._first if number >= 0 else self._last_below)


def build_shipped_outcome(order: PlaceOrder) -> OrderClosed:
    """Builds the outcome of an order that no shop has seen: for transports that only measure."""
    return OrderClosed(order.order, "shipped", 100, "RR000000000GB", "")


_probe_numbers = itertools.count(1)


def build_probe_order(name: str) -> PlaceOrder:
    """Builds a small order that tests whether the chain answers. ``name`` goes into its id, unique in a process."""
    order = _build_smallest_order("ships")
    order_id = f"{PROBE_PREFIX}{name}-{next(_probe_numbers)}"
    return PlaceOrder(Order(order_id, order.user_id, order.card, order.address, order.lines))


def _draw_kinds(mix: Mix, rng: random.Random) -> list[OrderKind]:
    """The kinds of one cycle, shuffled."""
    sold_out = round(mix.sold_out * CYCLE_ORDERS)
    declined = min(round(mix.declined * CYCLE_ORDERS), CYCLE_ORDERS - sold_out)
    kinds: list[OrderKind] = []
    shares: dict[OrderKind, int] = {
        "sold out": sold_out,
        "declined": declined,
        "ships": CYCLE_ORDERS - sold_out - declined,
    }
    for kind, count in shares.items():
        kinds += [kind] * count
    rng.shuffle(kinds)
    return kinds


def _build_bare_order(kind: OrderKind, room_bytes: int, rng: random.Random) -> Order:
    """An order without id and document that leaves room for both."""
    address = f"{rng.randint(1, 199)} {rng.choice(_STREETS)}, {rng.choice(_TOWNS)}"
    user_id = f"user-{rng.randint(0, 9_999):04d}"
    skus = rng.sample(tuple(PRODUCT_NAMES), rng.randint(1, _MAX_LINES))
    quantities = [rng.randint(1, 4) for _ in skus]
    for count in range(len(skus), 0, -1):
        order = _build_order(kind, user_id, address, dict(zip(skus[:count], quantities, strict=False)))
        if _json_size_bytes(order) <= room_bytes:
            return order
    return _build_smallest_order(kind)


def _build_smallest_order(kind: OrderKind) -> Order:
    return _build_order(kind, "u1", "1 Quay", {SHORTEST_SKU: 1})


def _build_order(kind: OrderKind, user_id: str, address: str, units: dict[str, int]) -> Order:
    lines = [OrderLine(sku, PRODUCT_NAMES[sku], quantity, PRICES_CENTS[sku]) for sku, quantity in units.items()]
    if kind == "sold out":
        lines[-1] = OrderLine(SOLD_OUT_SKU, "Out", lines[-1].quantity, 199)
    card = DECLINED_CARD if kind == "declined" else GOOD_CARD
    return Order("", user_id, card, address, tuple(lines))


def _json_size_bytes(part: Order | OrderLine) -> int:
    return len(msgspec.json.encode(part))


def _draw_words(length: int, rng: random.Random) -> str:
    """Words and numbers, in ASCII that JSON leaves as it is."""
    known = _PROSE.split() + [str(rng.randint(1, 9_999)) for _ in range(_DISTINCT_NUMBERS)]
    shortest = 2  # with the blank behind it
    return " ".join(["", *rng.choices(known, k=length // shortest)])[:length]


def _draw_document(length: int, compressible: float, rng: random.Random) -> bytes:
    """Words, with noise instead of some pieces. Drawn afresh all along: a repeat would be found by a large window."""
    text = bytearray(_draw_words(length, rng).encode())
    for start in range(0, length, _NOISE_BYTES):
        if rng.random() >= compressible:
            text[start : start + _NOISE_BYTES] = rng.randbytes(min(_NOISE_BYTES, length - start))
    return bytes(text)


def _draw_lines(payload_bytes: int, compressible: float, rng: random.Random) -> tuple[OrderLine, ...]:
    """Enough for the largest order, wherever it begins; some have noise for a name."""
    skus = [sku for sku in PRODUCT_NAMES if sku != SHORTEST_SKU]
    found: list[OrderLine] = []
    size_bytes = 0
    while size_bytes < payload_bytes or len(found) < _LINE_STARTS:
        sku = rng.choice(skus)
        noisy = rng.random() >= compressible
        name = base64.b64encode(rng.randbytes(_NAME_BYTES)).decode() if noisy else PRODUCT_NAMES[sku]
        found.append(OrderLine(sku, name, rng.randint(1, 9), PRICES_CENTS[sku]))
        size_bytes += _json_size_bytes(found[-1]) if len(found) > _LINE_STARTS else 0
    return tuple(found)

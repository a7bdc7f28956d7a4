"""Seeded orders of a chosen size, shape and mix: the same arguments give the same orders, on every machine."""

import base64
import hashlib
import itertools
import random
from bisect import bisect_right
from dataclasses import dataclass
from typing import Literal

import msgspec

from shop.catalogue import NAMES, PRICES_CENTS, SHORTEST_SKU, SOLD_OUT_SKU
from shop.messages import PROBE_PREFIX, Line, Order, OrderClosed, PlaceOrder
from shop.payments import DECLINED_CARD, GOOD_CARD

Kind = Literal["ships", "sold out", "declined"]
Outcome = Literal["shipped", "rejected"]
Shape = Literal["document", "structured"]
"""What gives an order its size: an attachment, which is bytes to everyone, or more lines, which formats take apart."""
SHAPES: tuple[Shape, ...] = ("document", "structured")

CYCLE = 1_000
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
_MOST_LINES = 3
_DIGITS = 6
"""Order numbers have room for so many digits in the smallest order; larger ones take it from the document."""
_SLACK = 8_192
"""Documents are cut from one text at so many places, so that neighbours differ."""
_SLACK_LINES = 128
"""The same of structured orders, in lines."""
_NOISE_BYTES = 64
"""Text and noise take turns in pieces of so many bytes."""
_NUMBERS = 64
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


class Workload:
    """Orders by number, from 0 on. ``order`` costs a few microseconds, since all contents are made beforehand."""

    def __init__(
        self,
        *,
        prefix: str,
        seed: int,
        payload_bytes: int,
        mix: Mix = DEFAULT_MIX,
        shape: Shape = "document",
        compressible: float = 1.0,
    ) -> None:
        """``payload_bytes`` is the size of an order's compact JSON, its id included.

        ``compressible`` is the share of the content that is words and numbers; the rest is noise, which no compression
        makes smaller. Raises ValueError when it is no share, and when an order cannot be that small, naming the
        smallest size that would do.
        """
        if not 0 <= compressible <= 1:
            raise ValueError(f"what can be compressed is a share from 0 to 1, not {compressible}")
        room_bytes = payload_bytes - len(prefix) - 1 - _DIGITS
        lacking = max(_size_bytes(_smallest(kind)) for kind in ("ships", "sold out", "declined")) - room_bytes
        if lacking > 0:
            raise ValueError(
                f"an order of {payload_bytes:,} bytes is not possible; the smallest here has "
                f"{payload_bytes + lacking:,} bytes"
            )
        rng = random.Random(f"{seed}:orders")
        kinds = _kinds(mix, rng)
        bare = [_bare(kind, room_bytes, rng) for kind in kinds]
        self._prefix = prefix
        self._templates = [
            (order.user_id, order.card, order.address, order.lines, payload_bytes - _size_bytes(order))
            for order in bare
        ]
        self._expected: list[Outcome] = ["shipped" if kind == "ships" else "rejected" for kind in kinds]
        structured = shape == "structured"
        self._text = b"" if structured else _document(payload_bytes + _SLACK, compressible, rng)
        self._lines = _lines(payload_bytes, compressible, rng) if structured else ()
        self._ends = list(itertools.accumulate((_size_bytes(line) + 1 for line in self._lines), initial=0))
        """Up to each line of these, the bytes of their JSON with a comma each."""
        self._prose = _words(200, rng)
        content = f"{seed}|{payload_bytes}|{shape}|{compressible}|{self._expected}"
        self.fingerprint = hashlib.sha256(content.encode()).hexdigest()
        """Of all orders' contents, sizes and outcomes. The prefix is left out, as every trial has its own."""

    def order(self, number: int) -> PlaceOrder:
        user_id, card, address, lines, free_bytes = self._templates[number % CYCLE]
        order_id = f"{self._prefix}-{number}"
        free_bytes -= len(order_id)
        if self._lines:
            start = number * 37 % _SLACK_LINES
            end = bisect_right(self._ends, self._ends[start] + free_bytes) - 1
            lines += self._lines[start:end]
            return PlaceOrder(Order(order_id, user_id, card, address + self._rest(start, end, free_bytes), lines))
        # Three bytes are four letters of base64, in which JSON has them; what is left over goes into the address.
        start = number * 37 % _SLACK
        document = self._text[start : start + free_bytes // 4 * 3]
        return PlaceOrder(Order(order_id, user_id, card, address + self._prose[: free_bytes % 4], lines, document))

    def _rest(self, start: int, end: int, free_bytes: int) -> str:
        """What the lines leave over: less than one more would take."""
        return self._prose[: free_bytes - (self._ends[end] - self._ends[start])]

    def expected(self, number: int) -> Outcome:
        """How the order is planned to end."""
        return self._expected[number % CYCLE]


def shipped(order: PlaceOrder) -> OrderClosed:
    """How an order ends that no shop has seen: for transports that only measure."""
    return OrderClosed(order.order, "shipped", 100, "RR000000000GB", "")


_probe_numbers = itertools.count(1)


def probe(name: str) -> PlaceOrder:
    """A small order that shows that the whole chain answers. ``name`` tells whose it is; ids differ in a process."""
    order = _smallest("ships")
    order_id = f"{PROBE_PREFIX}{name}-{next(_probe_numbers)}"
    return PlaceOrder(Order(order_id, order.user_id, order.card, order.address, order.lines))


def _kinds(mix: Mix, rng: random.Random) -> list[Kind]:
    """The kinds of one cycle, shuffled."""
    sold_out = round(mix.sold_out * CYCLE)
    declined = min(round(mix.declined * CYCLE), CYCLE - sold_out)
    kinds: list[Kind] = []
    shares: dict[Kind, int] = {"sold out": sold_out, "declined": declined, "ships": CYCLE - sold_out - declined}
    for kind, count in shares.items():
        kinds += [kind] * count
    rng.shuffle(kinds)
    return kinds


def _bare(kind: Kind, room_bytes: int, rng: random.Random) -> Order:
    """An order without id and document that leaves room for both."""
    address = f"{rng.randint(1, 199)} {rng.choice(_STREETS)}, {rng.choice(_TOWNS)}"
    user_id = f"user-{rng.randint(0, 9_999):04d}"
    skus = rng.sample(tuple(NAMES), rng.randint(1, _MOST_LINES))
    quantities = [rng.randint(1, 4) for _ in skus]
    for count in range(len(skus), 0, -1):
        order = _order(kind, user_id, address, dict(zip(skus[:count], quantities, strict=False)))
        if _size_bytes(order) <= room_bytes:
            return order
    return _smallest(kind)


def _smallest(kind: Kind) -> Order:
    return _order(kind, "u1", "1 Quay", {SHORTEST_SKU: 1})


def _order(kind: Kind, user_id: str, address: str, units: dict[str, int]) -> Order:
    lines = [Line(sku, NAMES[sku], quantity, PRICES_CENTS[sku]) for sku, quantity in units.items()]
    if kind == "sold out":
        lines[-1] = Line(SOLD_OUT_SKU, "Out", lines[-1].quantity, 199)
    card = DECLINED_CARD if kind == "declined" else GOOD_CARD
    return Order("", user_id, card, address, tuple(lines))


def _size_bytes(part: Order | Line) -> int:
    return len(msgspec.json.encode(part))


def _words(length: int, rng: random.Random) -> str:
    """Words and numbers, in ASCII that JSON leaves as it is."""
    known = _PROSE.split() + [str(rng.randint(1, 9_999)) for _ in range(_NUMBERS)]
    shortest = 2  # with the blank behind it
    return " ".join(["", *rng.choices(known, k=length // shortest)])[:length]


def _document(length: int, compressible: float, rng: random.Random) -> bytes:
    """Words, with noise instead of some pieces. Drawn afresh all along: a repeat would be found by a large window."""
    text = bytearray(_words(length, rng).encode())
    for start in range(0, length, _NOISE_BYTES):
        if rng.random() >= compressible:
            text[start : start + _NOISE_BYTES] = rng.randbytes(min(_NOISE_BYTES, length - start))
    return bytes(text)


def _lines(payload_bytes: int, compressible: float, rng: random.Random) -> tuple[Line, ...]:
    """Enough for the largest order, wherever it begins; some have noise for a name."""
    skus = [sku for sku in NAMES if sku != SHORTEST_SKU]
    found: list[Line] = []
    size_bytes = 0
    while size_bytes < payload_bytes or len(found) < _SLACK_LINES:
        sku = rng.choice(skus)
        noisy = rng.random() >= compressible
        name = base64.b64encode(rng.randbytes(_NAME_BYTES)).decode() if noisy else NAMES[sku]
        found.append(Line(sku, name, rng.randint(1, 9), PRICES_CENTS[sku]))
        size_bytes += _size_bytes(found[-1]) if len(found) > _SLACK_LINES else 0
    return tuple(found)

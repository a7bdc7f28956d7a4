"""Measures what a codec costs by itself: bytes, and time to encode and decode an order.

Conversion and encoding are timed apart, without any transport: protobuf and Avro take messages or dicts of their own,
and making those costs more than writing them; msgspec writes the shop's dataclasses as they are.
"""

import gc
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from statistics import median
from typing import Any

import fastavro
import msgspec
from rich.console import Console
from rich.table import Table

from bench.calibration.schema_evolution import check_evolution
from bench.load.workload.orders import PAYLOAD_SHAPES, Mix, PayloadShape, Workload
from bench.report.formatting import format_number
from shop.messages import KIND_BY_TYPE, Message, PlaceOrder
from transports.wire import Codec, list_codecs, load_codec
from transports.wire import orders_pb2 as pb
from transports.wire.avro import SCHEMA, build_head

SIZES_BYTES = (250, 1024, 16 * 1024, 256 * 1024, 1024 * 1024)
ROUNDS = 7
ROUND_S = 0.02
MIN_CALLS = 5
ALL_SHIP = Mix(sold_out=0.0, declined=0.0)
MAX_RATIO_TO_HAND_WRITTEN = 1.1
"""Of our encoding over the shortest that is written by hand."""


@dataclass(frozen=True, slots=True)
class CodecCost:
    """The cost of one order in one codec: medians over rounds in which all codecs and steps took turns."""

    codec: str
    shape: PayloadShape
    payload_bytes: int
    size_bytes: int
    convert_ns: float
    encode_ns: float
    """Conversion included."""
    decode_ns: float
    by_hand: float
    """``encode_ns`` over that of the shortest by hand, the median of the rounds' ratios."""


def measure_codecs(shape: PayloadShape, payload_bytes: int, rounds: int, round_s: float) -> Iterator[CodecCost]:
    """Yields the cost of every codec, in the order of ``codecs()``."""
    workload = Workload(prefix="c", seed=1, payload_bytes=payload_bytes, mix=ALL_SHIP, shape=shape)
    order = workload.order(0)
    works: dict[tuple[str, str], Callable[[], object]] = {}
    bodies = {}
    for name in list_codecs():
        codec = load_codec(name)
        body = bodies[name] = codec.encode(order)
        works[name, "convert"] = _convert_step(codec, order)
        works[name, "encode"] = _encode_step(codec, order)
        works[name, "by hand"] = _hand_written_step(name, order)
        works[name, "decode"] = _decode_step(codec, body)
        assert works[name, "by hand"]() == body, f"what is written by hand in {name} is something else"
    found_ns: dict[tuple[str, str], list[float]] = {key: [] for key in works}
    for _ in range(rounds):
        for key, work in works.items():
            found_ns[key].append(_time_call_ns(work, round_s))
    for name in list_codecs():
        ratios = [
            ours / theirs for ours, theirs in zip(found_ns[name, "encode"], found_ns[name, "by hand"], strict=True)
        ]
        # Where the library takes a dataclass, there is nothing to convert: what is timed then is a call.
        converts = load_codec(name).convert(order) is not order
        yield CodecCost(
            codec=name,
            shape=shape,
            payload_bytes=payload_bytes,
            size_bytes=len(bodies[name]),
            convert_ns=median(found_ns[name, "convert"]) if converts else 0.0,
            encode_ns=median(found_ns[name, "encode"]),
            decode_ns=median(found_ns[name, "decode"]),
            by_hand=median(ratios),
        )


def _convert_step(codec: Codec, order: Message) -> Callable[[], object]:
    return lambda: codec.convert(order)


def _encode_step(codec: Codec, order: Message) -> Callable[[], object]:
    return lambda: codec.encode(order)


def _decode_step(codec: Codec, body: bytes) -> Callable[[], object]:
    kind = KIND_BY_TYPE[PlaceOrder]
    return lambda: codec.decode(kind, body)


def _hand_written_step(name: str, order: PlaceOrder) -> Callable[[], bytes]:
    """Returns the shortest way from this dataclass to the same bytes that the codec's library allows."""
    parsed: Any = fastavro.parse_schema(list(SCHEMA))
    head = build_head(SCHEMA, 0)
    json, msgpack = msgspec.json.Encoder().encode, msgspec.msgpack.Encoder().encode

    def fields() -> dict[str, Any]:
        o = order.order
        return {
            "order": {
                "order_id": o.order_id,
                "user_id": o.user_id,
                "card": o.card,
                "address": o.address,
                "lines": [
                    {"sku": line.sku, "name": line.name, "quantity": line.quantity, "price_cents": line.price_cents}
                    for line in o.lines
                ],
                "document": o.document,
            }
        }

    def avro() -> bytes:
        body = BytesIO()
        body.write(head)
        fastavro.schemaless_writer(body, parsed[0], fields())
        return body.getvalue()

    return {
        "json": lambda: json(order),
        "msgpack": lambda: msgpack(order),
        "protobuf": lambda: pb.PlaceOrder(**fields()).SerializeToString(),
        "avro": avro,
    }[name]


def _time_call_ns(work: Callable[[], object], round_s: float) -> float:
    """Returns nanoseconds per call: the median over calls for ``round_s``, without the collector, as timeit does."""
    gc.collect()
    gc.disable()
    try:
        took_ns: list[int] = []
        end_ns = time.perf_counter_ns() + round(round_s * 1e9)
        while (begin_ns := time.perf_counter_ns()) < end_ns or len(took_ns) < MIN_CALLS:
            work()
            took_ns.append(time.perf_counter_ns() - begin_ns)
        return median(took_ns)
    finally:
        gc.enable()


def cost_table(found: Sequence[CodecCost]) -> Table:
    """Returns the table: a row per size, shape and codec."""
    title = "An order alone: bytes; microseconds to convert, write and read; times the shortest by hand"
    drawn = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for heading in ("order", "shape", "format"):
        drawn.add_column(heading, no_wrap=True, min_width=9)
    for heading in ("bytes", "convert", "write", "read", "by hand"):
        drawn.add_column(heading, justify="right", no_wrap=True)
    last = None
    for cost in found:
        this = (cost.payload_bytes, cost.shape)
        first = ("", "") if this == last else (f"{cost.payload_bytes:,} B", cost.shape)
        last = this
        drawn.add_row(
            *first,
            cost.codec,
            f"{cost.size_bytes:,}",
            format_number(cost.convert_ns / 1000) if cost.convert_ns else "-",
            format_number(max(0.0, cost.encode_ns - cost.convert_ns) / 1000),
            format_number(cost.decode_ns / 1000),
            f"{cost.by_hand:.2f}",
        )
    return drawn


def evolution_table() -> Table:
    """Returns the table of what an older service does with a newer order: a row per codec."""
    drawn = Table(
        title="An order of a newer shop, with a field more, at a service of today", title_justify="left", box=None
    )
    for heading in ("format", "reads it", "passes the new field on", ""):
        drawn.add_column(heading)
    order = Workload(prefix="e", seed=1, payload_bytes=1024, mix=ALL_SHIP).order(0)
    for reading in check_evolution(order):
        drawn.add_row(reading.codec, "yes" if reading.reads else "no", "yes" if reading.keeps else "no", reading.remark)
    return drawn


def print_codec_costs(rounds: int, round_s: float, console: Console) -> list[CodecCost]:
    """Measures every codec, prints the tables of cost and evolution, and returns the costs."""
    found = [
        cost
        for shape in PAYLOAD_SHAPES
        for payload_bytes in SIZES_BYTES
        for cost in measure_codecs(shape, payload_bytes, rounds, round_s)
    ]
    console.print(cost_table(found))
    worst = max(found, key=lambda cost: cost.by_hand)
    met = "met" if worst.by_hand <= MAX_RATIO_TO_HAND_WRITTEN else "MISSED"
    console.print(
        f"at most {worst.by_hand:.2f} times the shortest by hand ({worst.codec}, {worst.payload_bytes:,} bytes "
        f"{worst.shape}); goal {MAX_RATIO_TO_HAND_WRITTEN}: {met}",
        highlight=False,
    )
    console.print(evolution_table())
    return found

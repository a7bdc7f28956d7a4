"""Builds made-up trials and runs for the tests of results and reports."""

import math
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from hdrh.histogram import HdrHistogram

from bench.results.histograms import Percentiles, compute_percentiles, empty_histogram
from bench.results.measures import MEASURES
from bench.results.rows import SliceRow, TrialRow
from bench.results.settings import settings_by_column
from bench.results.store import RunFolder

CELLS: Mapping[str, tuple[str, str, str, float, float]] = {
    "rest": ("rest", "aiohttp", "json", 1.0, 5.3),
    "grpc": ("grpc", "grpcio", "protobuf", 1.0, 5.5),
    "grpc+json": ("grpc", "grpcio", "json", 1.0, 5.9),
    "broker": ("broker", "aio-pika", "json", 0.12, 6.9),
    "events": ("events", "aiokafka", "json", 0.15, 8.8),
}
"""Transport, client, codec, acceptance as a part of completion, completion p50 in ms."""


def build_histogram(median_ms: float, orders: int = 900, seed: int = 1, spread: float = 0.4) -> HdrHistogram:
    """Returns a log-normal histogram in microseconds."""
    draw, histogram = random.Random(seed), empty_histogram()
    for _ in range(orders):
        histogram.record_value(max(1, round(median_ms * 1000 * draw.lognormvariate(0, spread))))
    return histogram


DEFAULT_BACKEND = {"broker": "rabbitmq", "events": "kafka"}
"""The methods' own; the others have none."""


def build_trial(**changes: Any) -> TrialRow:
    """Returns a valid trial of REST without failures, or of another transport over its own backend."""
    quick = Percentiles(p50_us=5300, p90_us=8000, p99_us=11000, max_us=15000)
    fields: dict[str, Any] = {
        **{column: spec.default for column, spec in settings_by_column().items()},
        "round": 1,
        "slot": 1,
        "cell": "rest",
        "transport": "rest",
        "client": "aiohttp",
        "codec": "json",
        "compression": "none",
        "shape": "document",
        "compressible": 1.0,
        "order_bytes": 1024,
        "payload_bytes": 1024,
        "security": "none",
        "durability": "fast",
        "store": "memory",
        "product": DEFAULT_BACKEND.get(changes.get("transport", ""), "none"),
        "processes": 1,
        "retries": 0,
        "keep_alive_s": 0.0,
        "fault": "none",
        "plan_hash": "c0ffee",
        "arrivals": "constant",
        "rate_per_s": 150.0,
        "offered_per_s": 150.0,
        "achieved_per_s": 149.8,
        "duration_s": 6.0,
        "planned": 900,
        "not_sent": 0,
        "sent": 900,
        "accepted": 900,
        "finished": 900,
        "failed": 0,
        "unfinished": 0,
        "lost": 0,
        "duplicated": 0,
        "shipped": 880,
        "rejected": 20,
        "accept": quick,
        "finish": quick,
        "finish_service": quick,
        "accept_service": quick,
        "lateness": Percentiles(p50_us=40, p90_us=50, p99_us=71, max_us=300),
        "cpu_us_per_order_services": 2410.0,
        "cpu_us_per_order_driver": 311.5,
        "rss_mib_services": 180.25,
        "complete": True,
        "valid": True,
    }
    values = fields | changes
    settings = {name: values.pop(name) for name in settings_by_column() if name in values}
    measures = {name: values.pop(name) for name in MEASURES if name in values}
    return TrialRow(settings=settings, measures=measures, **values)


def build_slice(**changes: Any) -> SliceRow:
    """Returns a row of slices.csv, with ``changes``."""
    fields: dict[str, Any] = {
        **{field.name: 1 for field in msgspec.structs.fields(SliceRow)},
        "cell": "rest",
        "lead_in_s": 0.1,
        "window_s": 0.5,
        "finish_p50_us": 5001.0,
        "finish_p99_us": None,
        "cpu_us_per_order_broker": None,
        "left": 0,
        "company": 0,
    }
    return SliceRow(**(fields | changes))


def build_run(root: Path, rounds: int = 6, cells: Mapping[str, Any] = CELLS, **manifest: Any) -> RunFolder:
    """Creates a run of all five cells, with small differences between rounds."""
    profile = {"rates_per_s": [150], "durability": "fast", "rounds": rounds}
    run = RunFolder.create(root, "made-up", {"profile": profile, "skipped": {}, **manifest})
    for number in range(1, rounds + 1):
        for slot, (cell, (transport, client, codec, part, median_ms)) in enumerate(cells.items(), 1):
            luck = 1 + 0.04 * math.sin(number * 7 + slot)
            finish = build_histogram(median_ms * luck, seed=number * 10 + slot)
            accept = finish if part == 1 else build_histogram(median_ms * luck * part, seed=number * 10 + slot)
            brokered = transport in ("broker", "events")
            trial = build_trial(
                round=number,
                slot=slot,
                cell=cell,
                transport=transport,
                client=client,
                codec=codec,
                accept=compute_percentiles(accept),
                finish=compute_percentiles(finish),
                finish_service=compute_percentiles(finish),
                accept_service=compute_percentiles(accept),
                cpu_us_per_order_services=2000 * luck,
                cpu_us_per_order_broker=900 * luck if brokered else None,
            )
            run.add_trial(trial, {"accept": accept, "finish": finish})
    return run


def build_set_run(
    root: Path,
    sets: int = 5,
    cells: Mapping[str, Any] = CELLS,
    *,
    between: float = 0.02,
    within: float = 0.05,
    slices: int = 6,
    orders: int = 450,
    **manifest: Any,
) -> RunFolder:
    """Creates a run in sets, whose cells scatter between sets and within them by these standard deviations of ln."""
    profile = {"rates_per_s": [150], "durability": "fast", "rounds": sets, "slice_s": 0.5, "slices": slices}
    run = RunFolder.create(root, "made-up", {"plan": "sets", "profile": profile, "skipped": {}, **manifest})
    for set_ in range(1, sets + 1):
        add_set(run, set_, cells, between=between, within=within, slices=slices, orders=orders)
    return run


def add_set(
    run: RunFolder,
    set_: int,
    cells: Mapping[str, Any] = CELLS,
    *,
    between: float = 0.02,
    within: float = 0.05,
    slices: int = 6,
    orders: int = 450,
    **changes: Any,
) -> None:
    """Adds a set to a run, with ``changes`` in all its trials."""
    draw = random.Random(set_)
    shared = math.exp(draw.gauss(0, 0.2))
    for slot, (cell, (transport, client, codec, _, median_ms)) in enumerate(cells.items(), 1):
        lucks = [draw.gauss(0, within) for _ in range(slices)]
        luck = draw.gauss(0, between)
        in_slices = [median_ms * 1000 * shared * math.exp(luck + one) for one in lucks]
        whole_us = math.exp(sum(map(math.log, in_slices)) / slices)
        finish = build_histogram(whole_us / 1000, orders=orders, seed=set_ * 10 + slot)
        named = {"round": set_, "slot": slot, "cell": cell}
        run.add_slices([build_slice(**named, slice=n, finish_p50_us=us) for n, us in enumerate(in_slices, 1)])
        made_of = {"transport": transport, "client": client, "codec": codec}
        counts = dict.fromkeys(("planned", "sent", "accepted", "finished"), orders)
        percentiles = msgspec.structs.replace(compute_percentiles(finish), p50_us=whole_us)
        trial = build_trial(**{**named, **made_of, **counts, "finish": percentiles, **changes})
        run.add_trial(trial, {"finish": finish, "accept": finish})

"""Builds runs that are hard to report on, each with a text that its page must have."""

import math
from collections.abc import Callable, Mapping
from pathlib import Path

from bench.results.caveats import incomplete, no_orders
from bench.results.histograms import Percentiles
from bench.results.store import RunFolder
from tests.unit.builders import CELLS, build_run, build_trial

ALL_INFINITE = Percentiles(p50_us=math.inf, p90_us=math.inf, p99_us=math.inf, max_us=math.inf)


def build_one_transport(root: Path) -> RunFolder:
    return build_run(root, cells={"grpc": CELLS["grpc"]})


def build_one_round(root: Path) -> RunFolder:
    return build_run(root, rounds=1)


def build_missing_broker(root: Path) -> RunFolder:
    cells = {name: CELLS[name] for name in ("rest", "grpc")}
    return build_run(root, cells=cells, skipped={"broker": "there is no <RabbitMQ>; type `make setup`"})


def build_invalid_cell(root: Path) -> RunFolder:
    run = RunFolder.create(root, "made-up", {"profile": {}, "skipped": {}})
    for number in range(1, 7):
        run.add_trial(build_trial(round=number), {})
        run.add_trial(build_trial(round=number, slot=2, cell="grpc", transport="grpc", valid=False), {})
    return run


def build_all_failed(root: Path) -> RunFolder:
    run = RunFolder.create(root, "made-up", {"profile": {"deadline_s": 10.0}, "skipped": {}})
    for number in range(1, 7):
        run.add_trial(build_trial(round=number), {})
        failed = build_trial(
            round=number,
            slot=2,
            cell="broker",
            transport="broker",
            finished=0,
            shipped=0,
            rejected=0,
            failed=900,
            accept=ALL_INFINITE,
            finish=ALL_INFINITE,
            cpu_us_per_order_services=None,
            complete=False,
            caveats=(incomplete(900, 0),),
        )
        run.add_trial(failed, {})
    return run


def build_without_p99(root: Path) -> RunFolder:
    run = RunFolder.create(root, "made-up", {"profile": {}, "skipped": {}})
    few = Percentiles(p50_us=5300, p90_us=8000)
    for number in range(1, 7):
        run.add_trial(build_trial(round=number, planned=100, finish=few, accept=few), {})
        lossy = Percentiles(p50_us=5400 + number, p90_us=8100, p99_us=math.inf)
        run.add_trial(build_trial(round=number, slot=2, cell="grpc", transport="grpc", finish=lossy), {})
    return run


def build_sixty_cells(root: Path) -> RunFolder:
    run = RunFolder.create(root, "made-up", {"profile": {}, "skipped": {}})
    for number in range(1, 7):
        for slot in range(60):
            transport = ("rest", "grpc", "broker", "events")[slot % 4]
            quick = Percentiles(p50_us=2000 + 100 * slot + number, p99_us=9000 + 100 * slot)
            rate_per_s = 10.0 * (1 + slot // 4)
            cell = f"{transport}@{rate_per_s:g}"
            run.add_trial(
                build_trial(
                    round=number,
                    slot=slot + 1,
                    cell=cell,
                    transport=transport,
                    rate_per_s=rate_per_s,
                    offered_per_s=rate_per_s,
                    achieved_per_s=rate_per_s,
                    finish=quick,
                    accept=quick,
                ),
                {},
            )
    return run


def build_zero_completed(root: Path) -> RunFolder:
    run = RunFolder.create(root, "made-up", {"profile": {}, "skipped": {}})
    nothing = Percentiles()
    run.add_trial(
        build_trial(
            planned=0,
            sent=0,
            accepted=0,
            finished=0,
            shipped=0,
            rejected=0,
            accept=nothing,
            finish=nothing,
            complete=False,
            valid=False,
            caveats=(no_orders(150.0, 6.0),),
        ),
        {},
    )
    return run


EDGE_CASES: Mapping[str, tuple[Callable[[Path], RunFolder], tuple[str, ...]]] = {
    "one transport": (build_one_transport, ("the median order over gRPC (protobuf) finishes in",)),
    "one round": (build_one_round, ("no interval from 1 round, so no difference shown",)),
    "a missing broker": (
        build_missing_broker,
        ("RabbitMQ was not measured: there is no <RabbitMQ>; type `make setup`.",),
    ),
    "an invalid cell": (build_invalid_cell, ("INVALID, so shown and not compared: gRPC.",)),
    "all failed": (build_all_failed, ("No order of RabbitMQ finished.", "5,400", "> 10 s")),
    "no p99": (build_without_p99, ("a time that so few orders do not tell", "∞")),
    "sixty cells": (build_sixty_cells, ("60 cells",)),
    "zero completed": (build_zero_completed, ("No order of REST finished.", "no order came in a window")),
}
"""By name, what makes the run, and what its page has to say in so many words."""

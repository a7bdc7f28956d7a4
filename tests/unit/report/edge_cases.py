"""Runs that are hard to report on: each is a way in which a page can mislead, or break."""

import math
from collections.abc import Callable, Mapping
from pathlib import Path

from bench.results.caveats import empty, incomplete
from bench.results.histograms import Percentiles
from bench.results.store import Run
from tests.unit.builders import CELLS, a_run, a_trial

NEVER = Percentiles(p50_us=math.inf, p90_us=math.inf, p99_us=math.inf, max_us=math.inf)


def one_transport(root: Path) -> Run:
    return a_run(root, cells={"grpc": CELLS["grpc"]})


def one_round(root: Path) -> Run:
    return a_run(root, rounds=1)


def a_missing_broker(root: Path) -> Run:
    cells = {name: CELLS[name] for name in ("rest", "grpc")}
    return a_run(root, cells=cells, skipped={"broker": "there is no <RabbitMQ>; type `make setup`"})


def an_invalid_cell(root: Path) -> Run:
    run = Run.create(root, "made-up", {"profile": {}, "skipped": {}})
    for number in range(1, 7):
        run.add_trial(a_trial(round=number), {})
        run.add_trial(a_trial(round=number, slot=2, cell="grpc", transport="grpc", valid=False), {})
    return run


def all_failed(root: Path) -> Run:
    run = Run.create(root, "made-up", {"profile": {"deadline_s": 10.0}, "skipped": {}})
    for number in range(1, 7):
        run.add_trial(a_trial(round=number), {})
        failed = a_trial(
            round=number,
            slot=2,
            cell="broker",
            transport="broker",
            finished=0,
            shipped=0,
            rejected=0,
            failed=900,
            accept=NEVER,
            finish=NEVER,
            cpu_us_per_order_services=None,
            complete=False,
            caveats=(incomplete(900, 0),),
        )
        run.add_trial(failed, {})
    return run


def no_p99(root: Path) -> Run:
    run = Run.create(root, "made-up", {"profile": {}, "skipped": {}})
    few = Percentiles(p50_us=5300, p90_us=8000)
    for number in range(1, 7):
        run.add_trial(a_trial(round=number, planned=100, finish=few, accept=few), {})
        lossy = Percentiles(p50_us=5400 + number, p90_us=8100, p99_us=math.inf)
        run.add_trial(a_trial(round=number, slot=2, cell="grpc", transport="grpc", finish=lossy), {})
    return run


def sixty_cells(root: Path) -> Run:
    run = Run.create(root, "made-up", {"profile": {}, "skipped": {}})
    for number in range(1, 7):
        for slot in range(60):
            transport = ("rest", "grpc", "broker", "events")[slot % 4]
            quick = Percentiles(p50_us=2000 + 100 * slot + number, p99_us=9000 + 100 * slot)
            rate_per_s = 10.0 * (1 + slot // 4)
            cell = f"{transport}@{rate_per_s:g}"
            run.add_trial(
                a_trial(
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


def zero_completed(root: Path) -> Run:
    run = Run.create(root, "made-up", {"profile": {}, "skipped": {}})
    nothing = Percentiles()
    run.add_trial(
        a_trial(
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
            caveats=(empty(150.0, 6.0),),
        ),
        {},
    )
    return run


HARD: Mapping[str, tuple[Callable[[Path], Run], tuple[str, ...]]] = {
    "one transport": (one_transport, ("the median order over gRPC (protobuf) finishes in",)),
    "one round": (one_round, ("no interval from 1 round, so no difference shown",)),
    "a missing broker": (a_missing_broker, ("RabbitMQ was not measured: there is no <RabbitMQ>; type `make setup`.",)),
    "an invalid cell": (an_invalid_cell, ("INVALID, so shown and not compared: gRPC.",)),
    "all failed": (all_failed, ("No order of RabbitMQ finished.", "5,400", "> 10 s")),
    "no p99": (no_p99, ("a time that so few orders do not tell", "∞")),
    "sixty cells": (sixty_cells, ("60 cells",)),
    "zero completed": (zero_completed, ("No order of REST finished.", "no order came in a window")),
}
"""By name, what makes the run, and what its page has to say in so many words."""

"""Measures what a report costs in time, memory and page size, also for large runs.

`fourways harness report-cost RUN=…`: RUN is one with histograms, results/reference/default by default. Two
larger runs are made from it: one with 500 cells, its cells over and over, and one with a thousand times as many orders
in its histograms.
"""

import csv
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from bench.errors import ResultsError
from bench.paths import ROOT
from bench.results import histograms
from bench.results.durable_files import format_json
from bench.results.store import RunFolder

LARGE_RUN_CELLS, ORDER_FACTOR = 500, 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportCost:
    """What it costs to make a report in a process of its own."""

    seconds: float
    cpu_s: float
    """Which other programs do not change."""
    peak_mib: float
    page_kib: float


def measure_report(run: Path, out: Path) -> ReportCost:
    """Makes a report of ``run`` in ``out`` and returns its cost. Raises ResultsError when there is no report."""
    begun_s = time.monotonic()
    child = subprocess.Popen(
        [sys.executable, "-m", "bench", "report", f"RUN={run}", f"OUT={out}"], stdout=subprocess.DEVNULL, cwd=ROOT
    )
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise ResultsError(f"there is no report of {run}; `make report RUN={run}` says why", code="no-report")
    size = (out / "report.html").stat().st_size / 1024
    cpu_s = used.ru_utime + used.ru_stime
    return ReportCost(seconds=time.monotonic() - begun_s, cpu_s=cpu_s, peak_mib=used.ru_maxrss / 1024, page_kib=size)


def write_many_cells(run: RunFolder, folder: Path) -> None:
    """Writes a study to ``folder``: every cell again at one rate after the other, until there are LARGE_RUN_CELLS."""
    folder.mkdir()
    (folder / "manifest.json").write_text(format_json({**run.manifest, "cells": []}), "utf-8")
    with (run.path / "trials.csv").open(newline="", encoding="utf-8") as file:
        columns, *trials = csv.reader(file)
    cell, offered, slot = (columns.index(name) for name in ("cell", "offered_per_s", "slot"))
    per_rate = len({trial[cell] for trial in trials})
    with (folder / "trials.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        for rate_per_s in range(1, LARGE_RUN_CELLS // per_rate + 1):
            for trial in trials:
                changed = {cell: f"{trial[cell]}@{rate_per_s}", offered: str(rate_per_s)}
                changed[slot] = str(int(trial[slot]) + (rate_per_s - 1) * per_rate)
                writer.writerow([changed.get(at, value) for at, value in enumerate(trial)])


def write_many_orders(run: RunFolder, folder: Path) -> int:
    """Writes the run with ORDER_FACTOR times as many orders in every histogram; returns how many it then has."""
    folder.mkdir()
    for name in ("manifest.json", "trials.csv", "hops.csv"):
        if (run.path / name).exists():
            (folder / name).write_bytes((run.path / name).read_bytes())
    orders = 0
    with (folder / "histograms.hlog").open("w", encoding="ascii") as log:
        for trial, series, histogram in run.histograms("finish"):
            larger = histograms.empty_histogram()
            for index, count in enumerate(histogram.counts):
                if count:
                    larger.record_value(max(1, histogram.get_value_from_index(index)), count * ORDER_FACTOR)
            orders += larger.get_total_count()
            log.write(histograms.format_line(histograms.build_tag(trial, series), larger, 0.0, 1.0))
    return orders


def measure_reports(run: RunFolder, folder: Path) -> Iterator[tuple[str, ReportCost]]:
    """Yields what was measured and its cost. Raises ResultsError."""
    cells, orders = run.trials()["cell"].nunique(), sum(one.get_total_count() for *_, one in run.histograms("finish"))
    yield f"{run.path.name}: {cells} cells, {orders:,} orders", measure_report(run.path, folder / "out")
    more = write_many_orders(run, folder / "orders")
    yield f"the same with {more:,} orders", measure_report(folder / "orders", folder / "out-orders")
    write_many_cells(run, folder / "cells")
    made = RunFolder.open(folder / "cells").trials()
    said = f"a made study: {made['cell'].nunique()} cells, {len(made):,} trials"
    yield said, measure_report(folder / "cells", folder / "out-cells")


def report_cost_table(found: Iterable[tuple[str, ReportCost]]) -> Table:
    """Returns the table, a row for each report."""
    table = Table(title="What a report costs", title_justify="left", box=None, pad_edge=False)
    table.add_column("of")
    for heading in ("seconds", "of CPU", "peak MiB", "page KiB"):
        table.add_column(heading, justify="right")
    for what, cost in found:
        table.add_row(what, f"{cost.seconds:.1f}", f"{cost.cpu_s:.1f}", f"{cost.peak_mib:.0f}", f"{cost.page_kib:.0f}")
    return table

"""Builds the summary table: one row per cell, errors and losses beside speed."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.report import style
from bench.report.run_view import RunView
from bench.report.traced_numbers import Sentence, trace_estimate, trace_number
from bench.report.wording import mark_best_cells, nonzero_or_none
from bench.stats.effects import KIB

HEADINGS = (
    "finished, median ms",
    "finished, p99 ms",
    "accepted, median ms",
    "orders/s",
    "offered/s",
    "failed",
    "unfinished",
    "lost",
    "CPU of services, ms an order",
    "CPU of the broker, ms an order",
    "on the wire, KiB an order",
    "valid trials",
)
COLUMN_BY_METRIC = {"finish_p50_us": 0, "finish_p99_us": 1, "wire_bytes_per_order": 10}
"""Metrics in which a cell is called the best, or said to tie, and their columns.

Acceptance is another thing on another method, and of what services burn a broker's method leaves a part to the broker.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class SummaryRow:
    """A cell of the run. ``marks`` say "best" or "tie", by index in ``values``."""

    title: str
    made_of: str
    valid: bool
    of: str
    """The first part of the place of the numbers in ``values``, which carry the rest."""
    values: Sequence[Sentence]
    marks: Mapping[int, str]


def build_summary_rows(reading: RunView) -> Iterator[SummaryRow]:
    """Yields a row for each cell, in the order of the summary."""
    marks = {metric: mark_best_cells(reading.trials, metric, reading.statistics) for metric in COLUMN_BY_METRIC}
    deadline_s = reading.profile.get("deadline_s")
    censored = "∞" if deadline_s is None else f"> {deadline_s:g} s"
    for cell in reading.summary["cells"]:
        yield SummaryRow(
            title=style.format_cell_name(cell["cell"], cell["transport"]),
            made_of=f"{cell['codec']}, {cell['client']}",
            valid=cell["valid"],
            of=f"{reading.name} cells {cell['cell']}",
            values=tuple(_format_values(cell, censored)),
            marks={COLUMN_BY_METRIC[metric]: of[cell["cell"]] for metric, of in marks.items() if cell["cell"] in of},
        )


def _format_values(cell: Mapping[str, Any], censored: str) -> Iterator[Sentence]:
    metrics, orders = cell["metrics"], cell["orders"]
    for name in ("finish_p50_us", "finish_p99_us", "accept_p50_us"):
        yield Sentence((trace_estimate(metrics.get(name), name, scale=1e-3, censored=censored),))
    yield Sentence((trace_estimate(metrics.get("achieved_per_s"), "achieved_per_s"),))
    yield Sentence((trace_number(cell["offered_per_s"], "offered_per_s"),))
    for name in ("failed", "unfinished", "lost"):
        yield Sentence((trace_number(orders[name], name),))
    for name in ("cpu_us_per_order_services", "cpu_us_per_order_broker"):
        yield Sentence((trace_estimate(metrics.get(name), name, scale=1e-3),))
    yield Sentence(
        (trace_estimate(nonzero_or_none(metrics.get("wire_bytes_per_order")), "wire_bytes_per_order", scale=1 / KIB),)
    )
    trials = [trace_number(cell[name], name) for name in ("valid_trials", "trials")]
    yield Sentence((trials[0], " of ", trials[1]))

"""Two runs side by side on the terminal, 80 columns wide."""

from collections.abc import Iterator, Mapping, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from bench.report.formatting import digits
from bench.results.compare import Change, Compared, Comparison, grouped
from bench.stats.equivalence import verdict
from bench.stats.intervals import Estimate

HEADINGS: Mapping[str, tuple[str, float]] = {
    "accept_p50_us": ("accept p50, ms", 1000.0),
    "accept_p99_us": ("accept p99, ms", 1000.0),
    "finish_p50_us": ("finish p50, ms", 1000.0),
    "finish_p99_us": ("finish p99, ms", 1000.0),
    "cpu_us_per_order_services": ("CPU of services, us", 1.0),
    "cpu_us_per_order_broker": ("CPU of the broker, us", 1.0),
    "wire_bytes_per_order": ("bytes on the wire", 1.0),
}


def compared(comparison: Comparison) -> RenderableType:
    """What differs first, then the results, then what to hold against them."""
    lines: list[RenderableType] = [Text(f"A is {comparison.a}, B is {comparison.b}.", style="bold")]
    for title, changes in (("environment", comparison.environment), ("settings", comparison.settings)):
        lines.append(_changes(title, changes) if changes else Text(f"Of the {title} nothing differs."))
    lines += [Text(f"Caveat: {caveat}", style="yellow") for caveat in comparison.caveats]
    lines += [Text(), _results(comparison.cells)]
    lines += [Text(f"Not compared, {why}.", style="yellow") for why in grouped(comparison.left_out)]
    lines.append(Text("Medians over valid trials, ratios over every two of them; a difference beyond a tenth has a *."))
    return Group(*lines)


def _table(title: str, *headings: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", pad_edge=False, box=None)
    table.add_column(headings[0], overflow="fold", min_width=22)
    for heading in headings[1:]:
        table.add_column(heading, justify="right", overflow="fold")
    return table


def _changes(title: str, changes: Sequence[Change]) -> Table:
    table = _table(f"What differs in the {title}", title, "A", "B")
    for change in changes:
        table.add_row(Text(change.what), Text(change.a or "-"), Text(change.b or "-"))
    return table


def _results(cells: Sequence[Compared]) -> Table:
    table = _table("Results, B over A", "cell", "A", "B", "B / A", "95 %")
    for cell in cells:
        table.add_row(Text(cell.cell, style="bold"))
        for heading, *counts in _counts(cell):
            bad = "trials" not in heading and any(counts)
            table.add_row(f" {heading}", *(f"{count:,}" for count in counts), style="bold red" if bad else "")
        for metric, (a, b, ratio) in cell.metrics.items():
            heading, scale = HEADINGS[metric]
            mark = "" if verdict(ratio).is_tie else " *"
            table.add_row(f" {heading}", _scaled(a, scale), _scaled(b, scale), _one(ratio.value), _ends(ratio) + mark)
    return table


def _counts(cell: Compared) -> Iterator[tuple[str, int, int]]:
    """Errors and losses stand above speed; of A, and of B."""
    (a, b), trials = cell.orders, cell.trials
    yield "valid trials", *trials
    yield "failed, unfinished", a["failed"] + a["unfinished"], b["failed"] + b["unfinished"]
    if a["lost"] or b["lost"]:
        yield "lost", a["lost"], b["lost"]


def _scaled(estimate: Estimate, scale: float) -> str:
    return _one(None if estimate.value is None else estimate.value / scale)


def _one(number: float | None) -> str:
    return "n/a" if number is None else digits(number)


def _ends(ratio: Estimate) -> str:
    return "no interval" if ratio.low is None or ratio.high is None else f"{digits(ratio.low)} to {digits(ratio.high)}"

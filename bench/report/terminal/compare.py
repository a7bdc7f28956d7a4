"""Renders the comparison of two runs for the terminal, 80 columns wide."""

from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from bench.report.formatting import format_number
from bench.results.compare import CellComparison, RunComparison, group_by_reason
from bench.results.differences import Difference
from bench.results.measures import label_column
from bench.stats.intervals import Estimate


def render_comparison(comparison: RunComparison) -> RenderableType:
    """Returns the comparison: whether everything moved, what differs in the runs, the results, and how to read them."""
    lines: list[RenderableType] = [Text(comparison.headline, style="bold")]
    lines.append(Text(f"A is {comparison.a}, B is {comparison.b}."))
    for title, changes in (("environment", comparison.environment), ("settings", comparison.settings)):
        lines.append(_changes_table(title, changes) if changes else Text(f"Of the {title} nothing differs."))
    lines += [Text(f"Caveat: {caveat}", style="yellow") for caveat in comparison.caveats]
    lines += [Text(), _results_table(comparison)]
    lines += [Text(f"Not compared, {why}.", style="yellow") for why in group_by_reason(comparison.left_out)]
    lines += [Text(sentence) for sentence in _explain_marks(comparison)]
    return Group(*lines)


def _explain_marks(comparison: RunComparison) -> Iterator[str]:
    claims, reference = comparison.claims, comparison.reference
    yield "B / A holds the hour of each run, but for counts, which differ where they are more than a tenth away."
    if reference is not None:
        yield (
            f"Beside {reference.cell} is the ratio of ratios, (cell / {reference.cell}) in B to the same in A, and its "
            "interval; where that is empty the interval is that of B / A. The CPU of a broker or database is beside "
            f"{reference.cell}'s services where {reference.cell} has no such server."
        )
    if claims.figures:
        yield (
            f"{claims.figures} figures compared at 95 %: about {claims.by_chance:.1f} would lie apart by chance alone. "
            "A * holds for all of them together (Holm's rule); perhaps: apart by itself, and not beside so many others."
            " Neither stands where a cell may only have followed the machine, which need not be one to one."
        )


def _new_table(title: str, *headings: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", pad_edge=False, box=None, padding=(0, 1, 0, 0))
    table.add_column(headings[0], overflow="fold", min_width=22)
    for heading in headings[1:]:
        table.add_column(heading, justify="right", overflow="fold")
    return table


def _changes_table(title: str, changes: Sequence[Difference]) -> Table:
    table = _new_table(f"What differs in the {title}", title, "A", "B")
    for change in changes:
        table.add_row(Text(change.what), Text(change.a or "-"), Text(change.b or "-"))
    return table


def _results_table(comparison: RunComparison) -> Table:
    reference = "" if comparison.reference is None else f"beside {comparison.reference.cell}"
    table = _new_table("Results, B over A", "cell", "A", "B", "B / A", reference, "95 %", "")
    for cell in comparison.cells:
        table.add_row(Text(cell.cell, style="bold"))
        for heading, *counts in _count_orders(cell):
            bad = "trials" not in heading and any(counts)
            table.add_row(f" {heading}", *(f"{count:,}" for count in counts), style="bold red" if bad else "")
        for metric, one in cell.metrics.items():
            label = label_column(metric)
            beside = None if one.beside is None or one.beside.value is None else one.beside
            table.add_row(
                f" {label.with_unit}",
                _format_scaled(one.a, label.scale),
                _format_scaled(one.b, label.scale),
                _format_or_na(one.change.value),
                "" if beside is None else _format_or_na(beside.value),
                _format_interval(beside or one.change),
                one.mark,
            )
    return table


def _count_orders(cell: CellComparison) -> Iterator[tuple[str, int, int]]:
    """Yields the name and the counts of A and B: errors and losses, which stand above speed."""
    (a, b), trials = cell.orders, cell.trials
    yield "valid trials", *trials
    yield "failed, unfinished", a["failed"] + a["unfinished"], b["failed"] + b["unfinished"]
    if a["lost"] or b["lost"]:
        yield "lost", a["lost"], b["lost"]


def _format_scaled(estimate: Estimate, scale: float) -> str:
    return _format_or_na(None if estimate.value is None else estimate.value / scale)


def _format_or_na(number: float | None) -> str:
    return "n/a" if number is None else format_number(number)


def _format_interval(ratio: Estimate) -> str:
    return (
        "no interval"
        if ratio.low is None or ratio.high is None
        else f"{format_number(ratio.low)} to {format_number(ratio.high)}"
    )

"""Renders where an order's time goes as tables for the terminal, none wider than 80 columns."""

import math

import pandas as pd
from rich.console import Group, RenderableType
from rich.table import Table

from bench.report.formatting import format_number
from bench.results.repeats import name_repeat

HOP_LETTERS = 9
"""Of a number, at the least."""
HOPS_ABREAST_LETTERS = 58
"""What service and part leave of 80 columns."""


def hops_table(hops: pd.DataFrame, *, in_sets: bool = False) -> RenderableType:
    """A row per service and part, from ``Run.hops()``: medians over trials of what an order spends there in the mean.

    ``in_sets``: they are over sets. A service that has an order twice has both in its row. Below a wait stands how much
    of it was for the event loop, with how far its 95 % interval reaches, where that was sampled. Cells stand abreast as
    far as 80 columns hold them, and the further ones in tables below.
    """
    cells = list(dict.fromkeys(hops["cell"]))
    of_trial = hops.groupby(["service", "part", "cell", "round"], sort=False)["mean_us"].sum()
    shown = of_trial.groupby(["service", "part", "cell"], sort=False).median().unstack("cell")
    over = name_repeat("trial", in_sets=in_sets)
    title = f"Where an order's time goes, microseconds: its mean, the median over {over}s"
    tables, few, wide = [], list[str](), 0
    for cell in cells:
        width = max(len(cell), HOP_LETTERS) + 2
        if few and wide + width > HOPS_ABREAST_LETTERS:
            tables.append(_hops_of(shown, hops, few, title))
            few, wide = [], 0
        few.append(cell)
        wide += width
    tables.append(_hops_of(shown, hops, few, title))
    return Group(*tables)


def _hops_of(shown: pd.DataFrame, hops: pd.DataFrame, cells: list[str], title: str) -> Table:
    table = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        pad_edge=False,
        box=None,
    )
    table.add_column("service", no_wrap=True)
    table.add_column("part", no_wrap=True)
    for cell in cells:
        table.add_column(cell, justify="right", overflow="fold")
    for service, part in dict.fromkeys(zip(hops["service"], hops["part"], strict=True)):
        values = [shown.loc[(service, part), cell] for cell in cells]
        if not all(map(pd.isna, values)):
            table.add_row(service, part, *("" if pd.isna(value) else format_number(value) for value in values))
        if part == "wait" and any(loops := [_format_loop(hops, service, cell) for cell in cells]):
            table.add_row("", " for loop", *loops, style="dim")
    table.add_row("all", "", *(format_number(value) for value in shown.sum()[cells]), style="bold", end_section=True)
    return table


def _format_loop(hops: pd.DataFrame, service: str, cell: str) -> str:
    """Formats what an order waits for the service's event loop, in the mean; empty where that was not sampled."""
    here = hops[(hops["service"] == service) & (hops["cell"] == cell) & hops["loop_us"].notna()]
    if here.empty:
        return ""
    # A trial's waits at one service add up, and so do the variances of what samples say of them.
    trials = here.assign(squared=here["loop_error_us"] ** 2).groupby("round")
    loop_us = float(trials["loop_us"].sum().median())
    error_us = math.sqrt(float(trials["squared"].sum(min_count=1).median()))
    return format_number(loop_us) if math.isnan(error_us) else f"{format_number(loop_us)}±{format_number(error_us)}"

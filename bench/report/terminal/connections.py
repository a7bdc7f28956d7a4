"""Renders the table of new connections: a row per method, format and security level."""

from collections.abc import Iterator, Mapping, Sequence

import msgspec
import pandas as pd
from rich.console import Console
from rich.table import Table

from bench.report.formatting import format_estimate
from bench.results.rows import ColdStartRow
from bench.stats.intervals import Estimate, estimate_median
from bench.stats.paired import paired_ratio
from transports.security import LEVELS, NONE

TABLE_WIDTH = 140
"""The table's width in characters; a narrower screen wraps the rows, and no number is cut."""


class ConnectionRow(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the table."""

    method: str
    codec: str
    security: str
    cold_us: Estimate
    warm_us: Estimate
    cold_ratio: Estimate | None
    """The ratio to the level none, round by round; None for that level itself."""
    warm_ratio: Estimate | None


def build_connection_rows(rows: Sequence[ColdStartRow]) -> Iterator[ConnectionRow]:
    """Yields a row per method, format and security level, from the least secure level on."""
    by: dict[tuple[str, str], dict[str, dict[int, ColdStartRow]]] = {}
    for row in rows:
        method = row.cell.partition("@")[0].removesuffix(f"+{row.codec}")
        by.setdefault((method, row.codec), {}).setdefault(row.security, {})[row.round] = row
    for (method, codec), levels in sorted(by.items()):
        base = levels.get(NONE, {})
        for security in (level for level in LEVELS if level in levels):
            here = levels[security]
            yield ConnectionRow(
                method=method,
                codec=codec,
                security=security,
                cold_us=estimate_median(row.cold_us for row in here.values()),
                warm_us=estimate_median(row.warm_us for row in here.values()),
                cold_ratio=None if security == NONE else _ratio_by_round(here, base, "cold_us"),
                warm_ratio=None if security == NONE else _ratio_by_round(here, base, "warm_us"),
            )


def _ratio_by_round(here: Mapping[int, ColdStartRow], base: Mapping[int, ColdStartRow], what: str) -> Estimate:
    both = sorted(here.keys() & base.keys())
    return paired_ratio([getattr(here[n], what) for n in both], [getattr(base[n], what) for n in both])


def read_cold_starts(rows: pd.DataFrame) -> list[ColdStartRow]:
    """Returns the valid rows of ``Run.cold_starts``."""
    columns = list(ColdStartRow.__struct_fields__)
    return [msgspec.convert(row, ColdStartRow) for row in rows.loc[rows["valid"], columns].to_dict("records")]


def connections_table(rows: Sequence[ColdStartRow]) -> Table:
    """Returns the table, a row per method, format and level: milliseconds, and ratios to the level none."""
    drawn = Table(
        title="First order on a new connection, and the next on the same; ms with 95 %, and times none",
        title_justify="left",
        box=None,
        pad_edge=False,
    )
    for heading in ("method", "format", "security"):
        drawn.add_column(heading, no_wrap=True)
    for heading in ("cold", "times", "warm", "times "):
        drawn.add_column(heading, justify="right", no_wrap=True)
    for line in build_connection_rows(rows):
        drawn.add_row(
            line.method,
            line.codec,
            line.security,
            _format_or_empty(line.cold_us, 1000),
            _format_or_empty(line.cold_ratio, 1),
            _format_or_empty(line.warm_us, 1000),
            _format_or_empty(line.warm_ratio, 1),
        )
    return drawn


def print_connections_table(rows: Sequence[ColdStartRow]) -> None:
    """Prints the table, at least TABLE_WIDTH characters wide."""
    Console(width=max(Console().width, TABLE_WIDTH)).print(connections_table(rows))


def _format_or_empty(estimate: Estimate | None, unit: float) -> str:
    return "" if estimate is None or estimate.value is None else format_estimate(estimate, unit)

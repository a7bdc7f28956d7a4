"""The table of new connections: a row per method, format and level of security."""

from collections.abc import Iterator, Mapping, Sequence

import msgspec
import pandas as pd
from rich.console import Console
from rich.table import Table

from bench.report.formatting import estimated
from bench.results.rows import ColdStart
from bench.stats.intervals import Estimate, median_of
from bench.stats.paired import paired_ratio
from transports.security import LEVELS, NONE

WIDTH = 140
"""Of the table, in letters: on a narrower screen a row goes on in the next one, and no number is cut."""


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the table."""

    method: str
    codec: str
    security: str
    cold_us: Estimate
    warm_us: Estimate
    cold_ratio: Estimate | None
    """To the level none, round by round; None for that level itself."""
    warm_ratio: Estimate | None


def lines(rows: Sequence[ColdStart]) -> Iterator[Line]:
    """A row per method, format and level, levels from the least secure on."""
    by: dict[tuple[str, str], dict[str, dict[int, ColdStart]]] = {}
    for row in rows:
        method = row.cell.partition("@")[0].removesuffix(f"+{row.codec}")
        by.setdefault((method, row.codec), {}).setdefault(row.security, {})[row.round] = row
    for (method, codec), levels in sorted(by.items()):
        base = levels.get(NONE, {})
        for security in (level for level in LEVELS if level in levels):
            here = levels[security]
            yield Line(
                method=method,
                codec=codec,
                security=security,
                cold_us=median_of(row.cold_us for row in here.values()),
                warm_us=median_of(row.warm_us for row in here.values()),
                cold_ratio=None if security == NONE else _ratio(here, base, "cold_us"),
                warm_ratio=None if security == NONE else _ratio(here, base, "warm_us"),
            )


def _ratio(here: Mapping[int, ColdStart], base: Mapping[int, ColdStart], what: str) -> Estimate:
    both = sorted(here.keys() & base.keys())
    return paired_ratio([getattr(here[n], what) for n in both], [getattr(base[n], what) for n in both])


def cold_starts_of(rows: pd.DataFrame) -> list[ColdStart]:
    """The valid ones of ``Run.cold_starts``."""
    columns = list(ColdStart.__struct_fields__)
    return [msgspec.convert(row, ColdStart) for row in rows.loc[rows["valid"], columns].to_dict("records")]


def cold_table(rows: Sequence[ColdStart]) -> Table:
    """A row per method, format and level; milliseconds, and times the level none."""
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
    for line in lines(rows):
        drawn.add_row(
            line.method,
            line.codec,
            line.security,
            _said(line.cold_us, 1000),
            _said(line.cold_ratio, 1),
            _said(line.warm_us, 1000),
            _said(line.warm_ratio, 1),
        )
    return drawn


def show(rows: Sequence[ColdStart]) -> None:
    """Print the table."""
    Console(width=max(Console().width, WIDTH)).print(cold_table(rows))


def _said(estimate: Estimate | None, unit: float) -> str:
    return "" if estimate is None or estimate.value is None else estimated(estimate, unit)

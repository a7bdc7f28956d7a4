"""Hands the statistics what they need of the tables of settings and measures.

Statistics take numbers and know no table of ours, so that a setting or a measure is declared in one place.
"""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from bench.results.measures import columns_used_in
from bench.results.settings import (
    QUESTION,
    SETTINGS,
    columns_with_roles,
    comparable_columns,
    settings_by_column,
)
from bench.stats.effects import SIZE_COLUMN, Factor, compute_effects
from bench.stats.summary import SummaryColumns

CONNECTION_METRICS = ("cold_us", "warm_us")
"""The measures of cold.csv."""
_STUDIED_LAST = ("keep_alive_s", "fault", "store", "durability", "security", "rate_per_s", SIZE_COLUMN)
"""Factors at whose levels the effects of the others are told, and not the other way round."""
_NEEDS_BASE = frozenset({"fault", "security"})
"""Neither faults nor levels of security are degrees of one another: without their base there is no ratio."""
_HIGHEST_IS_BASE = frozenset({"keep_alive_s"})
"""With the greatest level connections stay."""
_UNCOUNTED: Mapping[str, frozenset[str]] = {"keep_alive_s": frozenset({"wire_bytes_per_order"})}
"""Bytes of a connection that was closed are not counted."""
_CHOSEN_BY_METHOD = frozenset({"product", "client", "store"})
"""What a method or another setting brings with it where nobody asks."""


def factor_columns() -> tuple[str, ...]:
    """Return the columns of trials.csv that a design may vary, the method first."""
    varied = [column for column, spec in settings_by_column().items() if spec.factor]
    return ("transport", *(name for name in varied if name not in _STUDIED_LAST), *_STUDIED_LAST)


def design_factors() -> tuple[Factor, ...]:
    """Return the factors of a design; the transport is one for methods that run over the same products."""
    by_column = settings_by_column()
    return tuple(
        Factor(
            column=column,
            base=by_column[column].base if column in by_column else None,
            needs_base=column in _NEEDS_BASE,
            highest_is_base=column in _HIGHEST_IS_BASE,
            uncounted=_UNCOUNTED.get(column, frozenset()),
        )
        for column in factor_columns()
    )


def compute_design_effects(rows: pd.DataFrame) -> pd.DataFrame:
    """Return what each factor does, from the rows of trials.csv or of cold.csv."""
    return compute_effects(rows, design_factors(), (*columns_used_in("effect"), *CONNECTION_METRICS))


def like_columns() -> tuple[str, ...]:
    """Return what two cells have to share for their ratio to say something of their methods.

    That is what is asked of them and promised by them. Product, client, codec and compression are not in it, since a
    method is made of them and REST has none of another's products or clients: a cell's name says them. The rate is the
    offered one.
    """
    return tuple("offered_per_s" if name == "rate_per_s" else name for name in columns_with_roles("workload"))


def optional_like_columns() -> tuple[str, ...]:
    """Return those that count as well where a run has several of them; a method without such a thing has it at 0."""
    return columns_with_roles("tuning")


def summary_columns() -> SummaryColumns:
    """Return what summary.json says of which columns."""
    return SummaryColumns(
        metrics=columns_used_in("summary"),
        orders=columns_used_in("orders"),
        ratio_metrics=columns_used_in("ratio"),
        like=like_columns(),
        optional_like=optional_like_columns(),
    )


def matching_columns() -> tuple[str, ...]:
    """Return the columns in which two cells of the same name have to agree, or they are two different cells."""
    return ("transport", *comparable_columns())


def plain_levels() -> Mapping[str, Any]:
    """Return by column the level of each setting that no question to `fourways advise` says anything of."""
    asked = {spec.column for spec in QUESTION.values()} | {"arrivals"} | _CHOSEN_BY_METHOD
    return {
        spec.column: spec.default
        for spec in SETTINGS.values()
        if spec.column and spec.column not in asked and spec.default is not None
    }

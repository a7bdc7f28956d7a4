"""Hands the statistics what they need of the tables of settings and measures.

Statistics take numbers and know no table of ours, so that a setting or a measure is declared in one place.
"""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from bench.results.measures import columns_used_in
from bench.results.question_settings import QUESTION
from bench.results.settings import SETTINGS, columns_with_roles, comparable_columns, settings_by_column
from bench.stats.effects import Factor, compute_effects
from bench.stats.summary import SummaryColumns

CONNECTION_METRICS = ("cold_us", "warm_us")
"""The measures of cold.csv."""
_CHOSEN_BY_METHOD = frozenset({"product", "client", "store"})
"""What a method or another setting brings with it where nobody asks."""


def factor_columns() -> tuple[str, ...]:
    """Return the columns of trials.csv that a design may vary, the method first."""
    varied = [spec for spec in settings_by_column().values() if spec.factor]
    return ("transport", *(spec.column for spec in sorted(varied, key=lambda spec: spec.context_place)))


def design_factors() -> tuple[Factor, ...]:
    """Return the factors of a design; the transport is one for methods that run over the same products."""
    by_column = settings_by_column()
    specs = [by_column[column] for column in factor_columns() if column in by_column]
    return (
        Factor(column="transport"),
        *(
            Factor(
                column=spec.column,
                base=spec.base,
                needs_base=spec.needs_base,
                highest_is_base=spec.highest_is_base,
                uncounted=spec.uncounted,
            )
            for spec in specs
        ),
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

"""Computes factor effects of a design per method: ratios, slopes over size, interactions."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, NamedTuple

import pandas as pd

from bench.stats.fit import fit_line
from bench.stats.intervals import Estimate
from bench.stats.paired import log_ratios, paired_ratio
from bench.stats.summary import is_cell_valid

SIZE_COLUMN = "order_bytes"
"""A factor whose effect is a line over its levels, and no ratio."""
EFFECT_COLUMNS = (
    *("transport", "client", "product", "factor", "level", "base", "context", "metric", "kind"),
    *("estimate", "low", "high", "n", "reason"),
)
KIB = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Factor:
    """A column that a design may vary."""

    column: str
    base: tuple[Any, ...] = ()
    """The levels that the others are compared with, the first of them that a design has; else the least."""
    needs_base: bool = False
    """Whether its other levels are no ratio without the base."""
    highest_is_base: bool = False
    """Whether the greatest level stands in for a base that is not there."""
    uncounted: frozenset[str] = frozenset()
    """Metrics that its levels make blind."""


def compute_effects(trials: pd.DataFrame, factors: Sequence[Factor], metrics: Sequence[str]) -> pd.DataFrame:
    """Return a row for each method, factor, level and metric; empty for a run in which no factor varies.

    ``kind`` is "ratio" (of a level to the base level, in one context, which are the levels of the other factors),
    "main" (the same over the contexts in which every method has every level of the factor: the mean of their logarithms
    in each round; its ``context`` says of how many, where there are more), "interaction" (how many times its ratio in
    the base context the ratio is in another), and for sizes "slope" (per further KiB) and "at 0" (the intercept). All
    but the lines are Hodges-Lehmann estimates over paired rounds. Invalid cells and invalid trials are left out.
    """
    design = _Design({factor.column: factor for factor in factors}, metrics)
    judged = trials.groupby("cell", sort=False).filter(is_cell_valid) if len(trials) else trials
    valid = judged[judged["valid"]] if len(judged) else judged
    alone = [(str(transport), rows) for transport, rows in valid.groupby("transport", sort=False)]
    methods = [(name, rows, design.find_varied_factors(rows)) for name, rows in (*alone, *_pool_methods(alone))]
    common = {
        factor: design.find_shared_contexts([(rows, varied) for _, rows, varied in methods], factor)
        for factor in design.factors
    }
    found: list[dict[str, Any]] = []
    for transport, rows, varied in methods:
        of_all = {name: find_common_value(rows, name) for name in ("client", "product")}
        for row in design.compute_method_effects(rows, varied, common):
            found.append({"transport": transport, **of_all, **row})
    return pd.DataFrame(found, columns=list(EFFECT_COLUMNS))


def find_common_value(rows: pd.DataFrame, column: str) -> str:
    """Return the one value that all rows have in ``column``, as text; "" when there are several or no such column."""
    return str(rows[column].iloc[0]) if column in rows and rows[column].nunique() == 1 else ""


def _pool_methods(methods: Sequence[tuple[str, pd.DataFrame]]) -> Iterator[tuple[str, pd.DataFrame]]:
    """Methods that run over the same several products, as one of which the method is a factor beside the product."""
    able = [(name, rows) for name, rows in methods if "product" in rows and rows["product"].nunique() > 1]
    if len({frozenset(rows["product"]) for _, rows in able}) == 1 and len(able) > 1:
        yield "+".join(sorted(name for name, _ in able)), pd.concat([rows for _, rows in able])


class SharedContexts(NamedTuple):
    """The contexts in which the levels of a factor are compared on every method."""

    names: tuple[str, ...]
    """The other factors that all these methods vary, by whose levels a context is known."""
    contexts: Mapping[Any, set[tuple[Any, ...]]]
    """By base."""


@dataclass(frozen=True, slots=True)
class _Design:
    """The factors of a design, by column, and the metrics that they may change."""

    factors: Mapping[str, Factor]
    metrics: Sequence[str]

    def find_varied_factors(self, rows: pd.DataFrame) -> list[str]:
        """The factors of a design. A client that goes with its product is none beside it."""
        varied = [name for name in self.factors if name in rows and rows[name].nunique() > 1]
        if {"client", "product"} <= set(varied) and (rows.groupby("product")["client"].nunique() == 1).all():
            varied.remove("client")
        return varied

    def find_shared_contexts(
        self, methods: Sequence[tuple[pd.DataFrame, Sequence[str]]], factor: str
    ) -> SharedContexts:
        """A mean over other contexts for one level than for another would be one of different things."""
        having = [(rows, varied) for rows, varied in methods if factor in varied and factor != SIZE_COLUMN]
        names = tuple(name for name in self.factors if name != factor and having and all(name in v for _, v in having))
        found: dict[Any, dict[tuple[int, Any], set[tuple[Any, ...]]]] = {}
        for number, (rows, _) in enumerate(having):
            for at, group in rows.groupby(list(names), sort=False) if names else [((), rows)]:
                levels = _distinct_levels(group, factor)
                base = self.choose_base_level(levels, factor)
                for level in levels:
                    if base is not None and level != base:
                        found.setdefault(base, {}).setdefault((number, level), set()).add(tuple(at))
        return SharedContexts(names, {base: set.intersection(*where.values()) for base, where in found.items()})

    def compute_method_effects(
        self, rows: pd.DataFrame, varied: Sequence[str], common: Mapping[str, SharedContexts]
    ) -> Iterator[dict[str, Any]]:
        for factor in varied:
            others = [name for name in varied if name != factor]
            if factor == SIZE_COLUMN:
                for context, group in _split_by_context(rows, others):
                    yield from self.fit_size_lines(group, context)
            else:
                yield from self.compute_ratios(rows, factor, others, common[factor])
        named = [name for name in varied if name != SIZE_COLUMN]
        pairs = [*combinations(named, 2), *((name, SIZE_COLUMN) for name in named if SIZE_COLUMN in varied)]
        for one, other in pairs:
            yield from self.compute_interactions(
                rows, one, other, [name for name in varied if name not in (one, other)]
            )

    def fit_size_lines(self, group: pd.DataFrame, context: str) -> Iterator[dict[str, Any]]:
        if group[SIZE_COLUMN].nunique() < 2:
            return
        for metric in self.metrics:
            there = group[[SIZE_COLUMN, metric, "round"]].dropna() if metric in group else group[[]]
            if there.empty:
                continue
            fitted = fit_line(list(there[SIZE_COLUMN] / KIB), list(there[metric]), list(there["round"]))
            for kind, estimate in (("slope", fitted.slope), ("at 0", fitted.intercept)):
                yield _build_row(SIZE_COLUMN, "KiB", "", context, metric, kind, estimate)

    def compute_ratios(
        self, rows: pd.DataFrame, factor: str, others: Sequence[str], common: SharedContexts
    ) -> Iterator[dict[str, Any]]:
        logs: dict[tuple[Any, Any, str], list[tuple[bool, dict[Any, float]]]] = {}
        for context, group in _split_by_context(rows, others):
            levels = _distinct_levels(group, factor)
            base = self.choose_base_level(levels, factor)
            at = tuple(group[name].iloc[0] for name in common.names)
            for level in levels:
                if base is None or level == base:
                    continue
                both = self.pair_rounds(group, factor, level, base)
                for metric in self.metrics:
                    if metric in self.factors[factor].uncounted:
                        continue
                    if here := _log_ratios_by_round(both, metric):
                        logs.setdefault((level, base, metric), []).append((at in common.contexts.get(base, ()), here))
                        yield _build_row(
                            factor,
                            _format_level(level),
                            _format_level(base),
                            context,
                            metric,
                            "ratio",
                            _estimate_ratio(list(here.values())),
                        )
        for (level, base, metric), everywhere in logs.items():
            contexts = [here for is_common, here in everywhere if is_common]
            if contexts:
                rounds = sorted(set.intersection(*(set(here) for here in contexts)))
                means = [sum(here[at] for here in contexts) / len(contexts) for at in rounds]
                part = f"{len(contexts)} of {len(everywhere)} contexts" if len(contexts) < len(everywhere) else ""
                yield _build_row(
                    factor, _format_level(level), _format_level(base), part, metric, "main", _estimate_ratio(means)
                )

    def compute_interactions(
        self, rows: pd.DataFrame, one: str, other: str, rest: Sequence[str]
    ) -> Iterator[dict[str, Any]]:
        """Of factor ``one``: how its ratio at another level of ``other`` compares with that at its base."""
        for context, group in _split_by_context(rows, rest):
            levels = _distinct_levels(group, one)
            base = self.choose_base_level(levels, one)
            for level in levels:
                if base is None or level == base:
                    continue
                pairs = {
                    at: self.pair_rounds(group[group[other] == at], one, level, base)
                    for at in _distinct_levels(group, other)
                }
                there = {at: both for at, both in pairs.items() if len(both)}
                if len(there) < 2:
                    continue
                base_of_other = self.choose_base_level(list(there), other)
                for elsewhere, here in there.items():
                    if base_of_other is None or elsewhere == base_of_other:
                        continue
                    for metric in self.metrics:
                        if metric in self.factors[one].uncounted | self.factors[other].uncounted:
                            continue
                        now, then = (
                            _log_ratios_by_round(here, metric),
                            _log_ratios_by_round(there[base_of_other], metric),
                        )
                        if rounds := sorted(now.keys() & then.keys()):
                            against = f"{other}={_format_level(elsewhere)} against {_format_level(base_of_other)}"
                            where = ", ".join(filter(None, (against, context)))
                            estimate = _estimate_ratio([now[at] - then[at] for at in rounds])
                            yield _build_row(
                                one, _format_level(level), _format_level(base), where, metric, "interaction", estimate
                            )

    def choose_base_level(self, levels: Sequence[Any], factor: str) -> Any:
        """What the other levels are set against; None where they stand alone.

        A design need not have every level in every context.
        """
        for named in self.factors[factor].base:
            if named in levels:
                return named
        if self.factors[factor].needs_base:
            return None
        return max(levels) if self.factors[factor].highest_is_base else min(levels)

    def pair_rounds(self, rows: pd.DataFrame, factor: str, level: Any, base: Any) -> pd.DataFrame:
        """Rounds that have the level and the base, a row each."""
        names = [metric for metric in self.metrics if metric in rows]
        of_level, of_base = (
            rows[rows[factor] == wanted].drop_duplicates("round").set_index("round")[names] for wanted in (level, base)
        )
        both: pd.DataFrame = of_level.add_suffix("_level").join(of_base.add_suffix("_base"), how="inner")
        return both


def _split_by_context(rows: pd.DataFrame, names: Sequence[str]) -> Iterator[tuple[str, pd.DataFrame]]:
    """The rows at each combination of levels, and how it is called."""
    if not names:
        yield "", rows
        return
    for levels, group in rows.groupby(list(names), sort=False):
        yield ", ".join(f"{name}={_format_level(level)}" for name, level in zip(names, levels, strict=True)), group


def _format_level(level: Any) -> str:
    return f"{level:g}" if isinstance(level, float) else str(level)


def _distinct_levels(rows: pd.DataFrame, factor: str) -> list[Any]:
    return list(rows[factor].unique())


def _log_ratios_by_round(both: pd.DataFrame, metric: str) -> dict[Any, float]:
    """By round the logarithm of level over base: infinite where one is censored, not a number where both are."""
    if f"{metric}_level" not in both:
        return {}
    there = both[[f"{metric}_level", f"{metric}_base"]].dropna()
    return dict(zip(there.index, log_ratios(list(there.iloc[:, 0]), list(there.iloc[:, 1])), strict=True))


def _estimate_ratio(logs: Sequence[float]) -> Estimate:
    """Hodges and Lehmann's over rounds; a round without a ratio leaves none, since to drop it would flatter."""
    if any(map(math.isnan, logs)):
        return Estimate(None, None, None, None, len(logs), "in a round both are censored, or both are zero")
    return paired_ratio([math.exp(log) for log in logs], [1.0] * len(logs))


def _build_row(
    factor: str, level: str, base: str, context: str, metric: str, kind: str, estimate: Estimate
) -> dict[str, Any]:
    return {
        "factor": factor,
        "level": level,
        "base": base,
        "context": context,
        "metric": metric,
        "kind": kind,
        "estimate": estimate.value,
        "low": estimate.low,
        "high": estimate.high,
        "n": estimate.n,
        "reason": estimate.reason or "",
    }

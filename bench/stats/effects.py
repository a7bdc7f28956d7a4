"""What each factor of a design does, method by method: ratios to its base level, slopes over sizes, interactions."""

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any, NamedTuple

import pandas as pd

from bench.stats.fit import line
from bench.stats.intervals import Estimate
from bench.stats.paired import log_ratios, paired_ratio
from bench.stats.summary import is_valid

SIZE = "order_bytes"
FACTORS = (
    *("transport", "product", "client"),
    *("codec", "compression", "shape", "compressible", "arrivals", "processes", "retries", "keep_alive_s", "fault"),
    *("store", "durability", "security", "rate_per_s", SIZE),
)
"""Columns of trials.csv that a design may vary; the transport for methods that run over the same products."""
BASES: Mapping[str, Any] = {
    "product": "rabbitmq",
    "codec": "json",
    "compression": "none",
    "shape": "document",
    "arrivals": "poisson",
    "keep_alive_s": 0.0,
    "fault": "none",
    "security": "none",
}
"""The level that the others of a factor are set against, where there is one; else the least."""
NEEDED = frozenset({"fault", "security"})
"""Factors that are no ratio without their base: neither faults nor levels of security are degrees of one another."""
FROM_THE_TOP = frozenset({"keep_alive_s"})
"""Factors whose base is the greatest level: with it connections stay."""
UNCOUNTED = frozenset({("keep_alive_s", "wire_bytes_per_order")})
"""What a factor makes a metric blind to: bytes of a connection that was closed are not counted."""
METRICS = (
    *("accept_p50_us", "accept_p99_us", "finish_p50_us", "finish_p99_us"),
    *("cpu_us_per_order_services", "cpu_us_per_order_broker", "wire_bytes_per_order", "payload_bytes"),
    *("rss_mib_services", "rss_mib_broker"),
    *("cold_us", "warm_us"),
)
COLUMNS = (
    *("transport", "client", "product", "factor", "level", "base", "context", "metric", "kind"),
    *("estimate", "low", "high", "n", "reason"),
)
KIB = 1024


def effects(trials: pd.DataFrame) -> pd.DataFrame:
    """A row per method, factor, level and metric; empty for a run in which no factor varies.

    ``kind`` is "ratio" (of a level to the base, in one context, which are the levels of the other factors), "main" (the
    same over the contexts in which every method has every level of the factor: the mean of their logarithms in each
    round; its ``context`` says of how many, where there are more), "interaction" (how many times its ratio in the base
    context the ratio is in another), and for sizes "slope" (a KiB more) and "at 0" (what is left without any). All but
    the lines are Hodges and Lehmann's over paired rounds. INVALID cells and invalid trials are left out.
    """
    judged = trials.groupby("cell", sort=False).filter(is_valid) if len(trials) else trials
    valid = judged[judged["valid"]] if len(judged) else judged
    alone = [(str(transport), rows) for transport, rows in valid.groupby("transport", sort=False)]
    methods = [(name, rows, _varied(rows)) for name, rows in (*alone, *_together(alone))]
    common = {factor: _common([(rows, varied) for _, rows, varied in methods], factor) for factor in FACTORS}
    found: list[dict[str, Any]] = []
    for transport, rows, varied in methods:
        of_all = {name: throughout(rows, name) for name in ("client", "product")}
        for row in _of_method(rows, varied, common):
            found.append({"transport": transport, **of_all, **row})
    return pd.DataFrame(found, columns=list(COLUMNS))


def throughout(rows: pd.DataFrame, column: str) -> str:
    """What all rows have there, or nothing."""
    return str(rows[column].iloc[0]) if column in rows and rows[column].nunique() == 1 else ""


def _varied(rows: pd.DataFrame) -> list[str]:
    """The factors of a design. A client that goes with its product is none beside it."""
    varied = [name for name in FACTORS if name in rows and rows[name].nunique() > 1]
    if {"client", "product"} <= set(varied) and (rows.groupby("product")["client"].nunique() == 1).all():
        varied.remove("client")
    return varied


def _together(methods: Sequence[tuple[str, pd.DataFrame]]) -> Iterator[tuple[str, pd.DataFrame]]:
    """Methods that run over the same several products, as one of which the method is a factor beside the product."""
    able = [(name, rows) for name, rows in methods if "product" in rows and rows["product"].nunique() > 1]
    if len({frozenset(rows["product"]) for _, rows in able}) == 1 and len(able) > 1:
        yield "+".join(sorted(name for name, _ in able)), pd.concat([rows for _, rows in able])


class Common(NamedTuple):
    """Where the levels of a factor are compared on every method."""

    names: tuple[str, ...]
    """The other factors that all these methods vary, by whose levels a context is known."""
    contexts: Mapping[Any, set[tuple[Any, ...]]]
    """By base."""


def _common(methods: Sequence[tuple[pd.DataFrame, Sequence[str]]], factor: str) -> Common:
    """A mean over other contexts for one level than for another would be one of different things."""
    having = [(rows, varied) for rows, varied in methods if factor in varied and factor != SIZE]
    names = tuple(name for name in FACTORS if name != factor and having and all(name in v for _, v in having))
    found: dict[Any, dict[tuple[int, Any], set[tuple[Any, ...]]]] = {}
    for number, (rows, _) in enumerate(having):
        for at, group in rows.groupby(list(names), sort=False) if names else [((), rows)]:
            levels = _unique(group, factor)
            base = _base(levels, factor)
            for level in levels:
                if base is not None and level != base:
                    found.setdefault(base, {}).setdefault((number, level), set()).add(tuple(at))
    return Common(names, {base: set.intersection(*where.values()) for base, where in found.items()})


def _of_method(rows: pd.DataFrame, varied: Sequence[str], common: Mapping[str, Common]) -> Iterator[dict[str, Any]]:
    for factor in varied:
        others = [name for name in varied if name != factor]
        if factor == SIZE:
            for context, group in _contexts(rows, others):
                yield from _lines(group, context)
        else:
            yield from _ratios(rows, factor, others, common[factor])
    named = [name for name in varied if name != SIZE]
    pairs = [*combinations(named, 2), *((name, SIZE) for name in named if SIZE in varied)]
    for one, other in pairs:
        yield from _interactions(rows, one, other, [name for name in varied if name not in (one, other)])


def _contexts(rows: pd.DataFrame, names: Sequence[str]) -> Iterator[tuple[str, pd.DataFrame]]:
    """The rows at each combination of levels, and how it is called."""
    if not names:
        yield "", rows
        return
    for levels, group in rows.groupby(list(names), sort=False):
        yield ", ".join(f"{name}={_said(level)}" for name, level in zip(names, levels, strict=True)), group


def _said(level: Any) -> str:
    return f"{level:g}" if isinstance(level, float) else str(level)


def _base(levels: Sequence[Any], factor: str) -> Any:
    """What the other levels are set against; None where they stand alone.

    A design need not have every level in every context.
    """
    named = BASES.get(factor)
    if named in levels:
        return named
    return None if factor in NEEDED else (max if factor in FROM_THE_TOP else min)(levels)


def _unique(rows: pd.DataFrame, factor: str) -> list[Any]:
    return list(rows[factor].unique())


def _lines(group: pd.DataFrame, context: str) -> Iterator[dict[str, Any]]:
    if group[SIZE].nunique() < 2:
        return
    for metric in METRICS:
        there = group[[SIZE, metric, "round"]].dropna() if metric in group else group[[]]
        if there.empty:
            continue
        fitted = line(list(there[SIZE] / KIB), list(there[metric]), list(there["round"]))
        for kind, estimate in (("slope", fitted.slope), ("at 0", fitted.intercept)):
            yield _row(SIZE, "KiB", "", context, metric, kind, estimate)


def _ratios(rows: pd.DataFrame, factor: str, others: Sequence[str], common: Common) -> Iterator[dict[str, Any]]:
    logs: dict[tuple[Any, Any, str], list[tuple[bool, dict[Any, float]]]] = {}
    for context, group in _contexts(rows, others):
        levels = _unique(group, factor)
        base = _base(levels, factor)
        at = tuple(group[name].iloc[0] for name in common.names)
        for level in levels:
            if base is None or level == base:
                continue
            both = _paired(group, factor, level, base)
            for metric in METRICS:
                if (factor, metric) in UNCOUNTED:
                    continue
                if here := _logs(both, metric):
                    logs.setdefault((level, base, metric), []).append((at in common.contexts.get(base, ()), here))
                    yield _row(factor, _said(level), _said(base), context, metric, "ratio", _ratio(list(here.values())))
    for (level, base, metric), everywhere in logs.items():
        contexts = [here for is_common, here in everywhere if is_common]
        if contexts:
            rounds = sorted(set.intersection(*(set(here) for here in contexts)))
            means = [sum(here[at] for here in contexts) / len(contexts) for at in rounds]
            part = f"{len(contexts)} of {len(everywhere)} contexts" if len(contexts) < len(everywhere) else ""
            yield _row(factor, _said(level), _said(base), part, metric, "main", _ratio(means))


def _interactions(rows: pd.DataFrame, one: str, other: str, rest: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Of factor ``one``: how its ratio at another level of ``other`` compares with that at its base."""
    for context, group in _contexts(rows, rest):
        levels = _unique(group, one)
        base = _base(levels, one)
        for level in levels:
            if base is None or level == base:
                continue
            pairs = {at: _paired(group[group[other] == at], one, level, base) for at in _unique(group, other)}
            there = {at: both for at, both in pairs.items() if len(both)}
            if len(there) < 2:
                continue
            base_of_other = _base(list(there), other)
            for elsewhere, here in there.items():
                if base_of_other is None or elsewhere == base_of_other:
                    continue
                for metric in METRICS:
                    if {(one, metric), (other, metric)} & UNCOUNTED:
                        continue
                    now, then = _logs(here, metric), _logs(there[base_of_other], metric)
                    if rounds := sorted(now.keys() & then.keys()):
                        against = f"{other}={_said(elsewhere)} against {_said(base_of_other)}"
                        where = ", ".join(filter(None, (against, context)))
                        estimate = _ratio([now[at] - then[at] for at in rounds])
                        yield _row(one, _said(level), _said(base), where, metric, "interaction", estimate)


def _logs(both: pd.DataFrame, metric: str) -> dict[Any, float]:
    """By round the logarithm of level over base: infinite where one is censored, not a number where both are."""
    if f"{metric}_level" not in both:
        return {}
    there = both[[f"{metric}_level", f"{metric}_base"]].dropna()
    return dict(zip(there.index, log_ratios(list(there.iloc[:, 0]), list(there.iloc[:, 1])), strict=True))


def _paired(rows: pd.DataFrame, factor: str, level: Any, base: Any) -> pd.DataFrame:
    """Rounds that have the level and the base, a row each."""
    names = [metric for metric in METRICS if metric in rows]
    of_level, of_base = (
        rows[rows[factor] == wanted].drop_duplicates("round").set_index("round")[names] for wanted in (level, base)
    )
    both: pd.DataFrame = of_level.add_suffix("_level").join(of_base.add_suffix("_base"), how="inner")
    return both


def _ratio(logs: Sequence[float]) -> Estimate:
    """Hodges and Lehmann's over rounds; a round without a ratio leaves none, since to drop it would flatter."""
    if any(map(math.isnan, logs)):
        return Estimate(None, None, None, None, len(logs), "in a round both are censored, or both are zero")
    return paired_ratio([math.exp(log) for log in logs], [1.0] * len(logs))


def _row(
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

"""Reads THRESHOLDS=p99<50ms,failed<0.1% and holds the cells of a run's summary against them."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from bench.errors import UsageError, unknown_word
from bench.results.measures import columns_used_in
from bench.stats.summary import is_yardstick

_QUANTILES = {"p50": "p50", "p90": "p90", "p99": "p99", "p99.9": "p999", "max": "max"}
TIMES = {
    **{name: f"finish_{quantile}_us" for name, quantile in _QUANTILES.items()},
    **{f"accept_{name}": f"accept_{quantile}_us" for name, quantile in _QUANTILES.items()},
    "cpu": "cpu_us_per_order_services",
}
"""Short names of columns in microseconds: of completion, of acceptance, and of the services' CPU per order."""
OTHERS = {"achieved": "achieved_per_s", "bytes": "wire_bytes_per_order"}
COUNTS = ("failed", "unfinished", "lost", "duplicated")
"""Orders of all trials: a number, or with % a share of those that were planned."""
_RULE = re.compile(r"(?:([A-Za-z0-9:+@_.-]+)/)?([A-Za-z_0-9.]+)\s*(<=|>=|<|>)\s*([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z%/]*)")
_UNITS = {"us": 1.0, "ms": 1e3, "s": 1e6, "min": 60e6}
_HOLDS = {
    "<": lambda value, limit: value < limit,
    "<=": lambda value, limit: value <= limit,
    ">": lambda value, limit: value > limit,
    ">=": lambda value, limit: value >= limit,
}


class Limit(msgspec.Struct, frozen=True, kw_only=True):
    """A limit that every cell has to keep, or one cell."""

    typed: str
    name: str
    """A column of a summary's metrics, or one of COUNTS."""
    relation: str
    value: float
    """In the column's unit; a share from 0 to 1 with ``is_share``."""
    is_share: bool = False
    cell: str = ""
    """Its name; empty for all."""


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """How a cell stands to a limit."""

    cell: str
    limit: Limit
    value: float | None
    """In the limit's unit; None where the run has no such number."""
    holds: bool


def parse_thresholds(text: str) -> tuple[Limit, ...]:
    """Returns the limits of a text such as ``p99<50ms,failed<0.1%``; ``grpc/p99<50ms`` is of one cell.

    Raises UsageError for what is none, and for a name that no measure has.
    """
    limits = tuple(_parse_limit(part.strip()) for part in text.split(",") if part.strip())
    if text and not limits:
        raise UsageError(f"THRESHOLDS={text!r} has no threshold; give one, as p99<50ms", code="bad-threshold")
    return limits


def _parse_limit(typed: str) -> Limit:
    match = _RULE.fullmatch(typed)
    if match is None:
        raise UsageError(
            f"a threshold is a measure, a sign and a number, as p99<50ms or failed<0.1%, and not {typed!r}",
            code="bad-threshold",
        )
    cell, word, relation, number, unit = match.groups()
    word, unit = word.lower(), unit.lower()
    name, value = TIMES.get(word) or OTHERS.get(word) or word, float(number)
    if word not in COUNTS and name not in columns_used_in("summary"):
        raise unknown_word("threshold", word, (*TIMES, *OTHERS, *COUNTS), columns_used_in("summary"))
    units = _find_units(name)
    if unit not in units:
        known = " or ".join(one for one in units if one)
        raise UsageError(
            f"{typed!r} has the unit {unit or 'none'!r}; {word} takes {known or 'a number without a unit'}",
            code="bad-threshold",
        )
    return Limit(
        typed=typed,
        name=name,
        relation=relation,
        value=value * units[unit],
        is_share=unit == "%",
        cell=cell or "",
    )


def _find_units(name: str) -> Mapping[str, float]:
    """The units that a limit of this measure may have, and by what a number is multiplied then."""
    if name in COUNTS:
        return {"": 1.0, "%": 0.01}
    if name.endswith("_us") or name.startswith("cpu_us_"):
        return _UNITS
    return {"": 1.0, "/s": 1.0} if name.endswith("_per_s") else {"": 1.0}


def check_cells(limits: Sequence[Limit], cells: Sequence[str]) -> None:
    """Raises UsageError for a limit of a cell that is none of these."""
    for limit in limits:
        if limit.cell and limit.cell not in cells:
            raise unknown_word("cell", limit.cell, tuple(cells))


def judge_thresholds(limits: Sequence[Limit], summary: Mapping[str, Any]) -> list[Standing]:
    """Returns how each cell of a run's summary stands to each limit, by the cell's estimate.

    A number that the run does not have keeps no limit: too few orders tell no p99. Raises UsageError for the limit of a
    cell that the run does not have.
    """
    cells = {str(cell["cell"]): cell for cell in summary["cells"] if not is_yardstick(str(cell["transport"]))}
    check_cells(limits, list(cells))
    return [_judge(limit, name, cell) for limit in limits for name, cell in cells.items() if limit.cell in ("", name)]


def _judge(limit: Limit, name: str, cell: Mapping[str, Any]) -> Standing:
    value = _read(limit, cell)
    holds = value is not None and bool(_HOLDS[limit.relation](value, limit.value))
    return Standing(cell=name, limit=limit, value=value, holds=holds)


def _read(limit: Limit, cell: Mapping[str, Any]) -> float | None:
    if limit.name in COUNTS:
        count, planned = int(cell["orders"][limit.name]), int(cell["orders"]["planned"])
        return count / planned if limit.is_share and planned else None if limit.is_share else float(count)
    estimate = cell["metrics"].get(limit.name, {}).get("estimate")
    return math.inf if estimate == "inf" else None if estimate is None else float(estimate)


def describe_missed(standings: Sequence[Standing]) -> Iterator[str]:
    """Yields a phrase for each limit that a cell does not keep."""
    for one in standings:
        if not one.holds:
            yield f"{one.cell}: {one.limit.typed} is missed with {_format_value(one)}"


def _format_value(one: Standing) -> str:
    if one.value is None:
        return "no number: the run has too few orders, or no such measure"
    if one.limit.is_share:
        return f"{one.value:.4%}"
    return f"{one.value / 1000:.4g} ms" if _find_units(one.limit.name) is _UNITS else f"{one.value:.6g}"

"""Formats numbers and intervals for tables, charts and sentences."""

import math

from bench.stats.intervals import Estimate


def format_number(number: float, significant: int = 3) -> str:
    """Formats a number with so many significant digits and no exponent: 0.451, 5.31, 11.0, 720, 1,440, or ∞."""
    if math.isinf(number):
        return "∞"
    if not number:
        return "0"
    rounded = round(number, significant - 1 - math.floor(math.log10(abs(number))))
    decimals = max(0, significant - 1 - math.floor(math.log10(abs(rounded))))
    return f"{rounded:,.{decimals}f}"


def format_estimate_ms(metric: dict[str, object] | None, censored: str = "∞") -> str:
    """Formats a summary's metric, kept in microseconds, as milliseconds.

    Returns "n/a" when there is none, and ``censored`` when the estimate is infinite.
    """
    value = None if metric is None else metric["estimate"]
    return "n/a" if value is None else _format_ms(parse_number(value), censored)


def format_interval_ms(metric: dict[str, object] | None, censored: str = "∞") -> tuple[str, ...]:
    """Formats the ends of a metric's interval as milliseconds: (low, high), or () where there is no interval."""
    if metric is None or metric["low"] is None:
        return ()
    return tuple(_format_ms(parse_number(metric[end]), censored) for end in ("low", "high"))


def _format_ms(number_us: float, censored: str) -> str:
    return censored if math.isinf(number_us) else format_number(number_us / 1000)


def format_with_interval(value: float | None, low: float | None, high: float | None, unit: str = "") -> str:
    """Formats as ``VALUE UNIT (LOW to HIGH)``.

    Without brackets where there is no interval; "n/a" where there is no number.
    """
    if value is None:
        return "n/a"
    said = f"{format_number(value)} {unit}".rstrip()
    return said if low is None or high is None else f"{said} ({format_number(low)} to {format_number(high)})"


def format_estimate(estimate: Estimate, scale: float = 1.0, unit: str = "") -> str:
    """Formats an estimate, divided by ``scale``, as ``VALUE UNIT (LOW to HIGH)``."""
    value, low, high = (None if end is None else end / scale for end in (estimate.value, estimate.low, estimate.high))
    return format_with_interval(value, low, high, unit)


def parse_number(value: object) -> float:
    """Returns a value of summary.json as a float: "inf" stands for a censored number."""
    return float(value)  # type: ignore[arg-type]

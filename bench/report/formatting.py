"""How numbers are written, wherever they are read."""

import math

from bench.stats.intervals import Estimate


def digits(number: float, significant: int = 3) -> str:
    """A number with so many significant digits and no exponent: 0.451, 5.31, 11.0, 720, 1,440."""
    if math.isinf(number):
        return "∞"
    if not number:
        return "0"
    rounded = round(number, significant - 1 - math.floor(math.log10(abs(number))))
    decimals = max(0, significant - 1 - math.floor(math.log10(abs(rounded))))
    return f"{rounded:,.{decimals}f}"


def estimate_ms(metric: dict[str, object] | None, censored: str = "∞") -> str:
    """A summary's metric in microseconds, as milliseconds; "n/a" when there is none, ``censored`` when it is."""
    value = None if metric is None else metric["estimate"]
    return "n/a" if value is None else _ms(as_number(value), censored)


def interval_ms(metric: dict[str, object] | None, censored: str = "∞") -> tuple[str, ...]:
    """Its lower and its upper end, or nothing."""
    if metric is None or metric["low"] is None:
        return ()
    return tuple(_ms(as_number(metric[end]), censored) for end in ("low", "high"))


def _ms(number_us: float, censored: str) -> str:
    return censored if math.isinf(number_us) else digits(number_us / 1000)


def spread(value: float | None, low: float | None, high: float | None, unit: str = "") -> str:
    """``VALUE UNIT (LOW to HIGH)``: without brackets where there is no interval, "n/a" where there is no number."""
    if value is None:
        return "n/a"
    said = f"{digits(value)} {unit}".rstrip()
    return said if low is None or high is None else f"{said} ({digits(low)} to {digits(high)})"


def estimated(estimate: Estimate, scale: float = 1.0, unit: str = "") -> str:
    """An estimate as ``spread`` has it, divided by ``scale``."""
    value, low, high = (None if end is None else end / scale for end in (estimate.value, estimate.low, estimate.high))
    return spread(value, low, high, unit)


def as_number(value: object) -> float:
    """A number out of summary.json, where "inf" stands for a censored one."""
    return float(value)  # type: ignore[arg-type]

"""How numbers are written, wherever they are read."""

import math


def digits(number: float, significant: int = 3) -> str:
    """A number with so many significant digits and no exponent: 0.451, 5.31, 11.0, 720, 1,440."""
    if math.isinf(number):
        return "∞"
    if not number:
        return "0"
    rounded = round(number, significant - 1 - math.floor(math.log10(abs(number))))
    decimals = max(0, significant - 1 - math.floor(math.log10(abs(rounded))))
    return f"{rounded:,.{decimals}f}"


def estimate_ms(metric: dict[str, object] | None) -> str:
    """A summary's metric in microseconds, as milliseconds; "n/a" when there is none."""
    value = None if metric is None else metric["estimate"]
    return "n/a" if value is None else digits(as_number(value) / 1000)


def interval_ms(metric: dict[str, object] | None) -> tuple[str, ...]:
    """Its lower and its upper end, or nothing."""
    if metric is None or metric["low"] is None:
        return ()
    return tuple(digits(as_number(metric[end]) / 1000) for end in ("low", "high"))


def as_number(value: object) -> float:
    """A number out of summary.json, where "inf" stands for a censored one."""
    return float(value)  # type: ignore[arg-type]

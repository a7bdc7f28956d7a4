"""Formats numbers that carry where in a run they stand, for checks against the data."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from bench.report.formatting import format_number, parse_number


@dataclass(frozen=True, slots=True)
class TracedNumber:
    """A number as text, with its source. ``of`` is where it stands: ``RUN PART NAME …``.

    ``said`` is the text, ``value`` the number as the data have it. For an estimate with an interval ``value`` holds
    three numbers, and ``of`` is where all of them stand.
    """

    said: str
    value: str
    of: str

    def __str__(self) -> str:
        return self.said

    def __html__(self) -> Markup:
        """Returns HTML's element for a number that is kept in another form than it is shown in."""
        return Markup('<data value="{}" data-of="{}">{}</data>').format(self.value, self.of, self.said)


SentencePart = str | TracedNumber


class Sentence(tuple[SentencePart, ...]):
    """Text and numbers, in the order in which they are read."""

    __slots__ = ()

    def __str__(self) -> str:
        return "".join(map(str, self))

    def __html__(self) -> Markup:
        return Markup("").join(self)


def trace_number(value: object, of: str, *, scale: float = 1.0, censored: str = "∞") -> TracedNumber:
    """Returns a number of a run, formatted ``scale`` times as large, with its source ``of``.

    ``value`` is as the summary has it; "inf" is shown as ``censored``.
    """
    number = parse_number(value)
    if isinstance(value, int):
        return TracedNumber(f"{value * scale:,.0f}", str(value), of)
    return TracedNumber(censored if math.isinf(number) else format_number(number * scale), f"{number:g}", of)


def trace_estimate(
    metric: Mapping[str, Any] | None, of: str, *, scale: float = 1.0, censored: str = "∞", unit: str = ""
) -> SentencePart:
    """Returns a metric as ``VALUE UNIT (LOW to HIGH)`` with its source ``of``.

    Without brackets where there is no interval; "n/a" where there is no estimate.
    """
    if metric is None or metric["estimate"] is None:
        return "n/a"
    ends = ("estimate",) if metric["low"] is None else ("estimate", "low", "high")
    value, *between = (trace_number(metric[end], of, scale=scale, censored=censored) for end in ends)
    brackets = f" ({' to '.join(end.said for end in between)})" if between else ""
    said = f"{value.said}{f' {unit}' if unit else ''}{brackets}"
    return TracedNumber(said, " ".join(number.value for number in (value, *between)), of)

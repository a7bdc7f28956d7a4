"""A number that knows where in a run it stands, so that every number of the page can be set against the data."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from bench.report.formatting import as_number, digits


@dataclass(frozen=True, slots=True)
class Quoted:
    """``said`` is what is read, ``value`` the number as the data have it, and ``of`` where: ``RUN PART NAME …``.

    Of an estimate with its interval ``value`` are three numbers, and ``of`` is where all of them are.
    """

    said: str
    value: str
    of: str

    def __str__(self) -> str:
        return self.said

    def __html__(self) -> Markup:
        """HTML's element for a number that is read in another form than it is kept in."""
        return Markup('<data value="{}" data-of="{}">{}</data>').format(self.value, self.of, self.said)


Part = str | Quoted


class Sentence(tuple[Part, ...]):
    """Text and numbers, in the order in which they are read."""

    __slots__ = ()

    def __str__(self) -> str:
        return "".join(map(str, self))

    def __html__(self) -> Markup:
        return Markup("").join(self)


def quote(value: object, of: str, *, scale: float = 1.0, censored: str = "∞") -> Quoted:
    """A number of a run. ``value`` is as the summary has it, "inf" included; it is read ``scale`` times as large."""
    number = as_number(value)
    if isinstance(value, int):
        return Quoted(f"{value * scale:,.0f}", str(value), of)
    return Quoted(censored if math.isinf(number) else digits(number * scale), f"{number:g}", of)


def estimate(
    metric: Mapping[str, Any] | None, of: str, *, scale: float = 1.0, censored: str = "∞", unit: str = ""
) -> Part:
    """``VALUE UNIT (LOW to HIGH)`` of a metric, or what of it is known; "n/a" where nothing is."""
    if metric is None or metric["estimate"] is None:
        return "n/a"
    ends = ("estimate",) if metric["low"] is None else ("estimate", "low", "high")
    value, *between = (quote(metric[end], of, scale=scale, censored=censored) for end in ends)
    brackets = f" ({' to '.join(end.said for end in between)})" if between else ""
    said = f"{value.said}{f' {unit}' if unit else ''}{brackets}"
    return Quoted(said, " ".join(number.value for number in (value, *between)), of)

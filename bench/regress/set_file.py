"""Writes sets.csv, and reads it back."""

import csv
import math
from collections.abc import Iterable
from io import StringIO

import msgspec

from bench.errors import Unmeasured
from bench.regress.judge_sets import SetRow
from bench.results.durable_files import format_csv_line

SETS = "sets.csv"
_COLUMNS = SetRow.__struct_fields__


def format_rows(rows: Iterable[SetRow]) -> str:
    """Returns the text of sets.csv, in which no number is rounded."""
    lines = [[str(getattr(row, name)) for name in _COLUMNS] for row in rows]
    return "".join(map(format_csv_line, [list(_COLUMNS), *lines]))


def parse_rows(content: bytes | str) -> list[SetRow]:
    """Returns what sets.csv holds. Raises Unmeasured for text that is damaged."""
    try:
        text = content if isinstance(content, str) else content.decode()
        if not text.endswith("\n") or tuple(next(csv.reader(StringIO(text)))) != _COLUMNS:
            raise ValueError("it is cut")
        found = []
        for row in csv.DictReader(StringIO(text)):
            if row["void"] not in ("True", "False"):
                raise ValueError(f"void is {row['void']!r}")
            found.append(msgspec.convert({**row, "void": row["void"] == "True"}, SetRow, strict=False))
        if not all(math.isfinite(one) and one > 0 for row in found for one in (row.base, row.head, row.ratio)):
            raise ValueError("a number is none, or not above 0")
        if len({(row.method, row.set, row.metric) for row in found}) < len(found):
            raise ValueError("a row is there twice")
    except (ValueError, csv.Error, msgspec.ValidationError) as error:
        raise Unmeasured(f"{SETS} is damaged: {error}; measure again", code="damaged-sets") from error
    return found

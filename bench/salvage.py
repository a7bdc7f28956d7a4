"""Of a damaged table what can still be read, and which rows cannot."""

import csv
import io
import math
from collections.abc import Mapping

import msgspec

_NOT_UTF8 = "\ufffd"


def kinds(row: type[msgspec.Struct]) -> dict[str, type]:
    """The type of each column of a table whose rows are such structs; what may be missing is a float."""
    return {
        field.name: field.type if field.type in (int, str, bool) else float for field in msgspec.structs.fields(row)
    }


def sound(content: str, columns: Mapping[str, type]) -> tuple[str, dict[int, str]]:
    """The lines of a CSV in which every cell is of its column's type, and by row what is wrong with the others.

    Rows count from 1, below the header. Columns that are not known may hold anything.
    """
    lines = content.splitlines(keepends=True)
    header = next(csv.reader(lines[:1]), [])
    kept, wrong = lines[:1], {}
    for row, line in enumerate(lines[1:], 1):
        cells = next(csv.reader(io.StringIO(line)), [])
        if why := _wrong(cells, header, columns):
            wrong[row] = why
        else:
            kept.append(line)
    return "".join(kept), wrong


def _wrong(cells: list[str], header: list[str], columns: Mapping[str, type]) -> str:
    if len(cells) != len(header):
        return f"{len(cells)} cells instead of {len(header)}"
    for name, cell in zip(header, cells, strict=True):
        if not _is(columns.get(name, str), cell):
            return f"{name} is {cell[:40]!r}"
    return ""


def _is(kind: type, cell: str) -> bool:
    if kind is bool:
        return cell in ("true", "false")
    if kind is str:
        return _NOT_UTF8 not in cell
    if kind is float and not cell:
        return True
    try:
        return not math.isnan(kind(cell))
    except ValueError:
        return False

"""Reads a CSV and separates valid rows from damaged ones."""

import csv
import io
import re
from collections.abc import Mapping

import msgspec

_NOT_UTF8 = "\ufffd"
# What is written and what pandas reads: Python's own int() and float() take more, and fail on more.
_INTEGER = re.compile(r"-?[0-9]{1,18}")
_NUMBER = re.compile(r"-?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]{1,4})?|-?inf")


def column_types(row: type[msgspec.Struct]) -> dict[str, type]:
    """Return the type of each column of a table with such rows; a column that may be empty is a float."""
    return {
        field.name: field.type if field.type in (int, str, bool) else float for field in msgspec.structs.fields(row)
    }


def split_valid_rows(content: str, columns: Mapping[str, type]) -> tuple[str, dict[int, str]]:
    """Return the lines of a CSV whose cells all have their column's type, and what is wrong with the others, by row.

    Rows count from 1, below the header. Unknown columns may hold anything.
    """
    # A line ends with \n and with nothing else that Unicode calls an end.
    lines = list(io.StringIO(content))
    header = _parse_cells(lines[0]) if lines else []
    kept, wrong = lines[:1], {}
    for row, line in enumerate(lines[1:], 1):
        if why := _describe_damage(_parse_cells(line), header, columns):
            wrong[row] = why
        else:
            kept.append(line)
    return "".join(kept), wrong


def _parse_cells(line: str) -> list[str]:
    """None of a line that is no line of a table: with a carriage return in it, or a quote that is not closed."""
    try:
        return next(csv.reader([line], strict=True), [])
    except csv.Error:
        return []


def _describe_damage(cells: list[str], header: list[str], columns: Mapping[str, type]) -> str:
    if len(cells) != len(header):
        return f"{len(cells)} cells instead of {len(header)}"
    for name, cell in zip(header, cells, strict=True):
        if not _is_of_type(columns.get(name, str), cell):
            return f"{name} is {cell[:40]!r}"
    return ""


def _is_of_type(kind: type, cell: str) -> bool:
    if kind is bool:
        return cell in ("true", "false")
    if kind is str:
        return _NOT_UTF8 not in cell
    if kind is float and not cell:
        return True
    return bool((_INTEGER if kind is int else _NUMBER).fullmatch(cell))

"""Tables that were damaged since they were written: which file, which line, and what is wrong there."""

import csv
import io
import math
from collections.abc import Mapping
from pathlib import Path

from bench.files import ResultsError, sentences


def whole_lines(path: Path, kinds: Mapping[str, type]) -> str:
    """A table's text without a half-written last line, which a killed writer leaves.

    ``kinds`` are the columns that are no text. Raises ResultsError, which names the first line that does not read.
    """
    with sentences(path):
        content = path.read_bytes()
    try:
        text = content[: content.rfind(b"\n") + 1].decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ResultsError(f"{path} is damaged: line {line} is no text; measure again") from error
    if wrong := _first_damage(text, kinds):
        raise ResultsError(f"{path} is damaged: {wrong}; measure again")
    return text


def _first_damage(text: str, kinds: Mapping[str, type]) -> str:
    lines = csv.reader(io.StringIO(text))
    heading = next(lines, [])
    for cells in lines:
        if len(cells) != len(heading):
            return f"line {lines.line_num} has {len(cells)} cells and the heading {len(heading)}"
        for column, cell in zip(heading, cells, strict=True):
            if not _reads(cell, kinds.get(column, str)):
                return f"{column} in line {lines.line_num} is {cell!r}"
    return ""


def _reads(cell: str, kind: type) -> bool:
    if kind is bool:
        return cell in ("true", "false")
    if kind is int:
        return cell.isdecimal()
    try:
        return kind is str or not cell or not math.isnan(float(cell))
    except ValueError:
        return False

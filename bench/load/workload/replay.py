"""Reads recorded arrival times: one offset a line, or a CSV with a column ``offset_s``."""

import hashlib
import math
from array import array
from pathlib import Path

import msgspec

OFFSET_COLUMN = "offset_s"
MAX_OFFSET_S = 1e8
"""About three years; a larger offset is a date."""
_NS = 1_000_000_000


class ArrivalTrace(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file of recorded arrivals, by its path, since a large one does not fit into a trial's specification.

    Every load process reads the file itself; ``sha256`` shows that all of them read the same one.
    """

    path: str
    sha256: str

    @classmethod
    def of(cls, path: Path) -> "ArrivalTrace":
        """Builds a trace from a file. Raises ValueError with a sentence when the file cannot be read."""
        return cls(path=str(path), sha256=hashlib.sha256(_read_bytes(path)).hexdigest())

    def offsets_ns(self, most: int) -> "array[int]":
        """Reads the arrivals: nanoseconds after the trace's beginning, in order, from one to ``most`` of them.

        Raises ValueError with a sentence that names the line, and when the file is not the one that was asked for.
        """
        content = _read_bytes(Path(self.path))
        if hashlib.sha256(content).hexdigest() != self.sha256:
            raise ValueError(f"trace {self.path} is not the file that the run began with; put that one there")
        try:
            return _parse_offsets(content.decode("utf-8-sig"), most)
        except UnicodeDecodeError as error:
            raise ValueError(f"trace {self.path} is not text: {error}") from error
        except ValueError as error:
            raise ValueError(f"trace {self.path}{error}") from error


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ValueError(f"trace {path} cannot be read: {error.strerror}") from error


def _parse_offsets(text: str, most: int) -> "array[int]":
    offsets_ns = array("q")
    before = 0
    column = None
    for number, line in enumerate(text.splitlines(), 1):
        cells = [cell.strip() for cell in line.partition("#")[0].split(",")]
        if not any(cells):
            continue
        if column is None:
            column = cells.index(OFFSET_COLUMN) if OFFSET_COLUMN in cells else 0
            if OFFSET_COLUMN in cells:
                continue
        cell = cells[column] if column < len(cells) else ""
        try:
            offset_s = float(cell)
        except ValueError:
            offset_s = math.nan
        if not math.isfinite(offset_s):
            raise ValueError(f", line {number}: {cell!r} is no number of seconds")
        if not 0 <= offset_s <= MAX_OFFSET_S:
            raise ValueError(f", line {number}: {cell} is no offset; count seconds from the trace's beginning, from 0")
        offset_ns = round(offset_s * _NS)
        if offset_ns < before:
            raise ValueError(f", line {number}: {cell} comes before the line above it; sort the trace by time")
        if len(offsets_ns) == most:
            raise ValueError(f", line {number}: more than {most:,} orders; make it shorter")
        offsets_ns.append(offset_ns)
        before = offset_ns
    if not offsets_ns:
        raise ValueError(f" holds no order; give one offset in seconds a line, or a CSV with a column {OFFSET_COLUMN}")
    return offsets_ns

"""Writes files durably: appended lines are synced to disk, content is replaced atomically."""

import csv
import errno
import io
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from bench.errors import ResultsError


def append_csv(path: Path, lines: Iterable[Sequence[object]], columns: Sequence[str] = ()) -> None:
    """Append lines to a CSV file and wait until they are on disk.

    A new file gets ``columns`` as its header. Raises OSError.
    """
    drop_partial_line(path)
    with path.open("a", encoding="utf-8", newline="") as file:
        if not file.tell() and columns:
            file.write(format_csv_line(columns))
        file.writelines(format_csv_line([format_cell(cell) for cell in line]) for line in lines)
        file.flush()
        os.fsync(file.fileno())


def format_cell(value: object) -> str:
    """Format a table cell: None is empty, and a float has six significant digits at most."""
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case float():
            return str(int(value)) if math.isfinite(value) and value == int(value) else f"{value:.6g}"
        case _:
            return str(value)


def format_csv_line(cells: Sequence[str]) -> str:
    """Return the cells as one line of CSV, with its line end."""
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(cells)
    return line.getvalue()


def format_json(content: Mapping[str, Any]) -> str:
    """Return the content as indented JSON, with a line end."""
    return msgspec.json.format(msgspec.json.encode(content), indent=2).decode() + "\n"


def replace_file(path: Path, content: str) -> None:
    """Replace a file atomically: readers see the old content or the new, also after a crash. Raises OSError."""
    new = path.with_name(f".{path.name}.new")
    try:
        with new.open("w", encoding="utf-8") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    except OSError:
        new.unlink(missing_ok=True)
        raise


def drop_partial_line(path: Path) -> None:
    """Remove the incomplete last line that a killed writer left. Raises OSError."""
    if not path.exists() or not (size := path.stat().st_size):
        return
    with path.open("rb+") as file:
        file.seek(size - 1)
        if file.read(1) == b"\n":
            return
        file.seek(0)
        file.truncate(file.read(size).rfind(b"\n") + 1)


def keep_lines(path: Path, keeps: Callable[[str], bool]) -> None:
    """Keep only the lines for which ``keeps`` is true, all or nothing; a missing file is left alone. Raises OSError."""
    if not path.exists():
        return
    lines = path.read_text("utf-8").splitlines(keepends=True)
    kept = [line for line in lines if keeps(line)]
    if len(kept) < len(lines):
        replace_file(path, "".join(kept))


@contextmanager
def explain_os_errors(path: Path) -> Iterator[None]:
    """Context manager: turn system errors about files below ``path`` into a ResultsError that says what to do."""
    try:
        yield
    except OSError as error:
        match error.errno:
            case errno.ENOSPC | errno.EDQUOT:
                what = f"the disk is full: {path} could not be written; free some space and measure again"
            case errno.EEXIST:
                what = f"{path} is there already; choose another run id or remove it"
            case errno.ENOENT:
                what = f"{path} has no results (no {Path(error.filename or '').name}); see what is in results/"
            case _:
                what = f"{path} could not be read or written: {error.strerror or error}; check its permissions"
        raise ResultsError(what, code="file-error") from error

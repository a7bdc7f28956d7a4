"""Files of which nothing is lost: lines that are on the disk when the call returns, content replaced as a whole."""

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


def append(path: Path, lines: Iterable[Sequence[object]], columns: Sequence[str] = ()) -> None:
    """Add lines, below ``columns`` where the file is new, and wait until they are on the disk. Raises OSError."""
    drop_half_line(path)
    with path.open("a", encoding="utf-8", newline="") as file:
        if not file.tell() and columns:
            file.write(csv_line(columns))
        file.writelines(csv_line([as_text(cell) for cell in line]) for line in lines)
        file.flush()
        os.fsync(file.fileno())


def as_text(value: object) -> str:
    """A cell of a table; None is an empty one, and a float has no more digits than it needs, six at most."""
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case float():
            return str(int(value)) if math.isfinite(value) and value == int(value) else f"{value:.6g}"
        case _:
            return str(value)


def csv_line(cells: Sequence[str]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(cells)
    return line.getvalue()


def as_json(content: Mapping[str, Any]) -> str:
    return msgspec.json.format(msgspec.json.encode(content), indent=2).decode() + "\n"


def replace(path: Path, content: str) -> None:
    """Readers see the old file or the new one, also after a crash."""
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


def drop_half_line(path: Path) -> None:
    """Cut off what a killed writer left after the last complete line. Raises OSError."""
    if not path.exists() or not (size := path.stat().st_size):
        return
    with path.open("rb+") as file:
        file.seek(size - 1)
        if file.read(1) == b"\n":
            return
        file.seek(0)
        file.truncate(file.read(size).rfind(b"\n") + 1)


def keep_lines(path: Path, keeps: Callable[[str], bool]) -> None:
    """Drop a text file's other lines, all or none; nothing where there is no file. Raises OSError."""
    if not path.exists():
        return
    lines = path.read_text("utf-8").splitlines(keepends=True)
    kept = [line for line in lines if keeps(line)]
    if len(kept) < len(lines):
        replace(path, "".join(kept))


@contextmanager
def sentences(path: Path) -> Iterator[None]:
    """Turn the system's errors about what is below ``path`` into ResultsError."""
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

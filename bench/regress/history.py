"""Keeps a line for each comparison with the same base, and prints them as a table over time.

A history of times is useless where the machine's speed changes by the hour. So a line holds changes, as ratios of HEAD
to a base that stays: an anchor, such as the last release. `results/regress/history.jsonl` has a line for each.
"""

import csv
import io
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from bench.errors import ResultsError, UsageError
from bench.regress.verdict import Verdict
from bench.results.durable_files import explain_os_errors, replace_file

HISTORY = "history.jsonl"


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One comparison, by what is kept of it."""

    id: str
    """Of the comparison; it begins with its date."""
    base: str
    """The commit of the anchor."""
    head: str
    exit_code: int
    ratios: dict[str, float]
    """By ``method.metric`` the ratio of HEAD to the base, of what was counted and timed."""

    @property
    def unix_s(self) -> int:
        """When the comparison began, from its id. Raises ValueError."""
        return int(datetime.strptime(self.id[:15], "%Y%m%d-%H%M%S").replace(tzinfo=UTC).timestamp())


def build_line(verdict: Verdict) -> Line:
    """Builds the line of a comparison. Raises UsageError where it says nothing of its revisions."""
    if verdict.exit_code == 12:
        raise UsageError(
            f"{verdict.id} was not compared, so it is no part of a history: {verdict.sentence}", code="not-compared"
        )
    return Line(
        id=verdict.id,
        base=verdict.base.commit,
        head=verdict.head.commit,
        exit_code=verdict.exit_code,
        ratios={
            f"{one.cell}.{one.metric}": round(1 + one.change, 6) for one in verdict.findings if one.change is not None
        },
    )


def remember(folder: Path, verdict: Verdict) -> Path:
    """Adds a comparison to the history in ``folder``, and returns its file; one that is there already is replaced.

    Raises UsageError and ResultsError.
    """
    path, line = folder / HISTORY, build_line(verdict)
    lines = [one for one in read_history(path) if one.id != line.id] if path.exists() else []
    content = b"".join(msgspec.json.encode(one) + b"\n" for one in [*lines, line])
    with explain_os_errors(path):
        folder.mkdir(parents=True, exist_ok=True)
        replace_file(path, content.decode())
    return path


def read_history(path: Path) -> list[Line]:
    """Reads a history. Raises ResultsError for none, and for a damaged one."""
    with explain_os_errors(path):
        content = path.read_bytes()
    found = []
    for number, text in enumerate(content.splitlines(), 1):
        try:
            found.append(msgspec.json.decode(text, type=Line))
        except msgspec.DecodeError as error:
            raise ResultsError(
                f"{path} is damaged at line {number}: {error}; remove that line", code="damaged-results"
            ) from error
    return found


def format_history(lines: Sequence[Line]) -> str:
    """Returns a CSV for Apache Otava: a row for each comparison with the last one's base, a column for each ratio.

    Comparisons with another base are of another series, and left out.
    """
    series = [line for line in lines if line.base == lines[-1].base] if lines else []
    names = sorted({name for line in series for name in line.ratios})
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["time", "commit", *names])
    for line in series:
        writer.writerow([line.unix_s, line.head[:10], *(line.ratios.get(name, "") for name in names)])
    return out.getvalue()

"""Tests what a history keeps of comparisons, and the table that it makes."""

import csv
import io
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bench.errors import ExitCode, ResultsError
from bench.regress.history import HISTORY, format_history, read_history, remember
from bench.regress.verdict import Verdict, build_verdict
from tests.conftest import refuses
from tests.unit.regress.counts import build_counts, build_plan


def build_comparison(day: int, base: str = "anchor", change: float = 0.0, **changes: Any) -> Verdict:
    verdict = build_verdict(build_plan(id=f"202611{day:02d}-030000-abcd"), build_counts({0: change}))
    side = msgspec.structs.replace(verdict.base, commit=base)
    return msgspec.structs.replace(verdict, base=side, **changes)


def test_a_comparison_is_remembered_once_with_its_ratios(tmp_path: Path) -> None:
    first, second = build_comparison(1), build_comparison(2, change=1000.0)
    for verdict in (first, second, first):
        path = remember(tmp_path, verdict)
    assert path == tmp_path / HISTORY
    assert [line.id for line in read_history(path)] == [second.id, first.id]
    told = {f"{one.cell}.{one.metric}": 1 + one.change for one in second.findings if one.change is not None}
    assert read_history(path)[0].ratios == pytest.approx(told)
    assert any(ratio != 1 for ratio in told.values())


def test_the_table_is_of_the_last_base_with_its_times(tmp_path: Path) -> None:
    for verdict in (build_comparison(1, "older"), build_comparison(2), build_comparison(3, change=1000.0)):
        path = remember(tmp_path, verdict)
    rows = list(csv.DictReader(io.StringIO(format_history(read_history(path)))))
    assert [int(row["time"]) for row in rows] == [1793588400, 1793588400 + 86400]
    assert all(float(value) > 0 for row in rows for name, value in row.items() if name not in ("time", "commit"))
    assert format_history([]) == "time,commit\n"


def test_what_was_not_compared_is_no_part_of_a_history(tmp_path: Path) -> None:
    with refuses("not-compared"):
        remember(tmp_path, build_comparison(1, exit_code=int(ExitCode.UNMEASURED)))
    assert not (tmp_path / HISTORY).exists()


def test_a_damaged_history_names_its_line(tmp_path: Path) -> None:
    path = remember(tmp_path, build_comparison(1))
    path.write_text(path.read_text("utf-8") + "half\n", "utf-8")
    with refuses("damaged-results", "2", kind=ResultsError):
        read_history(path)

"""Tests that damaged result tables are reported with file and row."""

import io
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bench.errors import ResultsError
from bench.results.recover import split_valid_rows
from bench.results.store import RunFolder
from tests.unit.builders import build_run


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return build_run(tmp_path, rounds=1)


def edited(run: RunFolder, edit: Callable[[list[str]], None]) -> None:
    """Line 3 of trials.csv, cell by cell."""
    path = run.path / "trials.csv"
    lines = path.read_text().splitlines()
    cells = lines[2].split(",")
    edit(cells)
    lines[2] = ",".join(cells)
    path.write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize(
    ("column", "cell", "said"),
    [
        (0, "one", "round is 'one'"),
        (-2, "maybe", "valid is 'maybe'"),
        (-3, "", "complete is ''"),
        (26, "1e", "is '1e'"),
    ],
)
def test_a_cell_that_does_not_read_is_named_with_its_row(run: RunFolder, column: int, cell: str, said: str) -> None:
    edited(run, lambda cells: cells.__setitem__(column, cell))
    with pytest.raises(ResultsError, match=rf"trials\.csv is damaged in row 2: .*{said}"):
        run.trials()


def test_a_line_that_lost_its_end_in_the_middle_of_a_file_is_named(run: RunFolder) -> None:
    edited(run, lambda cells: cells.__delitem__(slice(40, None)))
    with pytest.raises(ResultsError, match=r"trials\.csv is damaged in row 2: 40 cells"):
        run.trials()


def test_bytes_that_are_no_text_are_named_with_their_row(run: RunFolder) -> None:
    path = run.path / "trials.csv"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:3], b"1,1,\xff\xfe\n", *lines[3:]]))
    with pytest.raises(ResultsError, match=r"trials\.csv is damaged in row 3: "):
        run.trials()


def test_a_half_written_last_line_is_left_out(run: RunFolder) -> None:
    with (run.path / "trials.csv").open("a") as file:
        file.write("2,1,re")
    assert len(run.trials()) == 5


def test_another_table_with_a_line_too_long_is_named_too(run: RunFolder) -> None:
    (run.path / "capacity.csv").write_text("cell,transport\nrest,rest\nrest,rest,rest\n")
    with pytest.raises(ResultsError, match=r"capacity\.csv is damaged in row 2: 3 cells instead of 2"):
        run.capacities()


COLUMNS = {"name": str, "round": int, "took_us": float, "valid": bool}
SOUND = "name,round,took_us,valid\nrest,1,5.5,true\n"


@given(st.sampled_from(list(COLUMNS)), st.text(st.characters(codec="utf-8"), max_size=12))
@example("name", "a\u2028b")
@example("name", "a\x0bb\x85c")
@example("name", "a\rb")
@example("name", '"')
@example("round", "9" * 400)
@example("round", "9" * 5000)
@example("round", "1_000")
@example("took_us", "1_0.5")
@example("took_us", "\u0663")
def test_whatever_stands_in_a_cell_the_row_is_read_or_it_is_named_and_the_others_are_read(
    column: str, cell: str
) -> None:
    cells = {"name": "grpc", "round": "2", "took_us": "", "valid": "false", column: cell}
    content = f"{SOUND}{','.join(cells.values())}\nevents,3,7,true\n"
    kept, wrong = split_valid_rows(content, COLUMNS)
    kinds = {name: kind for name, kind in COLUMNS.items() if kind is not bool}
    read = pd.read_csv(io.StringIO(kept), dtype=kinds, keep_default_na=False, na_values={"took_us": [""]})
    first, last = read.iloc[0], read.iloc[-1]
    assert (first["name"], first["round"], first["took_us"], first["valid"]) == ("rest", 1, 5.5, True)
    assert (last["name"], last["round"], last["took_us"], last["valid"]) == ("events", 3, 7.0, True)
    assert len(read) + len(wrong) == 3 + cell.count("\n")


def test_a_line_ends_where_it_was_ended_and_not_at_other_marks_of_unicode() -> None:
    content = SOUND.replace("rest", "re\u2028s\x0bt\x85")
    assert split_valid_rows(content, COLUMNS) == (content, {})


@pytest.mark.parametrize("cell", ["9" * 400, "1e5", "1_000", "\u0661", ""])
def test_what_is_no_whole_number_that_a_table_can_hold_is_named(cell: str) -> None:
    _, wrong = split_valid_rows(SOUND.replace("1", cell, 1), COLUMNS)
    assert wrong == {1: f"round is {cell[:40]!r}"}

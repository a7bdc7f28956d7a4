"""Tables that were damaged since they were written: the file and the row are named."""

from collections.abc import Callable
from pathlib import Path

import pytest

from bench.files import ResultsError
from bench.store import Run
from tests.unit.made_up import a_run


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return a_run(tmp_path, rounds=1)


def edited(run: Run, edit: Callable[[list[str]], None]) -> None:
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
def test_a_cell_that_does_not_read_is_named_with_its_row(run: Run, column: int, cell: str, said: str) -> None:
    edited(run, lambda cells: cells.__setitem__(column, cell))
    with pytest.raises(ResultsError, match=rf"trials\.csv is damaged in row 2: .*{said}"):
        run.trials()


def test_a_line_that_lost_its_end_in_the_middle_of_a_file_is_named(run: Run) -> None:
    edited(run, lambda cells: cells.__delitem__(slice(40, None)))
    with pytest.raises(ResultsError, match=r"trials\.csv is damaged in row 2: 40 cells"):
        run.trials()


def test_bytes_that_are_no_text_are_named_with_their_row(run: Run) -> None:
    path = run.path / "trials.csv"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:3], b"1,1,\xff\xfe\n", *lines[3:]]))
    with pytest.raises(ResultsError, match=r"trials\.csv is damaged in row 3: "):
        run.trials()


def test_a_half_written_last_line_is_left_out(run: Run) -> None:
    with (run.path / "trials.csv").open("a") as file:
        file.write("2,1,re")
    assert len(run.trials()) == 5


def test_another_table_with_a_line_too_long_is_named_too(run: Run) -> None:
    (run.path / "capacity.csv").write_text("cell,transport\nrest,rest\nrest,rest,rest\n")
    with pytest.raises(ResultsError, match=r"capacity\.csv is damaged in row 2: 3 cells instead of 2"):
        run.capacities()

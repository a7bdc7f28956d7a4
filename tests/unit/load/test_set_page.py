"""Tests the table of cells on Locust's page."""

import pytest

from bench.load.locust.set_page import COLUMNS, CellTable
from bench.load.sets.protocol import SetNews
from tests.unit.load.test_set_books import ENDED, SPEC


def test_a_cell_has_the_rate_that_it_has_while_it_works() -> None:
    table = CellTable()
    table.begin(SPEC)
    for ended in ENDED[:3]:
        table.add(SetNews(next=0, slices=[ended]).to_json())
    first, second = table.build_rows()
    assert (first["name"], first["slices"], first["due"], second["slices"]) == ("cell-0", 2, 3, 1)
    told = [one.report for one in (ENDED[0], ENDED[2])]
    assert first["orders_per_s"] == pytest.approx(sum(one.finished for one in told) / 1.0, abs=0.1)
    assert first["asked_per_s"] == SPEC.cells[0].orders_per_s
    assert set(COLUMNS) <= first.keys()


def test_a_cell_without_a_slice_has_no_rate_and_a_new_set_begins_anew() -> None:
    table = CellTable()
    table.begin(SPEC)
    table.add(SetNews(next=0, slices=ENDED).to_json())
    table.begin(SPEC)
    assert [(row["slices"], row["orders_per_s"]) for row in table.build_rows()] == [(0, None), (0, None)]

"""Shows a set on Locust's page: a table with the rate of each cell while it works.

Locust's own numbers of users and requests per second mean nothing there, since cells take turns.
"""

from dataclasses import dataclass
from typing import Any

from bench.load.sets.protocol import SetSpec, SliceReport, parse_news

KEY = "cells"
TAB = {"title": "Cells", "key": KEY}
COLUMNS = ("name", "slices", "due", "asked_per_s", "orders_per_s", "finish_p50_us")
REFUSAL = "a set is played as it was planned, so its users cannot be edited; change RATE of the run [set-is-planned]"


@dataclass(slots=True)
class _Cell:
    name: str
    asked_per_s: float
    due: int
    slices: int = 0
    finished: int = 0
    window_s: float = 0.0
    finish_p50_us: float | None = None

    def add(self, ended: SliceReport) -> None:
        self.slices += 1
        self.finished += ended.finished
        self.window_s += ended.window_s
        self.finish_p50_us = ended.finish_p50_us

    def build_row(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "safe_name": self.name,
            "slices": self.slices,
            "due": self.due,
            "asked_per_s": self.asked_per_s,
            "orders_per_s": round(self.finished / self.window_s, 1) if self.window_s else None,
            "finish_p50_us": self.finish_p50_us,
        }


class CellTable:
    """The cells of the present set, or of the last one. Rates are of windows alone."""

    def __init__(self) -> None:
        self._cells: list[_Cell] = []

    def begin(self, spec: SetSpec) -> None:
        """Begins a set; the rest of one goes on with what is there."""
        if spec.from_place == 1:
            due = [sum(one.cell == at for one in spec.slices) for at in range(len(spec.cells))]
            self._cells = [_Cell(cell.name, cell.orders_per_s, due[at]) for at, cell in enumerate(spec.cells)]

    def add(self, news: str) -> None:
        """Enters the slices of a load process's news."""
        for told in parse_news(f"[{news}]"):
            for ended in told.slices:
                if ended.whole and ended.report.cell < len(self._cells):
                    self._cells[ended.report.cell].add(ended.report)

    def build_rows(self) -> list[dict[str, Any]]:
        """Returns a row for each cell, by column."""
        return [cell.build_row() for cell in self._cells]

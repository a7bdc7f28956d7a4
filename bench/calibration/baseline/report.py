"""Renders a table of ratios per transport and saves all numbers as JSON."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.calibration.baseline.goals import BASELINE_METRICS, compare_metric
from bench.calibration.baseline.measure import BaselineLoad, Slot
from bench.paths import ROOT
from bench.report.formatting import format_number
from bench.results.environment import read_git_state, read_machine, read_versions

SCHEMA_VERSION = 1
_GOAL_FORMATS = {"at least": ">= {:.2f}", "at most": "<= {:.2f}", None: ""}
WIDTH = 110
"""Of the text beside the JSON."""


def ratio_table(transport: str, slots: Sequence[Slot]) -> Table:
    """Returns the table of one transport from its slots. Ratios are ours to bare, round by round."""
    drawn = Table(
        title=f"{transport}: our workflow against the bare chain (CPU us and orders/s with 16 in flight)",
        title_justify="left",
        box=None,
        pad_edge=False,
    )
    drawn.add_column("", no_wrap=True)
    for heading in ("ours", "bare", "ratio", "min..max"):
        drawn.add_column(heading, justify="right", no_wrap=True)
    drawn.add_column("by round", justify="right", max_width=19)
    drawn.add_column("goal", justify="right", no_wrap=True)
    drawn.add_column("", no_wrap=True)
    for metric in BASELINE_METRICS:
        found = compare_metric(metric, slots)
        if found is None:
            continue
        verdict = {True: Text("met", "green"), False: Text("MISSED", "bold red"), None: Text("")}[found.met]
        drawn.add_row(
            metric.title,
            format_number(found.ours / metric.per),
            format_number(found.bare / metric.per),
            Text(f"{found.ratio:.2f}", "bold"),
            f"{min(found.ratios):.2f}..{max(found.ratios):.2f}",
            " ".join(f"{ratio:.2f}" for ratio in found.ratios),
            "" if found.goal is None else _GOAL_FORMATS[metric.bound].format(metric.goal),
            verdict,
        )
    return drawn


class BaselineReport:
    """The results of a comparison. It is saved whole each time, so that slots measured before a failure are kept."""

    def __init__(self, folder: Path, asked: BaselineLoad) -> None:
        """Raises OSError when ``folder`` cannot be made."""
        folder.mkdir(parents=True, exist_ok=True)
        now = datetime.now(UTC)
        self.path = folder / f"baseline-{now:%Y%m%dT%H%M%SZ}.json"
        self.slots: dict[str, list[Slot]] = {}
        """By transport."""
        self.skipped: dict[str, str] = {}
        """By transport, why."""
        self.servers: dict[str, str] = {}
        """By broker, its version."""
        self._begun = {
            "schema_version": SCHEMA_VERSION,
            "started_at": now.isoformat(timespec="seconds"),
            "load": asked,
            "machine": read_machine(folder),
            "git": read_git_state(ROOT),
        }

    def show(self, transport: str, console: Console) -> None:
        if why := self.skipped.get(transport):
            console.print(f"{transport} skipped: {why}", highlight=False)
        else:
            console.print(ratio_table(transport, self.slots[transport]))

    def save(self) -> None:
        """Writes the JSON, and the tables as text beside it. Raises OSError."""
        self.path.write_bytes(msgspec.json.encode(self.content()) + b"\n")
        with self.path.with_suffix(".txt").open("w", encoding="utf-8") as text:
            console = Console(file=text, width=WIDTH)
            for transport in (*self.slots, *self.skipped):
                self.show(transport, console)

    def content(self) -> dict[str, Any]:
        """Returns what the JSON file holds."""
        return self._begun | {
            "versions": read_versions() | {name: version for name, version in self.servers.items() if version},
            "skipped": self.skipped,
            "comparisons": {
                transport: [
                    entry for metric in BASELINE_METRICS if (entry := compare_metric(metric, slots)) is not None
                ]
                for transport, slots in self.slots.items()
            },
            "slots": [slot for slots in self.slots.values() for slot in slots],
        }

"""A table per transport, and everything behind it as JSON."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.calibration.baseline.goals import METRICS, compared
from bench.calibration.baseline.measure import Load, Slot
from bench.paths import ROOT
from bench.report.formatting import digits
from bench.results.environment import git, machine, versions

SCHEMA_VERSION = 1
_SIGNS = {"at least": ">= {:.2f}", "at most": "<= {:.2f}", None: ""}
WIDTH = 110
"""Of the text beside the JSON."""


def table(transport: str, slots: Sequence[Slot]) -> Table:
    """Of the slots of one transport. Ratios are ours to bare, round by round."""
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
    for metric in METRICS:
        found = compared(metric, slots)
        if found is None:
            continue
        verdict = {True: Text("met", "green"), False: Text("MISSED", "bold red"), None: Text("")}[found.met]
        drawn.add_row(
            metric.title,
            digits(found.ours / metric.per),
            digits(found.bare / metric.per),
            Text(f"{found.ratio:.2f}", "bold"),
            f"{min(found.ratios):.2f}..{max(found.ratios):.2f}",
            " ".join(f"{ratio:.2f}" for ratio in found.ratios),
            "" if found.goal is None else _SIGNS[metric.bound].format(metric.goal),
            verdict,
        )
    return drawn


class Report:
    """Saved as often as one likes, whole each time, so that what was measured before a failure is kept."""

    def __init__(self, folder: Path, asked: Load) -> None:
        """Raises OSError when ``folder`` cannot be made."""
        folder.mkdir(parents=True, exist_ok=True)
        now = datetime.now(UTC)
        self.path = folder / f"floor-{now:%Y%m%dT%H%M%SZ}.json"
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
            "machine": machine(folder),
            "git": git(ROOT),
        }

    def show(self, transport: str, console: Console) -> None:
        if why := self.skipped.get(transport):
            console.print(f"{transport} skipped: {why}", highlight=False)
        else:
            console.print(table(transport, self.slots[transport]))

    def save(self) -> None:
        """The JSON, and the tables as text beside it. Raises OSError."""
        content: dict[str, Any] = self._begun | {
            "versions": versions() | {name: version for name, version in self.servers.items() if version},
            "skipped": self.skipped,
            "comparisons": {
                transport: [entry for metric in METRICS if (entry := compared(metric, slots)) is not None]
                for transport, slots in self.slots.items()
            },
            "slots": [slot for slots in self.slots.values() for slot in slots],
        }
        self.path.write_bytes(msgspec.json.encode(content) + b"\n")
        with self.path.with_suffix(".txt").open("w", encoding="utf-8") as text:
            console = Console(file=text, width=WIDTH)
            for transport in (*self.slots, *self.skipped):
                self.show(transport, console)

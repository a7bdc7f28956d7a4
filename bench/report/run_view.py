"""Reads a run's files for a report, with a caveat for each that cannot be read."""

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from bench.errors import ResultsError
from bench.results.caveats import Caveat
from bench.results.measures import columns_used_in
from bench.results.rows import ECHO, trial_columns
from bench.results.set_tables import SetStatistics
from bench.results.setting_names import RENAMED
from bench.results.store import RunFolder
from bench.stats.aa import summarise_aa
from bench.stats.summary import drop_yardsticks, is_yardstick

MAX_DAMAGED_ROWS = 5
"""The most damaged rows of a file that are named."""
ELSEWHERE = ("RESUME", "RESULTS", "STATE")
"""Settings for the place of a run, which say nothing about what it measured."""
EMPTY_SUMMARY: Mapping[str, Any] = {"cells": [], "ratios": []}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunView:
    """A run as a report needs it: what its files hold; tables are empty where the run has no such file."""

    name: str
    """The name of its folder: ``default``."""
    run: RunFolder
    trials: pd.DataFrame
    summary: Mapping[str, Any]
    capacities: pd.DataFrame
    effects: pd.DataFrame
    timeline: pd.DataFrame
    hops: pd.DataFrame
    cold: pd.DataFrame
    aa: pd.DataFrame
    unread: tuple[Caveat, ...]
    """Caveats about whole files."""

    @property
    def doubts(self) -> tuple[Caveat, ...]:
        """Caveats for what could not be read and what is missing; histograms are read when they are drawn."""
        return (*dict.fromkeys(self.unread), *_damage_caveats(self.run), *_unfinished_caveats(self))

    @property
    def statistics(self) -> SetStatistics | None:
        """The estimates of a run in sets; None for whole trials, and where nothing can be estimated."""
        return self.run.set_statistics() if len(self.trials) and self.summary["cells"] else None

    @property
    def in_sets(self) -> bool:
        """Whether the run was played in sets."""
        return self.run.has_sets

    @property
    def manifest(self) -> Mapping[str, Any]:
        return self.run.manifest

    @property
    def profile(self) -> Mapping[str, Any]:
        return dict(self.manifest.get("profile", {}))

    @property
    def transports(self) -> dict[str, str]:
        """The transport of each cell, by the name of the cell."""
        return dict(zip(self.trials["cell"], self.trials["transport"], strict=True))

    @property
    def products(self) -> dict[str, str]:
        """The broker product of each cell, by the name of the cell; empty where the run has no such column."""
        return dict(zip(self.trials["cell"], self.trials["product"], strict=True)) if "product" in self.trials else {}

    @property
    def command(self) -> str:
        """The make command that measures the same again."""
        words = shlex.split(str(self.manifest.get("command", "fourways bench")))
        pairs = (word.partition("=") for word in words if "=" in word)
        typed = [f"{RENAMED.get(name, name)}={value}" for name, _, value in pairs if name not in ELSEWHERE]
        return shlex.join(["make", "study" if "study" in words else "bench", *typed])


def read_run_view(path: Path) -> RunView:
    """Reads all of a run that can be read. Raises ResultsError when nothing can be read."""
    run = RunFolder.open_damaged(path)
    doubts: list[Caveat] = []
    empty = pd.DataFrame()

    def part(of: Any, otherwise: Any) -> Any:
        try:
            return of()
        except ResultsError as error:
            doubts.append(Caveat("damaged", str(error), "what does not need it is shown"))
            return otherwise

    trials = part(run.trials, pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in trial_columns().items()}))
    there = bool(len(trials))
    designed, arms = run.manifest.get("profile", {}).get("designed"), run.manifest.get("profile", {}).get("arms")
    tables = {
        "summary": part(run.summary, EMPTY_SUMMARY) if there else EMPTY_SUMMARY,
        "capacities": part(run.capacities, empty),
        "effects": part(run.effects, empty) if designed and there else empty,
        "timeline": part(run.timeline, empty) if there else empty,
        "hops": part(run.hops, empty) if there else empty,
        "cold": part(run.cold_starts, empty),
        "aa": summarise_aa(trials, columns_used_in("summary")) if arms == 2 and there else empty,
    }
    # The page is of methods: the yardstick is in a sentence.
    summary = {**tables["summary"], "cells": [one for one in tables["summary"]["cells"] if not _is_bare(one)]}
    tables["summary"] = summary
    return RunView(name=path.resolve().name, run=run, trials=drop_yardsticks(trials), **tables, unread=tuple(doubts))


def _is_bare(cell: Mapping[str, Any]) -> bool:
    return is_yardstick(str(cell.get("transport", "")))


def _damage_caveats(run: RunFolder) -> Iterator[Caveat]:
    by_file: dict[str, list[str]] = {}
    for where, why in (run.damage or {}).items():
        by_file.setdefault(where.partition(",")[0], []).append(f"{where}, cannot be read: {why}; it is left out")
    for said in by_file.values():
        more = f", and {len(said) - MAX_DAMAGED_ROWS} more like it" if len(said) > MAX_DAMAGED_ROWS else ""
        yield Caveat("damaged", "; ".join(said[:MAX_DAMAGED_ROWS]) + more, "measure again")


def _count_connection_rounds(cold: pd.DataFrame) -> int:
    """Counts the rows of cells with new connections; the bare echo is no cell."""
    return int((cold["transport"] != ECHO).sum()) if len(cold) else 0


def _resume_command(reading: RunView) -> str:
    make, target, *_ = reading.command.split(" ")
    return f"{make} {target} RESUME={reading.name}"


def _unfinished_caveats(reading: RunView) -> Iterator[Caveat]:
    planned = sum(not _is_bare(cell) for cell in reading.manifest.get("cells", ())) * int(
        reading.profile.get("rounds", 0)
    )
    if reading.manifest.get("plan") == "capacity":
        planned = 0  # a search has as many trials as it takes
    if len(reading.trials) < planned:
        yield Caveat(
            "unfinished",
            f"{len(reading.trials)} of {planned} trials are there: the run was stopped, or is still being measured",
            f"`{_resume_command(reading)}` goes on",
        )
    elif reading.profile.get("connections") and (lacking := planned - _count_connection_rounds(reading.cold)) > 0:
        yield Caveat(
            "unfinished",
            f"new connections lack in {lacking} of {planned} rounds of a cell: the run was stopped, or goes on still",
            f"`{_resume_command(reading)}` goes on",
        )
    elif reading.trials.empty:
        yield Caveat("empty", "no trial is there", f"measure again: `{reading.command}`")

"""Prints results: a run's tables on the terminal, or any result as JSON."""

import dataclasses
import json
import math
from typing import Any

import msgspec
import pandas as pd
from rich.console import Console

from bench.report.ground import RunFacts, describe_ground
from bench.report.terminal.connections import print_connections_table, read_cold_starts
from bench.report.terminal.run import aa_table, capacity_table, effects_table, outage_table, render_run
from bench.results.store import RunFolder
from bench.stats.summary import drop_yardsticks


def print_run(kept: RunFolder, console: Console) -> None:
    """Print what the run was measured on, then every table that it has, and write nothing. Raises ResultsError."""
    profile, trials = kept.manifest["profile"], kept.trials()
    for line in describe_ground([RunFacts(kept.path.resolve().name, kept.manifest, drop_yardsticks(trials))]):
        console.print(line, style="dim", highlight=False, markup=False)
    if len(capacities := kept.capacities()):
        console.print(capacity_table(capacities))
    if kept.has_arms:
        console.print(aa_table(kept.aa()))
    if profile.get("designed"):
        console.print(effects_table(kept.effects()))
    if profile.get("connections"):
        print_connections_table(read_cold_starts(kept.cold_starts()))
    summary = kept.summary()
    if "outages" in summary:
        console.print(outage_table(summary["outages"]))
    if len(trials):
        console.print(render_run(summary, kept.manifest))


def print_json(result: Any) -> None:
    """Print a result as JSON on standard output; infinite numbers are "inf", missing ones null."""
    print(json.dumps(_plain(result), indent=2, ensure_ascii=False))


def _plain(value: Any) -> Any:
    """The result in the types that JSON has."""
    if isinstance(value, pd.DataFrame):
        value = value.astype(object).where(value.notna(), None).to_dict("records")
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(one) for one in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        shown = [field.name for field in dataclasses.fields(value) if not field.metadata.get("is_inner")]
        return {name: _plain(getattr(value, name)) for name in shown}
    if isinstance(value, msgspec.Struct):
        return {name: _plain(getattr(value, name)) for name in value.__struct_fields__}
    number = value.item() if hasattr(value, "item") else value
    if isinstance(number, float) and not math.isfinite(number):
        return None if math.isnan(number) else "inf"
    return number if isinstance(number, str | int | float | None) else str(number)

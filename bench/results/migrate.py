"""Translates what older schemas called otherwise, when a run is read: columns, doubts, and keys of a manifest.

All code above knows the names of the newest schema alone. docs/results-format.md has the list.
"""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from bench.results.setting_names import RENAMED_KEYS
from bench.results.settings import SETTINGS

_TRIAL_COLUMNS = {
    "little": "littles_law_error",
    "slowness": "cpu_slowdown",
    "others_cores": "background_cores",
}
RENAMED_COLUMNS: Mapping[str, Mapping[str, str]] = {
    "trials.csv": _TRIAL_COLUMNS,
    "search.csv": _TRIAL_COLUMNS,
    "outages.csv": {
        "began_s": "fault_begin_s",
        "back_s": "fault_end_s",
        "asked_again": "redelivered",
        "told_twice": "duplicate_outcomes",
        "charged_unheard": "charged_unconfirmed",
        "backlog_gone_s": "backlog_drained_s",
        "as_before_s": "recovery_time_s",
    },
}
"""By file, what a column of schema 5 and older is called now."""
RENAMED_CAVEATS: Mapping[str, str] = {
    "speed": "machine-speed-changed",
    "canary": "machine-too-slow",
    "others": "background-load",
    "little": "littles-law",
    "closed": "connections-closed",
    "cold": "connections-missing",
    "artefact": "timer-artifact",
}
RENAMED_MANIFEST_KEYS: Mapping[str, str] = {"canary_us": "speed_probe_us"}
RENAMED_LEVELS: Mapping[str, Mapping[str, str]] = {"arrivals": {"trace": "replay"}}
"""By column or key of a profile, what a level is called now."""


LATE_COLUMNS: Mapping[str, Any] = {"interpreter": SETTINGS["INTERPRETER"].default}
"""Columns that a run of any schema may lack, and what held when it was measured."""


def migrate_manifest(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return the manifest of an older run with the names of today; ``schema_version`` stays what it was."""
    found = {RENAMED_MANIFEST_KEYS.get(key, key): value for key, value in manifest.items()}
    if isinstance(profile := found.get("profile"), dict):
        found["profile"] = _migrate_profile(profile)
    for key in ("cells", "curve"):
        if isinstance(found.get(key), list):
            found[key] = [_migrate_cell(cell) for cell in found[key]]
    if isinstance(caveats := found.get("caveats"), list):
        found["caveats"] = [{**entry, "name": migrate_caveat(entry["name"])} for entry in caveats]
    return found


def _migrate_profile(profile: Mapping[str, Any]) -> dict[str, Any]:
    found = _migrate_levels(profile)
    if "designed" in found:
        found["designed"] = [_migrate_cell(cell) for cell in found["designed"] or ()]
    return found


def _migrate_cell(cell: Mapping[str, Any]) -> dict[str, Any]:
    """A cell keeps its ``product``; its levels are keys of a profile."""
    return {**cell, "levels": _migrate_levels(cell["levels"])} if "levels" in cell else dict(cell)


def _migrate_levels(levels: Mapping[str, Any]) -> dict[str, Any]:
    renamed = {RENAMED_KEYS.get(key, key): value for key, value in levels.items()}
    for key, words in RENAMED_LEVELS.items():
        if isinstance(level := renamed.get(key), str):
            renamed[key] = words.get(level, level)
    return renamed


def migrate_caveat(name: str) -> str:
    """Return the name of a doubt as it is today."""
    return RENAMED_CAVEATS.get(name, name)


def migrate_header(table: str, content: str) -> str:
    """Return the text of a CSV with the columns' names of today in its first line."""
    renamed = RENAMED_COLUMNS.get(table, {})
    header, end, rows = content.partition("\n")
    return ",".join(renamed.get(column, column) for column in header.split(",")) + end + rows


def migrate_trials(trials: pd.DataFrame) -> pd.DataFrame:
    """Return the trials of an older run with the doubts' and levels' names of today."""
    found = trials.replace(dict(RENAMED_LEVELS))
    if "caveats" in found:
        found["caveats"] = [";".join(map(migrate_caveat, names.split(";"))) for names in found["caveats"]]
    return found


def add_late_columns(trials: pd.DataFrame) -> pd.DataFrame:
    """Return the trials with the columns that came after they were measured."""
    return trials.assign(**{column: value for column, value in LATE_COLUMNS.items() if column not in trials})

"""Keeps and finds banks of A/A sets: a machine's own, and the one that comes with Fourways."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from bench.paths import REFERENCE
from bench.results.durable_files import explain_os_errors, format_json, replace_file
from bench.results.measures import columns_used_in
from bench.results.set_tables import SetStatistics
from bench.stats.bank import MIN_BANK_SETS, BankedMeasure, compute_bank
from bench.stats.sets import SetPrior

OWN_NAME = "aa-sets.json"
"""Of a machine's own bank, in the folder of its state."""
KEPT = REFERENCE / "aa-sets" / "bank.json"
"""The bank that comes with Fourways, where there is one."""


class Bank(msgspec.Struct, frozen=True, kw_only=True):
    """What a run of PROFILE=aa in sets knows of the scatter between sets, by measure."""

    run: str
    """Its name."""
    date: str
    machine: Mapping[str, Any]
    cells: tuple[str, ...]
    sets: int
    slices: int
    """Of each cell in a set."""
    slice_s: float
    measures: Mapping[str, BankedMeasure]

    @property
    def priors(self) -> dict[str, SetPrior]:
        """What it knows of each measure, as the statistics take it."""
        return {name: one.prior for name, one in self.measures.items()}


def build_bank(manifest: Mapping[str, Any], statistics: SetStatistics) -> Bank | None:
    """Return the bank of an A/A run in sets, from its manifest; None for fewer than MIN_BANK_SETS sets."""
    if len(statistics.sets) < MIN_BANK_SETS:
        return None
    found = {name: compute_bank([statistics.table(name)]) for name in columns_used_in("ratio")}
    return Bank(
        run=str(manifest["run_id"]),
        date=str(manifest["started_at"])[:10],
        machine=dict(manifest.get("machine", {})),
        cells=statistics.cells,
        sets=len(statistics.sets),
        slices=int(manifest["profile"]["slices"]),
        slice_s=float(manifest["profile"]["slice_s"]),
        measures={name: one for name, one in found.items() if one is not None},
    )


def write_bank(home: Path, bank: Bank) -> Path:
    """Keep it as the machine's own, and return where. Raises ResultsError."""
    path = home / OWN_NAME
    with explain_os_errors(path):
        home.mkdir(parents=True, exist_ok=True)
        replace_file(path, format_json(msgspec.to_builtins(bank)))
    return path


def find_bank(home: Path, kept: Path | None = None) -> tuple[str, Bank] | None:
    """Return the machine's own bank as "own", else the one that comes with Fourways as "kept"; None without either.

    A file that cannot be read is passed over.
    """
    for origin, path in (("own", home / OWN_NAME), ("kept", kept or KEPT)):
        try:
            return origin, msgspec.json.decode(path.read_bytes(), type=Bank)
        except (OSError, msgspec.DecodeError):
            continue
    return None


def read_priors(manifest: Mapping[str, Any]) -> dict[str, SetPrior]:
    """Return what the bank that a run was measured with knows, from its manifest; empty without one."""
    held = manifest.get("bank")
    return msgspec.convert(held["bank"], Bank).priors if held else {}


def describe_bank(manifest: Mapping[str, Any]) -> str:
    """Return a clause on the bank that a run was measured with, for a reader."""
    held = manifest.get("bank")
    if not held:
        return "no bank of A/A sets moderates it"
    bank = msgspec.convert(held["bank"], Bank)
    whose = "this machine's own bank" if held["origin"] == "own" else "the kept bank, of another machine,"
    return f"moderated by {whose} of {bank.sets} A/A sets ({bank.run}, {bank.date})"

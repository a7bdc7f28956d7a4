"""Builds a run's manifest, and checks that a resumed run has the same machine and versions."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from bench.errors import ResultsError
from bench.profile.schema import CellSettings, Profile
from bench.provision.base import Broker, Unavailable
from bench.provision.pythons import read_facts
from bench.provision.versions import OLD_DAYS, find_age
from bench.results import caveats
from bench.results.caveats import Caveat
from bench.results.environment import read_git_state, read_machine, read_versions
from bench.results.store import RunFolder
from bench.runner.environment import RunPaths
from transports.base import Acceptance

SURVIVES_IN_STORE = {
    ("memory", "fast"): "D0: nothing survives a service process, whose store is in its memory",
    (
        "postgres",
        "fast",
    ): "D1: a service's death; a decision is in the database server's memory, and on its disk in 0.6 s",
}
"""What survives acceptance on a chain, by store and durability, where it is not what the traits say of SQLite: a chain
accepts an order when its services have committed their decisions."""


def build_manifest(
    profile: Profile,
    paths: RunPaths,
    shared: Mapping[str, Broker | Unavailable],
    wanted: list[CellSettings],
    skipped: Mapping[str, str],
    command: str,
) -> dict[str, Any]:
    """Returns what manifest.json holds when a run begins."""
    return {
        "command": command,
        "git": read_git_state(paths.checkout),
        "machine": read_machine(paths.home),
        "python": read_facts(),
        "versions": read_versions(),
        "brokers": {name: describe_broker(broker) for name, broker in shared.items() if isinstance(broker, Broker)},
        "profile": msgspec.to_builtins(profile),
        "seed": profile.seed,
        "cells": [msgspec.to_builtins(cell.cell) for cell in wanted],
        "traits": {cell.cell.pairing: describe_traits(cell) for cell in wanted if cell.kind.traits.runs_shop},
        "skipped": dict(skipped),
        "facts": {},
        "idle_cpu_ms_per_s": {},
        "tls": {},
        "caveats": [],
    }


def describe_broker(broker: Broker) -> dict[str, Any]:
    """Returns what the manifest says of a broker: its version, who provided it, and how old it is where that is known.

    ``how_old_days`` counts from the release of its version to that of the newest one that is known here.
    """
    said: dict[str, Any] = {"version": broker.version, "provided_by": broker.provided_by}
    if broker.runtime:
        said["runtime"] = broker.runtime
    if (age := find_age(broker.name, broker.version)) is not None:
        said["released"] = age.released.isoformat() if age.released else None
        said["newest_known"] = age.newest_known
        said["how_old_days"] = age.how_old_days
    return said


def resume_into(kept: RunFolder, now: Mapping[str, Any]) -> None:
    """Notes in the manifest that a run is resumed. Raises ResultsError when its conditions have changed."""
    before, after = collect_fixed_conditions(kept.manifest), collect_fixed_conditions(msgspec.to_builtins(now))
    for what, was in before.items():
        if was != after[what]:
            raise ResultsError(
                f"{kept.path} cannot go on: its {what} is not what is here now, and both would be mixed; measure again",
                code="ground-changed",
            )
    once_more = {"at": _format_now(), "command": now["command"], "measured_again": kept.drop_unmeasured()}
    kept.update_manifest(resumed=[*kept.manifest.get("resumed", []), once_more], profile=now["profile"])
    kept.add_caveats(list_manifest_caveats(now))
    kept.update_latest_link()


def collect_fixed_conditions(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what must be the same for all trials of a run, by the words for it."""
    return {
        "commit": manifest["git"]["commit"],
        "machine": [manifest["machine"][key] for key in ("cpu_model", "cores", "kernel")],
        "build of Python": _without_speed(manifest.get("python", {})),
        "set of interpreters": {name: _without_speed(one) for name, one in manifest.get("interpreters", {}).items()},
        "set of library versions": manifest["versions"],
        "set of broker versions": {name: broker["version"] for name, broker in manifest["brokers"].items()},
        "list of cells": manifest["cells"],
    }


def _without_speed(python: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in python.items() if key != "object_code_ns"}


def _format_now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def describe_traits(cell: CellSettings) -> dict[str, Any]:
    """Returns the cell's traits as the manifest stores them."""
    traits = cell.kind.traits
    survives = traits.survives[cell.profile.durability]
    if traits.accepted is Acceptance.ON_OUTCOME:
        survives = SURVIVES_IN_STORE.get((cell.profile.store, cell.profile.durability), survives)
    return {
        "style": traits.style.value,
        "accepted": traits.accepted.value,
        "survives": survives,
        "redelivers": traits.redelivers,
        "ordered": traits.ordered,
        "concurrency": traits.concurrency,
        "acknowledges": traits.acknowledges,
        "replays": traits.replays,
        "browsers": traits.browsers,
        "needs": sorted(traits.needs),
    }


def list_manifest_caveats(manifest: Mapping[str, Any]) -> tuple[Caveat, ...]:
    """Returns the caveats that the manifest itself gives rise to: one core, its interpreter, uncommitted changes, old
    brokers.
    """
    found = []
    python = manifest.get("python", {})
    if manifest.get("machine", {}).get("cores") == 1:
        found.append(caveats.one_core())
    if not python.get("pgo", True):
        found.append(caveats.python_not_optimised(str(python["version"])))
    if manifest["git"].get("dirty"):
        found.append(caveats.dirty_tree(str(manifest["git"].get("commit"))))
    for name, broker in manifest["brokers"].items():
        if (broker.get("how_old_days") or 0) > OLD_DAYS:
            found.append(caveats.old_broker(name, broker["version"], broker["newest_known"], broker["how_old_days"]))
    return tuple(found)

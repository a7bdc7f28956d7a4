"""Builds a run's manifest, and checks that a resumed run still stands on the same ground."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from bench.errors import ResultsError
from bench.profile.schema import Cell, Profile
from bench.provision import Broker, Unavailable
from bench.results import caveats
from bench.results.caveats import Caveat
from bench.results.environment import git, machine, versions
from bench.results.store import Run
from bench.runner.environment import House


def build_manifest(
    profile: Profile,
    house: House,
    shared: Mapping[str, Broker | Unavailable],
    wanted: list[Cell],
    skipped: Mapping[str, str],
    command: str,
) -> dict[str, Any]:
    """What manifest.json holds when a run begins."""
    return {
        "command": command,
        "git": git(house.checkout),
        "machine": machine(house.home),
        "versions": versions(),
        "brokers": {
            name: {"version": broker.version, "provided_by": broker.provided_by}
            for name, broker in shared.items()
            if isinstance(broker, Broker)
        },
        "profile": msgspec.to_builtins(profile),
        "seed": profile.seed,
        "cells": [msgspec.to_builtins(cell) for cell in wanted],
        "traits": {cell.pairing: describe_traits(cell, profile) for cell in wanted},
        "skipped": dict(skipped),
        "facts": {},
        "idle_cpu_ms_per_s": {},
        "tls": {},
        "caveats": [],
    }


def resume_into(kept: Run, now: Mapping[str, Any]) -> None:
    """Note that a run goes on. Raises ResultsError when what is here now is not what it was measured with."""
    before, after = must_match(kept.manifest), must_match(msgspec.to_builtins(now))
    for what, was in before.items():
        if was != after[what]:
            raise ResultsError(
                f"{kept.path} cannot go on: its {what} is not what is here now, and both would be mixed; measure again",
                code="ground-changed",
            )
    once_more = {"at": _now(), "command": now["command"], "measured_again": kept.forget_unmeasured()}
    kept.update_manifest(resumed=[*kept.manifest.get("resumed", []), once_more], profile=now["profile"])
    kept.add_caveats(list_doubts(now))
    kept.point_latest()


def must_match(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """What all trials of a run have to share, by what it is called."""
    return {
        "commit": manifest["git"]["commit"],
        "machine": [manifest["machine"][key] for key in ("cpu_model", "cores", "kernel")],
        "set of library versions": manifest["versions"],
        "set of broker versions": {name: broker["version"] for name, broker in manifest["brokers"].items()},
        "list of cells": manifest["cells"],
    }


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def describe_traits(cell: Cell, profile: Profile) -> dict[str, Any]:
    traits = cell.kind.traits
    return {
        "style": traits.style.value,
        "accepted": traits.accepted.value,
        "survives": traits.survives[profile.durability],
        "redelivers": traits.redelivers,
        "ordered": traits.ordered,
        "concurrency": traits.concurrency,
        "replays": traits.replays,
        "browsers": traits.browsers,
        "needs": sorted(traits.needs),
    }


def list_doubts(manifest: Mapping[str, Any]) -> tuple[Caveat, ...]:
    found = []
    if manifest["git"].get("dirty"):
        found.append(caveats.dirty_tree(str(manifest["git"].get("commit"))))
    return tuple(found)

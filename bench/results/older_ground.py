"""Doubts a run that was measured on an older ground than runs of today are, by what its manifest records."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from bench.results import caveats

PRESENT_GROUND_SCHEMA = 6
"""Schema 6 is younger than RabbitMQ 4, the choice of Python by its build, SQLite as the default store, and Kafka's
commits by time. A later schema changes nothing here, unless the ground changes again."""
_OLD_RABBITMQ_SERIES = ("2", "3")


def add_ground_doubt(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the manifest with the doubt ``older-ground`` where its run has it; what is on the disk stays."""
    known = list(manifest.get("caveats") or ())
    differences = tuple(_find_differences(manifest))
    if not differences or any(entry["name"] == caveats.OLDER_GROUND for entry in known):
        return dict(manifest)
    return {**manifest, "caveats": [*known, {**asdict(caveats.older_ground(differences)), "trial": None}]}


def _find_differences(manifest: Mapping[str, Any]) -> Iterator[str]:
    """Yields what the run was measured with and runs of today are not; a run of today may have chosen some of it."""
    if int(manifest["schema_version"]) >= PRESENT_GROUND_SCHEMA:
        return
    brokers = manifest.get("brokers") or {}
    rabbitmq = str((brokers.get("rabbitmq") or {}).get("version") or "")
    if rabbitmq.partition(".")[0] in _OLD_RABBITMQ_SERIES:
        yield f"RabbitMQ {rabbitmq}"
    if "python" not in manifest:
        yield "a Python whose build is not recorded"
    if (manifest.get("profile") or {}).get("store") == "memory":
        yield "the services' state in memory by default"
    # The setting is as old as the words for it, and before it each batch was committed.
    if "kafka" in brokers and "offsets committed" not in str(manifest.get("facts") or ""):
        yield "Kafka's offsets committed with each batch"

"""Describes what a run was measured on: servers and their age, the build of Python, the services' stores.

The page, its Markdown and the terminal show the same lines. What a run did not record is said to be so.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd

from bench.provision.versions import AS_OF, find_age

NOT_RECORDED = "not recorded"
MAX_LEFT_OUT = 3
"""The most runs that are named as exceptions, where the others are more."""
_SERVERS = {"rabbitmq": "RabbitMQ", "kafka": "Kafka", "postgres": "PostgreSQL"}
_STORES = {"memory": "in memory", "sqlite": "in SQLite", "postgres": "in PostgreSQL"}


class RunFacts(NamedTuple):
    """What ``describe_ground`` reads of a run."""

    name: str
    manifest: Mapping[str, Any]
    trials: pd.DataFrame


def describe_ground(runs: Sequence[RunFacts]) -> tuple[str, ...]:
    """Returns a line on servers and Python and a line on the services' stores; where runs differ, with their names."""
    servers = list(_describe_servers(runs))
    ages = f" Newest versions as known on {AS_OF:%Y-%m-%d}." if any(map(_is_dated, runs)) else ""
    pythons = "; ".join(_say_each({run.name: [describe_python(run.manifest)] for run in runs}))
    return (
        f"{'; '.join(servers) or 'No broker'}. {pythons}.{ages}",
        f"Services kept their state {'; '.join(_describe_states(runs))}.",
    )


def describe_python(manifest: Mapping[str, Any]) -> str:
    """Returns the version of Python and whether its build is optimised, for a person to read."""
    build = manifest.get("python") or {}
    version = build.get("version") or (manifest.get("versions") or {}).get("python") or f"version {NOT_RECORDED}"
    if build.get("pgo") is None:
        return f"Python {version}, build {NOT_RECORDED}"
    if not build["pgo"]:
        return f"Python {version}, build not optimised"
    return f"Python {version}, optimised build (PGO{' and LTO' if build.get('lto') else ''})"


def describe_server(product: str, version: str | None) -> str:
    """Returns a server's name and version, when that came out, and how far it is behind the newest known one."""
    name = _SERVERS.get(product, product)
    if not version:
        return f"{name}, version {NOT_RECORDED}"
    age = find_age(product, version)
    if age is None or age.how_old_days is None:
        return f"{name} {version} (age not known)"
    released = f"{age.released:%Y-%m-%d}, " if age.released else ""
    behind = f"{age.how_old_days:,} days behind {age.newest_known}" if age.how_old_days else "newest known"
    return f"{name} {version} ({released}{behind})"


def _is_dated(run: RunFacts) -> bool:
    """Returns whether the dated table tells the age of a server of the run."""
    brokers = (run.manifest.get("brokers") or {}).items()
    ages = [find_age(product, broker.get("version") or "") for product, broker in brokers]
    return any(age is not None and age.how_old_days is not None for age in ages)


def _describe_servers(runs: Sequence[RunFacts]) -> Iterator[str]:
    """Yields every server in every version; that a run has no such server is no difference."""
    by_product: dict[str, dict[str, list[str]]] = {name: {} for name in _SERVERS}
    for run in runs:
        brokers = run.manifest.get("brokers") or {}
        used = [str(product) for product in run.trials.get("product", ()) if product not in ("", "none")]
        for product in dict.fromkeys([*brokers, *used]):
            said = describe_server(product, (brokers.get(product) or {}).get("version"))
            by_product.setdefault(product, {})[run.name] = [said]
    for said_of_runs in by_product.values():
        yield from _say_each(said_of_runs)


def _describe_states(runs: Sequence[RunFacts]) -> Iterator[str]:
    """Yields every store with its durabilities, as far as the same runs have them."""
    runs_of: dict[tuple[str, str], list[str]] = {}
    for run in runs:
        columns = [list(run.trials.get(name, ())) or [""] * len(run.trials) for name in ("store", "durability")]
        for pair in sorted(set(zip(*columns, strict=True))) or [("", "")]:
            runs_of.setdefault(pair, []).append(run.name)
    durabilities: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for (store, durability), names in runs_of.items():
        durabilities.setdefault((store, tuple(names)), []).append(durability or NOT_RECORDED)
    for (store, found), classes in durabilities.items():
        where = _STORES.get(store) or (f"in {store}" if store else f"in a store {NOT_RECORDED}")
        yield f"{where}, durability {' and '.join(classes)}{_name_runs(found, [run.name for run in runs])}"


def _say_each(said: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Yields what is said of the runs, each once: with the names of its runs, unless they are all of them."""
    runs_of: dict[str, list[str]] = {}
    for run, texts in said.items():
        for text in texts:
            runs_of.setdefault(text, []).append(run)
    for text, names in runs_of.items():
        yield f"{text}{_name_runs(names, list(said))}"


def _name_runs(names: Sequence[str], all_names: Sequence[str]) -> str:
    others = [name for name in all_names if name not in names]
    if not others:
        return ""
    if len(others) <= MAX_LEFT_OUT and len(others) < len(names):
        return f" (all runs but {', '.join(others)})"
    return f" ({'run' if len(names) == 1 else 'runs'} {', '.join(names)})"

"""Runs the conformance checks over every transport, backend and Kafka client."""

import itertools
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from bench.provision.certificates import make_keys
from bench.provision.ports import find_free_ports
from shop.store import SqliteStore, Store
from shop.workflow import SERVICES
from transports.base import Setting, Transport
from transports.conformance import CHECKS, ConformanceCheck, use_store
from transports.conformance_faults import FAULT_CHECKS
from transports.registry import list_backends, list_transports, load_transport

pytestmark = pytest.mark.slow

AT_LEVELS = (
    *(("auth", check) for check in CHECKS),
    *((level, check) for level in ("tls", "mtls") for check in CHECKS[:2]),
)
"""Of chains, whose security is their own; tests/system/test_refused.py has the brokered methods."""

_trials = (f"check-{os.getpid()}-{number}" for number in itertools.count())

Pairing = tuple[str, str, Mapping[str, Any]]
"""A method, the product that carries it, and its options."""

PAIRINGS: list[Pairing] = [
    *((name, product, {}) for name in list_transports() for product in list_backends(name) or ("",)),
    ("events", "kafka", {"client": "confluent"}),
]


def called(pairing: Pairing) -> str:
    name, product, options = pairing
    return "-".join(filter(None, (name, product, *options.values())))


_USUAL = (("broker", "rabbitmq", {}), ("events", "kafka", {}))
STORE_PAIRINGS = [
    pytest.param(pairing, marks=pytest.mark.nightly if pairing[1] and pairing not in _USUAL else (), id=called(pairing))
    for pairing in PAIRINGS
]
"""The four methods as they come; `make nightly` has the others."""
STORE_CHECKS = tuple(
    check
    for check in CHECKS
    if any(word in check.__name__ for word in ("shipped", "twice", "content", "declined", "many_orders", "records"))
)
"""What depends on the store: the others are of the wire alone."""


@pytest.mark.broker
@pytest.mark.parametrize("check", (*CHECKS, *FAULT_CHECKS), ids=lambda check: check.__name__.removeprefix("check_"))
@pytest.mark.parametrize("pairing", PAIRINGS, ids=called)
async def test_transport_conforms(pairing: Pairing, check: ConformanceCheck, servers: Mapping[str, str]) -> None:
    missing = load_transport(*pairing[:2]).traits.needs - servers.keys()
    if missing:
        pytest.skip(f"needs {', '.join(missing)}")
    await check(lambda **changes: made(pairing, servers=servers, **changes))


@pytest.mark.broker
@pytest.mark.parametrize("check", STORE_CHECKS, ids=lambda check: check.__name__.removeprefix("check_"))
@pytest.mark.parametrize("pairing", STORE_PAIRINGS)
async def test_transport_conforms_over_sqlite(
    pairing: Pairing, check: ConformanceCheck, servers: Mapping[str, str], tmp_path: Path
) -> None:
    folders = itertools.count()
    await conform_over(
        lambda service: SqliteStore(tmp_path / f"{service}-{next(folders)}.sqlite"), pairing, check, servers
    )


@pytest.mark.broker
@pytest.mark.postgres
@pytest.mark.parametrize("check", STORE_CHECKS, ids=lambda check: check.__name__.removeprefix("check_"))
@pytest.mark.parametrize("pairing", STORE_PAIRINGS)
async def test_transport_conforms_over_postgres(
    pairing: Pairing,
    check: ConformanceCheck,
    servers: Mapping[str, str],
    open_postgres: Callable[[str], Store],
) -> None:
    await conform_over(open_postgres, pairing, check, servers)


async def conform_over(
    open_store: Callable[[str], Store], pairing: Pairing, check: ConformanceCheck, servers: Mapping[str, str]
) -> None:
    missing = load_transport(*pairing[:2]).traits.needs - servers.keys()
    if missing:
        pytest.skip(f"needs {', '.join(missing)}")
    with use_store(open_store):
        await check(lambda **changes: made(pairing, servers=servers, **changes))


def made(pairing: Pairing, **changes: Any) -> Transport:
    """A new one, with addresses of its own."""
    name, product, options = pairing
    kind = load_transport(name, product)
    addresses = {s: f"127.0.0.1:{p}" for s, p in zip(SERVICES, find_free_ports(len(SERVICES)), strict=True)}
    settings: dict[str, Any] = {"codec": kind.traits.codec, "product": product, "options": options} | changes
    return kind(Setting(trial=next(_trials), addresses=addresses, **settings))


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_keys(tmp_path_factory.mktemp("made") / "keys")


@pytest.mark.parametrize(("level", "check"), AT_LEVELS, ids=lambda part: getattr(part, "__name__", part))
@pytest.mark.parametrize(
    "name", [n for n in list_transports() if load_transport(n).traits.securities and not load_transport(n).traits.needs]
)
async def test_a_chain_conforms_at_every_level(name: str, level: str, check: ConformanceCheck, keys: Path) -> None:
    await check(lambda **changes: made((name, "", {}), security=level, keys=str(keys), **changes))

"""The same checks over every transport, over each product that it may run on, and with each client of Kafka."""

import itertools
import os
from collections.abc import Mapping
from typing import Any

import pytest

from bench.provision import free_ports
from shop.workflow import SERVICES
from transports.base import Setting, Transport
from transports.conformance import CHECKS, Check
from transports.registry import installed, named, products

_trials = (f"check-{os.getpid()}-{number}" for number in itertools.count())

PAIRINGS = [
    *((name, product, {}) for name in installed() for product in products(name) or ("",)),
    ("events", "kafka", {"client": "confluent"}),
]


def called(pairing: tuple[str, str, Mapping[str, Any]]) -> str:
    name, product, options = pairing
    return "-".join(filter(None, (name, product, *options.values())))


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__.removeprefix("check_"))
@pytest.mark.parametrize("pairing", PAIRINGS, ids=called)
async def test_transport_conforms(
    pairing: tuple[str, str, Mapping[str, Any]], check: Check, servers: Mapping[str, str]
) -> None:
    name, product, options = pairing
    kind = named(name, product)
    missing = kind.traits.needs - servers.keys()
    if missing:
        pytest.skip(f"needs {', '.join(missing)}")

    def make(**changes: Any) -> Transport:
        addresses = {s: f"127.0.0.1:{p}" for s, p in zip(SERVICES, free_ports(len(SERVICES)), strict=True)}
        settings: dict[str, Any] = {"codec": kind.traits.codec, "product": product, "options": options} | changes
        return kind(Setting(trial=next(_trials), addresses=addresses, servers=servers, **settings))

    await check(make)

"""The same checks over every transport."""

import itertools
import os
from collections.abc import Mapping
from typing import Any

import pytest

from bench.provision import free_ports
from shop.workflow import SERVICES
from transports.base import Setting, Transport
from transports.conformance import CHECKS, Check
from transports.registry import installed, named

_trials = (f"check-{os.getpid()}-{number}" for number in itertools.count())


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__.removeprefix("check_"))
@pytest.mark.parametrize("name", installed())
async def test_transport_conforms(name: str, check: Check, servers: Mapping[str, str]) -> None:
    kind = named(name)
    missing = kind.traits.needs - servers.keys()
    if missing:
        pytest.skip(f"needs {', '.join(missing)}")

    def make(**changes: Any) -> Transport:
        addresses = {s: f"127.0.0.1:{p}" for s, p in zip(SERVICES, free_ports(len(SERVICES)), strict=True)}
        settings: dict[str, Any] = {"codec": kind.traits.codec} | changes
        return kind(Setting(trial=next(_trials), addresses=addresses, servers=servers, **settings))

    await check(make)

"""Rounds in which every method at every level, and the bare echo, are measured once."""

import random
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import replace
from statistics import median
from time import monotonic_ns

import msgspec

from bench.cells import Cell, at, cells
from bench.cold import echo
from bench.probing import met
from bench.profile import Profile
from bench.provision.base import Say
from bench.provision.services import services
from bench.stats.intervals import Estimate, median_of
from bench.stats.paired import paired_ratio
from bench.trial import Stage, remove_quietly, serving, setting_of
from bench.workload import probe
from transports.base import Transport
from transports.registry import named
from transports.security import LEVELS, MTLS, NONE, TLS

ECHO = "echo"
ECHO_LEVELS = (NONE, TLS, MTLS)
REPEATS = 15
"""New connections in each slot; a slot is their median."""
WARM_UP = 10
"""Before them, which are not counted."""


class Slot(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the CSV: one method at one level, in one round."""

    round: int
    method: str
    """``echo`` for the bare one."""
    codec: str
    security: str
    negotiated_cipher: str
    connections: int
    cold_us: float
    """From before the client connects to the outcome of its first order; the median over connections."""
    warm_us: float
    """Of the next order on the same connection."""


async def rounds(stage: Stage, count: int, say: Say) -> AsyncIterator[Slot]:
    """Slot by slot, each round in an order of its own. The round before the first warms the brokers and is left out.

    Raises StartFailed, and TransportError when an order fails.
    """
    found = cells(stage.profile)
    for number in range(count + 1):
        todo: list[Cell | str] = [*found, *ECHO_LEVELS]
        random.Random(f"{stage.profile.seed}:{number}").shuffle(todo)
        for slot, what in enumerate(todo):
            name = what.name if isinstance(what, Cell) else f"{ECHO}@{what}"
            say(f"{f'round {number} of {count}' if number else 'warming up'}: {name}")
            trial = f"{stage.run_id}-{number}-{slot}"
            done = await (
                _of_cell(stage, what, trial) if isinstance(what, Cell) else _of_echo(stage, found[0], what, trial)
            )
            if number:
                yield msgspec.structs.replace(done, round=number)


async def _of_cell(stage: Stage, cell: Cell, trial: str) -> Slot:
    here = replace(stage, profile=at(stage.profile, cell))
    setting = setting_of(here, cell, trial)
    transport = named(cell.transport)(setting)
    try:
        await transport.prepare()
        async with serving(here, cell, setting, transport):
            agreed = await met(setting, transport)
            times = [await _pair(transport) for _ in range(WARM_UP + REPEATS)][WARM_UP:]
    finally:
        await remove_quietly(transport)
    return _slot(cell.transport, cell.codec, here.profile, "" if agreed is None else agreed.cipher, times)


async def _pair(transport: Transport) -> tuple[int, int]:
    began_ns = monotonic_ns()
    async with transport.connect() as client:
        await (await client.submit(probe("cold"))).finished
        first_ns = monotonic_ns()
        await (await client.submit(probe("warm"))).finished
        return first_ns - began_ns, monotonic_ns() - first_ns


async def _of_echo(stage: Stage, cell: Cell, level: str, trial: str) -> Slot:
    here = replace(stage, profile=msgspec.structs.replace(stage.profile, security=level))
    setting = replace(setting_of(here, cell, trial), servers={})
    async with services(ECHO, setting, folder=stage.folder, logs=stage.logs, store_folder=None, program=echo.PROGRAM):
        cipher = await echo.agreed(setting)
        times = [await echo.pair(setting) for _ in range(WARM_UP + REPEATS)][WARM_UP:]
    return _slot(ECHO, "", here.profile, cipher, times)


def _slot(method: str, codec: str, profile: Profile, cipher: str, times: Sequence[tuple[int, int]]) -> Slot:
    return Slot(
        round=0,
        method=method,
        codec=codec,
        security=profile.security,
        negotiated_cipher=cipher,
        connections=len(times),
        cold_us=median(cold for cold, _ in times) / 1000,
        warm_us=median(warm for _, warm in times) / 1000,
    )


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the table."""

    method: str
    codec: str
    security: str
    cold_us: Estimate
    warm_us: Estimate
    cold_ratio: Estimate | None
    """To the level none, round by round; None for that level itself."""
    warm_ratio: Estimate | None


def lines(slots: Sequence[Slot]) -> Iterator[Line]:
    """A row per method, format and level, in the order in which they are first seen within a level's rank."""
    by: dict[tuple[str, str], dict[str, dict[int, Slot]]] = {}
    for slot in slots:
        by.setdefault((slot.method, slot.codec), {}).setdefault(slot.security, {})[slot.round] = slot
    for (method, codec), levels in sorted(by.items()):
        base = levels.get(NONE, {})
        for security in (level for level in LEVELS if level in levels):
            here = levels[security]
            yield Line(
                method=method,
                codec=codec,
                security=security,
                cold_us=median_of(slot.cold_us for slot in here.values()),
                warm_us=median_of(slot.warm_us for slot in here.values()),
                cold_ratio=None if security == NONE else _ratio(here, base, "cold_us"),
                warm_ratio=None if security == NONE else _ratio(here, base, "warm_us"),
            )


def _ratio(here: Mapping[int, Slot], base: Mapping[int, Slot], what: str) -> Estimate:
    both = sorted(here.keys() & base.keys())
    return paired_ratio([getattr(here[n], what) for n in both], [getattr(base[n], what) for n in both])

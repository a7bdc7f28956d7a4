"""Rounds in which every method at every level, and the bare echo, are measured once."""

import asyncio
import random
from collections.abc import AsyncIterator, Iterable
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
from bench.rows import ECHO, ColdStart
from bench.trial import Stage, remove_quietly, serving, setting_of
from bench.workload import probe
from transports.base import Transport
from transports.errors import NoOutcome
from transports.security import MTLS, NONE, TLS

ECHO_LEVELS = (NONE, TLS, MTLS)
REPEATS = 15
"""New connections in each slot; a slot is their median."""
WARM_UP = 10
"""Before them, which are not counted."""


def slots(profile: Profile, round_: int) -> list[Cell | str]:
    """What is measured in a round, in an order of its own: every cell, and as a level the bare echo."""
    found = cells(profile)
    used = {at(profile, cell).security for cell in found}
    todo: list[Cell | str] = [*found, *(level for level in ECHO_LEVELS if level in used)]
    random.Random(f"{profile.seed}:{round_}").shuffle(todo)
    return todo


def name_of(what: Cell | str) -> str:
    return what.name if isinstance(what, Cell) else f"{ECHO}@{what}"


async def rounds(stage: Stage, count: int, say: Say) -> AsyncIterator[ColdStart]:
    """Row by row. The round before the first warms the brokers and is left out.

    Raises StartFailed, and TransportError when an order fails.
    """
    for number in range(count + 1):
        for slot, what in enumerate(slots(stage.profile, number)):
            say(f"{f'round {number} of {count}' if number else 'warming up'}: {name_of(what)}")
            done = await cold_start(stage, what, number, slot)
            if number:
                yield done


async def cold_start(stage: Stage, what: Cell | str, round_: int, slot: int) -> ColdStart:
    """New connections to one cell, or to the bare echo at a level. Raises StartFailed and TransportError."""
    trial = f"{stage.run_id}-c{round_}-{slot}"
    if isinstance(what, Cell):
        return await _of_cell(stage, what, trial, round_)
    return await _of_echo(stage, cells(stage.profile)[0], what, trial, round_)


async def _of_cell(stage: Stage, cell: Cell, trial: str, round_: int) -> ColdStart:
    here = replace(stage, profile=at(stage.profile, cell))
    setting = setting_of(here, cell, trial)
    transport = cell.kind(setting)
    try:
        await transport.prepare()
        async with serving(here, cell, setting, transport):
            agreed = await met(setting, transport)
            times = [await _pair(transport, setting.deadline_s) for _ in range(WARM_UP + REPEATS)][WARM_UP:]
    finally:
        await remove_quietly(transport)
    return ColdStart(
        round=round_,
        cell=cell.name,
        transport=cell.transport,
        client=cell.client,
        product=cell.product or "none",
        codec=cell.codec,
        security=here.profile.security,
        negotiated_cipher="" if agreed is None else agreed.cipher,
        connections=len(times),
        cold_us=_median_us(cold for cold, _ in times),
        warm_us=_median_us(warm for _, warm in times),
    )


async def _pair(transport: Transport, deadline_s: float) -> tuple[int, int]:
    """Nanoseconds of the first order from before the connection, and of the next. Raises TransportError."""
    try:
        async with asyncio.timeout(deadline_s):
            return await _orders(transport)
    except TimeoutError as error:
        raise NoOutcome(f"two orders on a new connection took longer than {deadline_s:g} s") from error


async def _orders(transport: Transport) -> tuple[int, int]:
    began_ns = monotonic_ns()
    async with transport.connect() as client:
        await (await client.submit(probe("cold"))).finished
        first_ns = monotonic_ns()
        await (await client.submit(probe("warm"))).finished
        return first_ns - began_ns, monotonic_ns() - first_ns


async def _of_echo(stage: Stage, cell: Cell, level: str, trial: str, round_: int) -> ColdStart:
    here = replace(stage, profile=msgspec.structs.replace(stage.profile, security=level))
    setting = replace(setting_of(here, cell, trial), servers={})
    async with services(ECHO, setting, folder=stage.folder, logs=stage.logs, store_folder=None, program=echo.PROGRAM):
        cipher = await echo.agreed(setting)
        times = [await echo.pair(setting) for _ in range(WARM_UP + REPEATS)][WARM_UP:]
    return ColdStart(
        round=round_,
        cell=name_of(level),
        transport=ECHO,
        client="",
        product="none",
        codec="",
        security=level,
        negotiated_cipher=cipher,
        connections=len(times),
        cold_us=_median_us(cold for cold, _ in times),
        warm_us=_median_us(warm for _, warm in times),
    )


def _median_us(times_ns: Iterable[int]) -> float:
    return median(times_ns) / 1000

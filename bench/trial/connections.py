"""Rounds in which every method at every level, and the bare echo, are measured once."""

import asyncio
import random
from collections.abc import AsyncIterator, Container, Mapping, Sequence
from dataclasses import replace
from statistics import median
from time import monotonic_ns

import msgspec

from bench.load.workload.orders import probe
from bench.profile.matrix import at, cells
from bench.profile.schema import Cell, Profile
from bench.provision.base import Say
from bench.provision.services import services
from bench.results.rows import ECHO, ColdStart
from bench.trial import echo_server as echo
from bench.trial.readiness import met
from bench.trial.trial import Stage, remove_quietly, serving, setting_of
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


def to_do(
    profile: Profile, count: int, names: Container[str], measured: Container[tuple[int, str]] = frozenset()
) -> list[tuple[int, int, Cell | str]]:
    """Round, place and what of so many rounds, of the cells of these names and the bare echo, without what is measured.

    Behind a round 0, which warms the brokers and is not kept; nothing where nothing is left.
    """
    found = [
        (round_, slot, what)
        for round_ in range(count + 1)
        for slot, what in enumerate(slots(profile, round_))
        if (isinstance(what, str) or what.name in names) and (round_, name_of(what)) not in measured
    ]
    return found if any(round_ for round_, _, _ in found) else []


async def rounds(stage: Stage, count: int, say: Say) -> AsyncIterator[ColdStart]:
    """Row by row, of every cell and the bare echo. Raises StartFailed, and TransportError when an order fails."""
    for round_, slot, what in to_do(stage.profile, count, [cell.name for cell in cells(stage.profile)]):
        say(f"{f'round {round_} of {count}' if round_ else 'warming up'}: {name_of(what)}")
        row = await cold_start(stage, what, round_, slot)
        if round_:
            yield row


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
    made_of = {
        "transport": cell.transport,
        "client": cell.client,
        "product": cell.product or "none",
        "codec": cell.codec,
    }
    cipher = "" if agreed is None else agreed.cipher
    return _row(round_, cell.name, made_of, here.profile.security, cipher, times)


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
    made_of = {"transport": ECHO, "client": "", "product": "none", "codec": ""}
    return _row(round_, name_of(level), made_of, level, cipher, times)


def _row(
    round_: int,
    cell: str,
    made_of: Mapping[str, str],
    security: str,
    cipher: str,
    times_ns: Sequence[tuple[int, int]],
) -> ColdStart:
    cold_us, warm_us = (median(of) / 1000 for of in zip(*times_ns, strict=True))
    return ColdStart(
        round=round_,
        cell=cell,
        **made_of,
        security=security,
        negotiated_cipher=cipher,
        connections=len(times_ns),
        cold_us=cold_us,
        warm_us=warm_us,
    )

"""Measures new connections of each method at each security level, and of a bare echo."""

import asyncio
import random
from collections.abc import AsyncIterator, Container, Mapping, Sequence
from dataclasses import replace
from statistics import median
from time import monotonic_ns

import msgspec

from bench.load.workload.orders import build_probe_order
from bench.profile.matrix import expand_cells
from bench.profile.schema import CellSettings, Profile
from bench.provision.base import Say
from bench.provision.services import run_services
from bench.results.rows import ECHO, ColdStartRow
from bench.trial import echo_server as echo
from bench.trial.context import TrialContext
from bench.trial.readiness import read_negotiated_tls
from bench.trial.trial import build_setting, remove_quietly, run_ready_services
from transports.base import Transport
from transports.errors import NoOutcome
from transports.security import MTLS, NONE, TLS

ECHO_LEVELS = (NONE, TLS, MTLS)
CONNECTIONS_PER_SLOT = 15
"""New connections in each slot; a slot is their median."""
WARM_UP_CONNECTIONS = 10
"""Connections before these, which do not count."""


def build_round_order(profile: Profile, round_: int) -> list[CellSettings | str]:
    """Returns what a round measures, shuffled by the seed: every cell, and a security level for each bare echo."""
    found = expand_cells(profile)
    used = {cell.profile.security for cell in found}
    todo: list[CellSettings | str] = [*found, *(level for level in ECHO_LEVELS if level in used)]
    random.Random(f"{profile.seed}:{round_}").shuffle(todo)
    return todo


def format_measured_name(what: CellSettings | str) -> str:
    """Formats the name of a cell, or of the bare echo at a level."""
    return what.name if isinstance(what, CellSettings) else f"{ECHO}@{what}"


def list_pending(
    profile: Profile, count: int, names: Container[str], measured: Container[tuple[int, str]] = frozenset()
) -> list[tuple[int, int, CellSettings | str]]:
    """Lists round, place and cell (or echo level) of all that is not measured yet, over ``count`` rounds.

    Only cells in ``names`` and the bare echo. A round 0 comes first, which warms the brokers and is not kept; the list
    is empty when nothing is left.
    """
    found = [
        (round_, slot, what)
        for round_ in range(count + 1)
        for slot, what in enumerate(build_round_order(profile, round_))
        if (isinstance(what, str) or what.name in names) and (round_, format_measured_name(what)) not in measured
    ]
    return found if any(round_ for round_, _, _ in found) else []


async def measure_connection_rounds(
    stage: TrialContext, profile: Profile, count: int, say: Say
) -> AsyncIterator[ColdStartRow]:
    """Measures every cell and the bare echo, round by round, and yields a row each.

    Raises StartFailed, and TransportError when an order fails.
    """
    for round_, slot, what in list_pending(profile, count, [cell.name for cell in expand_cells(profile)]):
        say(f"{f'round {round_} of {count}' if round_ else 'warming up'}: {format_measured_name(what)}")
        row = await measure_cold_start(stage, profile, what, round_, slot)
        if round_:
            yield row


async def measure_cold_start(
    stage: TrialContext, profile: Profile, what: CellSettings | str, round_: int, slot: int
) -> ColdStartRow:
    """Measures new connections to one cell, or to the bare echo at a level, and returns the row.

    Raises StartFailed and TransportError.
    """
    trial = f"{stage.run_id}-c{round_}-{slot}"
    if isinstance(what, CellSettings):
        return await _measure_cell(stage, what, trial, round_)
    return await _measure_echo(stage, expand_cells(profile)[0], what, trial, round_)


async def _measure_cell(stage: TrialContext, cell: CellSettings, trial: str, round_: int) -> ColdStartRow:
    setting = build_setting(stage, cell, trial)
    transport = cell.kind(setting)
    try:
        await transport.prepare()
        async with run_ready_services(stage, cell, setting, transport):
            agreed = await read_negotiated_tls(setting, transport)
            times = [
                await _time_order_pair(transport, setting.deadline_s)
                for _ in range(WARM_UP_CONNECTIONS + CONNECTIONS_PER_SLOT)
            ][WARM_UP_CONNECTIONS:]
    finally:
        await remove_quietly(transport)
    made_of = {
        "transport": cell.transport,
        "client": cell.cell.client,
        "product": cell.cell.product or "none",
        "codec": cell.cell.codec,
    }
    cipher = "" if agreed is None else agreed.cipher
    return _build_row(round_, cell.name, made_of, cell.profile.security, cipher, times)


async def _time_order_pair(transport: Transport, deadline_s: float) -> tuple[int, int]:
    """Nanoseconds of the first order from before the connection, and of the next. Raises TransportError."""
    try:
        async with asyncio.timeout(deadline_s):
            return await _send_two_orders(transport)
    except TimeoutError as error:
        raise NoOutcome(f"two orders on a new connection took longer than {deadline_s:g} s") from error


async def _send_two_orders(transport: Transport) -> tuple[int, int]:
    began_ns = monotonic_ns()
    async with transport.connect() as client:
        await (await client.submit(build_probe_order("cold"))).finished
        first_ns = monotonic_ns()
        await (await client.submit(build_probe_order("warm"))).finished
        return first_ns - began_ns, monotonic_ns() - first_ns


async def _measure_echo(stage: TrialContext, cell: CellSettings, level: str, trial: str, round_: int) -> ColdStartRow:
    at_level = replace(cell, profile=msgspec.structs.replace(cell.profile, security=level))
    setting = replace(build_setting(stage, at_level, trial), servers={})
    async with run_services(
        ECHO,
        setting,
        folder=stage.folder,
        logs=stage.logs,
        store_folder=None,
        program=echo.PROGRAM,
        python=stage.pythons[cell.profile.interpreter],
    ):
        cipher = await echo.find_cipher_suite(setting)
        times = [await echo.measure_echo(setting) for _ in range(WARM_UP_CONNECTIONS + CONNECTIONS_PER_SLOT)][
            WARM_UP_CONNECTIONS:
        ]
    made_of = {"transport": ECHO, "client": "", "product": "none", "codec": ""}
    return _build_row(round_, format_measured_name(level), made_of, level, cipher, times)


def _build_row(
    round_: int,
    cell: str,
    made_of: Mapping[str, str],
    security: str,
    cipher: str,
    times_ns: Sequence[tuple[int, int]],
) -> ColdStartRow:
    cold_us, warm_us = (median(of) / 1000 for of in zip(*times_ns, strict=True))
    return ColdStartRow(
        round=round_,
        cell=cell,
        **made_of,
        security=security,
        negotiated_cipher=cipher,
        connections=len(times_ns),
        cold_us=cold_us,
        warm_us=warm_us,
    )

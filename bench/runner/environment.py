"""Starts a run's servers: brokers at their security levels, and checks the fault proxy."""

from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from bench.profile.matrix import expand_cells
from bench.profile.schema import Profile
from bench.provision import postgres, toxiproxy
from bench.provision.base import Broker, Say, Security, Unavailable
from bench.provision.brokers import provide_brokers
from bench.runner.availability import NETWORK


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Callbacks by which the runner reports what it does: a sentence, or what is measured next."""

    say: Say
    begins: Callable[[int, int, str, float], None] = lambda done, total, what, left_s: None
    """Trials done, trials in all, the cell that comes, and how long the rest will take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPaths:
    """The folders and the given servers of a run."""

    checkout: Path
    home: Path
    """What a run needs while it lasts, and what set-up keeps: brokers' data, databases, jars."""
    results: Path
    given: Mapping[str, str]
    """Servers given by URL, by name."""
    keys: Path | None = None
    """The folder of keys that goes with them; None: each run makes one."""


async def provide_servers(
    stack: AsyncExitStack, profile: Profile, paths: RunPaths, progress: Progress, security: Security
) -> dict[str, Broker | Unavailable]:
    """Starts every server that the profile's transports need; returns each by name, or why it is unavailable."""
    wanted = expand_cells(profile)
    needs = {need for cell in wanted for need in cell.kind.traits.needs}
    ours = sorted(needs & {"rabbitmq", "kafka"})
    there = provide_brokers(ours, given=paths.given, home=paths.home, say=progress.say, security=security)
    found = dict(await stack.enter_async_context(there))
    for name in needs - set(ours):
        url = paths.given.get(name)
        if url is None:
            found[name] = Unavailable(name, f"{name} is needed and not given: type {name.upper()}_URL=… before make")
        else:
            found[name] = Broker(name, url, "given", "")
    if any(cell.needs_database for cell in wanted):
        database = provide_brokers([postgres.NAME], given=paths.given, home=paths.home, say=progress.say)
        found |= await stack.enter_async_context(database)
    faults = [fault for cell in wanted if (fault := cell.profile.fault) is not None]
    if any(fault.of_network for fault in faults) and (
        why := await toxiproxy.ensure_installed(paths.home, progress.say)
    ):
        found[NETWORK] = Unavailable(NETWORK, why)
    return found

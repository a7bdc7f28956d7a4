"""At which levels of security a run's brokers have to be reached, and the keys for it."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

from bench.profile.matrix import at, cells
from bench.profile.schema import Profile
from bench.provision import certificates as authority
from bench.provision.base import PLAIN, Security
from bench.provision.cleanup import open_run
from bench.provision.process import finish
from transports.security import LEVELS, NONE


async def secured(stack: AsyncExitStack, profile: Profile, home: Path, given: Path | None) -> Security:
    """What the cells of a profile ask for, with keys that were ``given``, or else an authority's of the run's own,
    below ``home`` until the stack unwinds.

    Raises UsageError or SettingError for keys that cannot be used.
    """
    asked = {at(profile, cell).security for cell in cells(profile)}
    levels = tuple(level for level in LEVELS if level in asked)
    if levels == (NONE,):
        return PLAIN
    if given is not None:
        authority.check(given)
        return Security(levels, str(given.resolve()))
    ledger = open_run(home)
    stack.push_async_callback(lambda: finish(asyncio.to_thread(ledger.close)))
    return Security(levels, str(authority.make(ledger.folder / "keys")))

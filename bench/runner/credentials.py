"""Finds the security levels that a run needs, and makes or checks its certificates."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

from bench.profile.matrix import expand_cells
from bench.profile.schema import Profile
from bench.provision import certificates
from bench.provision.base import PLAIN, Security
from bench.provision.cleanup import open_ledger
from bench.provision.process import finish_despite_cancellation
from transports.security import LEVELS, NONE


async def prepare_credentials(stack: AsyncExitStack, profile: Profile, home: Path, given: Path | None) -> Security:
    """Returns the security levels that the profile's cells ask for, with their keys.

    Keys are those ``given``, or else new ones of the run's own authority, below ``home`` until the stack unwinds.

    Raises UsageError or SettingError for keys that cannot be used.
    """
    asked = {cell.profile.security for cell in expand_cells(profile)}
    levels = tuple(level for level in LEVELS if level in asked)
    if levels == (NONE,):
        return PLAIN
    if given is not None:
        certificates.validate_keys(given)
        return Security(levels, str(given.resolve()))
    ledger = open_ledger(home)
    stack.push_async_callback(lambda: finish_despite_cancellation(asyncio.to_thread(ledger.close)))
    return Security(levels, str(certificates.make_keys(ledger.folder / "keys")))

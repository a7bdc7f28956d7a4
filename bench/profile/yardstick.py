"""Adds the yardstick to a run in sets: bare chains whose settings never change, as cells beside the methods."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from bench.errors import UsageError
from bench.profile.schema import Cell, Profile
from bench.stats.summary import YARDSTICK, YARDSTICK_PREFIX
from transports.registry import load_transport
from transports.security import NONE

RATE_PER_S = 150.0
FROZEN: Mapping[str, Any] = {
    "payload_bytes": 1024,
    "shape": "document",
    "compressible": 1.0,
    "arrivals": "poisson",
    "compression": "none",
    "codec": None,
    "security": NONE,
    "durability": "fast",
    "store": "memory",
    "processes": 1,
    "max_message_bytes": 4 * 2**20,
    "deadline_s": 30.0,
    "trace_every": 0,
    "retries": 0,
    "keep_alive_s": 0.0,
    "backend": "",
    "clients": {},
    "options": {},
}
"""Fields of Profile that are the same in every run: two runs share the yardstick whatever else differs in them.

Seed, slices and the interpreter are the run's.
"""


def list_yardsticks(profile: Profile, methods: Sequence[Cell]) -> list[Cell]:
    """Returns the yardstick's cells; none for whole trials, for A/A runs, and beside methods without services.

    Raises UsageError for each method's bare chain at a level of security, which bare chains do not have.
    """
    networked = [cell for cell in methods if not cell.kind.traits.in_process]
    if profile.yardstick == "none" or not profile.slice_s or profile.arms > 1 or not networked:
        return []
    if profile.yardstick == "rest":
        return [_build_cell(profile, YARDSTICK)]
    if profile.security != NONE:
        raise UsageError(
            f"YARDSTICK=each is for SECURITY=none, since bare chains have none; leave it out at {profile.security}",
            code="yardstick-with-security",
        )
    own = [f"{YARDSTICK_PREFIX}{cell.transport}" for cell in networked if cell.transport in _WITH_CHAIN]
    return [_build_cell(profile, name) for name in dict.fromkeys((YARDSTICK, *own))]


_WITH_CHAIN = frozenset({"rest", "grpc", "broker", "events"})


def _build_cell(profile: Profile, name: str) -> Cell:
    now = msgspec.to_builtins(profile)
    traits = load_transport(name).traits
    return Cell(
        name=name,
        transport=name,
        product="",
        client=name,
        codec=traits.codec,
        compression="none",
        rate_per_s=RATE_PER_S,
        levels={key: value for key, value in FROZEN.items() if now[key] != value},
    )

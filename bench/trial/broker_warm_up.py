"""Lets brokers carry orders before the first trial, all at once, and measures what an order costs each of them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import msgspec

from bench.load import resources as cost
from bench.load.locust.control import Master
from bench.profile.arms import group_arms
from bench.profile.schema import CellSettings, Profile
from bench.trial.context import TrialContext
from bench.trial.set_trial import run_set

FIRST_NUMBER = 900
"""Numbers of sets from here on are those of warm-ups; nothing of them is kept."""
SLICE_S = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmUpPass:
    """What came of one pass."""

    carried: bool
    """Whether every method carried orders; why not is told by its first trial."""
    cpu_us_per_order: dict[str, float]
    """By broker, over the whole pass; without brokers whose processes are not known."""


async def play_warm_up_pass(
    stage: TrialContext, master: Master, cells: Sequence[CellSettings], number: int, carry_s: float
) -> WarmUpPass:
    """Starts the services of these cells, has them carry orders for ``carry_s``, and removes all of it.

    Each cell needs a broker, and is an arm of its own. A few looping clients order in each, as in the warm-up of a set.
    Raises what ``run_set`` raises, when the master is gone.
    """
    here = [replace(cell, profile=_shorten(cell, carry_s)) for cell in cells]
    brokers = {name: stage.brokers[name] for cell in here for name in cell.kind.traits.needs if name in stage.brokers}
    before = {name: cost.read_snapshot(broker.pids) for name, broker in brokers.items()}
    quiet = replace(stage, raw=None, dead_letters=None)
    set_ = FIRST_NUMBER + number
    result = await run_set(quiet, master, group_arms(here), here, set_, lambda rows: None, idle=False)
    found = {}
    for name, broker in brokers.items():
        orders = sum(result.finished.get(cell.name, 0) for cell in here if name in cell.kind.traits.needs)
        if orders and broker.pids:
            used = cost.compute_usage(before[name], cost.read_snapshot(broker.pids))
            found[name] = used.cpu_ns / 1e3 / orders
    return WarmUpPass(carried=all(result.finished.get(cell.name) for cell in here), cpu_us_per_order=found)


def _shorten(cell: CellSettings, carry_s: float) -> Profile:
    return msgspec.structs.replace(
        cell.profile,
        slice_s=SLICE_S,
        slices=1,
        warm_up_s=carry_s,
        warm_up_max_s=carry_s,
        raw=False,
        trace_every=0,
    )

"""Compares two revisions: makes their trees, counts in both, and writes the verdict."""

import asyncio
import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from bench.errors import Unmeasured
from bench.provision import cleanup
from bench.provision.base import Say
from bench.provision.brokers import BROKER_NAMES, provide_brokers
from bench.provision.process import finish_despite_cancellation
from bench.regress.count import Bench, Counted, Tools, count_methods
from bench.regress.duel_schedule import DuelPlace, plan_screen
from bench.regress.environments import provide_python
from bench.regress.judge import ARMS
from bench.regress.judge_sets import SetRow, Timed
from bench.regress.outputs import write_counts, write_sets, write_verdict
from bench.regress.replays import ORDERS, ArmTree
from bench.regress.thresholds import FILE, Gates, parse_gates
from bench.regress.timing import time_methods
from bench.regress.tools import find_call_counter, find_instruction_counter
from bench.regress.trees import (
    Revision,
    extract_tree,
    list_changes,
    read_file,
    resolve_revision,
    snapshot_working_tree,
)
from bench.regress.verdict import Plan, Side, Verdict, build_verdict
from transports.registry import load_transport

RULER = ("bench/regress", "bench/load/workload", FILE)
"""What measures and judges: a change of it is announced."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What was asked for."""

    checkout: Path
    home: Path
    results: Path
    """The folder in which the comparison gets one of its own."""
    base: str
    head: str
    """Empty: the working tree."""
    methods: tuple[str, ...]
    """Empty: those of BASE's thresholds."""
    strict: bool
    budget_s: float
    """For timing both; 0: they are counted alone."""
    seeds: int
    """Hash seeds for everything, suspicious or not."""
    given: Mapping[str, str]
    """Brokers given by URL, by name."""


async def compare_revisions(asked: Comparison, say: Say, begins: Callable[[str, bool], None]) -> tuple[Verdict, Path]:
    """Counts both revisions; returns the verdict, and the folder in which all of it is kept.

    Raises UsageError for a revision or a method that there is not, Unmeasured where nothing can be counted,
    OperationFailed and ResultsError.
    """
    base = resolve_revision(asked.checkout, asked.base)
    head = resolve_revision(asked.checkout, asked.head) if asked.head else snapshot_working_tree(asked.checkout)
    gates, thresholds_of = find_gates(asked.checkout, base)
    methods = asked.methods or gates.methods
    needs = {need for method in methods for need in load_transport(method).traits.needs}
    if strange := sorted(needs - set(BROKER_NAMES)):
        raise Unmeasured(f"a method that needs {strange[0]} cannot be replayed yet; leave it out", code="no-replay")
    tools = Tools(
        instructions=await asyncio.to_thread(find_instruction_counter),
        calls=await asyncio.to_thread(find_call_counter),
    )
    timed_methods = [method for method in methods if not load_transport(method).traits.in_process]
    if asked.budget_s and timed_methods:
        plan_screen(asked.budget_s, len(timed_methods))
    await asyncio.to_thread(cleanup.remove_orphans, asked.home, say)
    ledger = cleanup.open_ledger(asked.home)
    try:
        async with AsyncExitStack() as stack:
            trees = [
                await asyncio.to_thread(extract_tree, asked.checkout, revision, ledger.folder / arm)
                for arm, revision in zip(ARMS, (base, head), strict=True)
            ]
            first, second = [
                ArmTree(
                    arm=arm,
                    tree=tree,
                    python=await provide_python(tree, checkout=asked.checkout, home=asked.home, say=say),
                )
                for arm, tree in zip(ARMS, trees, strict=True)
            ]
            brokers = await stack.enter_async_context(
                provide_brokers(sorted(needs), given=asked.given, home=asked.home, say=say)
            )
            bench = Bench(
                arms=(first, second),
                tools=tools,
                brokers=brokers,
                orders=ledger.folder / "orders.json",
                folder=ledger.folder,
                seeds=asked.seeds,
            )
            counted = await count_methods(methods, gates, bench, begins)
            plan = _write_plan(asked, base, head, thresholds_of, tools, counted)
            folder = asked.results / plan.id
            rows: list[SetRow] = []
            if asked.budget_s:
                # What is there if the duels do not end: counts, and a plan that says so.
                plan = msgspec.structs.replace(plan, timed=Timed(budget_s=asked.budget_s, thresholds={}))
            write_counts(folder, plan, counted.observations)
            write_verdict(folder, build_verdict(plan, counted.observations))
            if asked.budget_s:
                place = DuelPlace(
                    id=f"fw-{plan.id.rpartition('-')[2]}",
                    orders=bench.orders,
                    folder=ledger.folder,
                    logs=folder / "logs",
                    seed=1,
                )

                def keep(rows: Sequence[SetRow]) -> None:
                    write_sets(folder, rows)

                fit = [method for method in plan.thresholds if method not in plan.unmeasured]
                timed, rows, left_out = await time_methods(
                    fit, gates, asked.budget_s, bench.arms, brokers, place, say, keep
                )
                plan = msgspec.structs.replace(plan, timed=timed, left_out=(*plan.left_out, *left_out))
                write_counts(folder, plan, counted.observations)
    finally:
        await finish_despite_cancellation(asyncio.to_thread(ledger.close))
    verdict = build_verdict(plan, counted.observations, rows)
    write_verdict(folder, verdict)
    return verdict, folder


def find_gates(checkout: Path, base: Revision) -> tuple[Gates, str]:
    """Returns the thresholds that hold, and whose they are: BASE's, or ours where BASE has none. Raises Unmeasured."""
    text = read_file(checkout, base, FILE)
    ours = "this checkout, for the base has none"
    own = parse_gates((checkout / FILE).read_text("utf-8"), ours)
    if text is None:
        return own, ours
    of_base = parse_gates(text, base.name)
    if of_base.timed:
        return of_base, base.name
    # A base from before times were compared.
    return msgspec.structs.replace(of_base, timed=own.timed), f"{base.name}, and of this checkout for times"


def _write_plan(
    asked: Comparison, base: Revision, head: Revision, thresholds_of: str, tools: Tools, counted: Counted
) -> Plan:
    counters = {"instructions": tools.instructions, "system_calls": tools.calls}
    return Plan(
        id=f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}",
        base=_write_side(base),
        head=_write_side(head),
        strict=asked.strict,
        orders=ORDERS,
        thresholds=counted.thresholds,
        thresholds_of=thresholds_of,
        left_out=tuple(counted.left_out),
        unmeasured=counted.unmeasured,
        announcements=tuple(announce_changes(asked.checkout, base, head, thresholds_of)),
        tools={what: counter.version for what, counter in counters.items() if counter.name},
    )


def announce_changes(checkout: Path, base: Revision, head: Revision, thresholds_of: str) -> list[str]:
    """Returns what a reader has to know before the figures: a sentence for each."""
    said = []
    if changed := list_changes(checkout, base, head, *RULER):
        more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
        said.append(
            f"The ruler itself changed: {changed[0]}{more}. This checkout counted both arms, with the thresholds of "
            f"{thresholds_of}"
        )
    if list_changes(checkout, base, head, "requirements.lock"):
        said.append("requirements.lock changed: what differs may be in other packages")
    return said


def _write_side(revision: Revision) -> Side:
    return Side(
        name=revision.name,
        asked=revision.asked,
        commit=revision.commit,
        tree=revision.tree,
        dirty=revision.dirty,
    )

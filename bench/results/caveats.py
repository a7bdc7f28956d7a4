"""Defines caveats: doubts about a trial or run, each with a name and a next step."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

DISQUALIFYING_CAVEATS = frozenset({"failed", "died", "silent", "audit", "empty", "fault", "cipher"})
"""Names of what makes a trial say nothing of its method, where others only make it doubtful."""


@dataclass(frozen=True, slots=True)
class Caveat:
    """A doubt about a result.

    ``name`` is short and stable, ``text`` says what is doubtful, ``next_step`` what to do about it.
    """

    name: str
    text: str
    next_step: str
    size: float | None = None
    """How bad it is, in a unit of its own: of many with the same name, the largest is told."""


@dataclass(frozen=True, slots=True)
class CaveatGroup:
    """A caveat that a run has once or more: the worst one, and all trials that have it."""

    worst: Caveat
    trials: tuple[str, ...]
    """Their names; empty for one of the whole run."""

    @property
    def count_text(self) -> str:
        """Which of how many the worst one is; empty where there is one."""
        if len(self.trials) < 2:
            return ""
        return f"the {'first' if self.worst.size is None else 'worst'} of {len(self.trials)} trials"


def group_caveats(entries: Iterable[Mapping[str, Any]]) -> list[CaveatGroup]:
    """Returns the caveats of a manifest by name, in the order in which each came first.

    Older runs do not say how bad each is: there the first one stands for all.
    """
    found: dict[str, list[Mapping[str, Any]]] = {}
    for entry in entries:
        found.setdefault(str(entry["name"]), []).append(entry)
    groups = []
    for name, same in found.items():
        sized = [entry for entry in same if entry.get("size") is not None]
        worst = max(sized, key=lambda entry: float(entry["size"])) if sized else same[0]
        caveat = Caveat(name, str(worst["text"]), str(worst["next_step"]), worst.get("size"))
        groups.append(CaveatGroup(caveat, tuple(str(entry["trial"]) for entry in same if entry.get("trial"))))
    return groups


def no_interval(rounds: int, needed: int, word: str = "round") -> Caveat:
    return Caveat(
        "no-interval",
        f"{rounds} {_plural(rounds, word)} of a cell {'give' if rounds != 1 else 'gives'} no 95 % interval: "
        "a difference may be chance",
        f"measure with ROUNDS={needed} or more",
    )


def no_orders(offered_per_s: float, window_s: float) -> Caveat:
    return Caveat(
        "empty",
        f"no order came in a window of {window_s:.3g} s at {offered_per_s:.3g} orders/s",
        "raise DURATION or RATE",
    )


def incomplete(failed: int, unfinished: int) -> Caveat:
    return Caveat(
        "incomplete",
        f"{failed:,} orders failed and {unfinished:,} did not finish; they count as infinitely slow",
        "read the services' logs in the run's folder",
        failed + unfinished,
    )


def orders_left_behind(count: int) -> Caveat:
    return Caveat(
        "order-left-behind",
        f"{count:,} {_plural(count, 'order')} could not be cancelled and stayed behind in a load process, which was "
        "ended",
        "see where the transport's client catches a CancelledError and goes on",
        count,
    )


def dead_letters(counts: Mapping[str, int]) -> Caveat:
    """``counts`` are by reason."""
    total, reasons = sum(counts.values()), ", ".join(f"{count:,} {reason}" for reason, count in counts.items() if count)
    return Caveat(
        "dead-letters",
        f"{total:,} {_plural(total, 'message')} became dead letters without any fault: {reasons}",
        "read dead-letters/ in the run's folder, and the services' logs",
        total,
    )


def store_refused(counts: Mapping[str, int]) -> Caveat:
    """``counts`` are by service."""
    services = ", ".join(f"{name} {count:,} {_plural(count, 'time')}" for name, count in counts.items())
    return Caveat(
        "store-refused",
        f"a service's store was locked, full or away ({services}): orders waited for it, or failed",
        "read the services' logs in the run's folder",
        sum(counts.values()),
    )


def half_done(count: int) -> Caveat:
    return Caveat(
        "half-done",
        f"{count:,} {_plural(count, 'order')} failed on the way and {'keeps' if count == 1 else 'keep'} stock reserved "
        "that is neither shipped nor released",
        "send such orders again with the same id: what was done is not done twice",
        count,
    )


def background_unknown(names: Sequence[str]) -> Caveat:
    return Caveat(
        "background-unknown",
        f"the processes of {' and '.join(names)} are not known here: their cost is not measured, and whether other "
        "programs disturbed the trial is not judged",
        "leave the server's URL out to have one started, or see that nothing else runs",
    )


def trial_failed(cell: str, why: str) -> Caveat:
    return Caveat("failed", f"{cell}: {why}", "read the logs in the run's folder")


def audit_mismatch(text: str, *, database_was_lost: bool = False) -> Caveat:
    """``database_was_lost``: at durability fast, so that its last commits may be lost too, and that is no defect."""
    sentence = f"the services' records differ from the driver's: {text}"
    if not database_was_lost:
        return Caveat("audit", sentence, "do not use this trial; report it")
    return Caveat(
        "audit",
        f"{sentence}; a database server that is killed loses its last commits at durability fast",
        "do not use this trial; see in the services' logs whether the server closed their connections",
    )


def clocks_differ(what: str) -> Caveat:
    return Caveat("clocks", f"{what}, so where the time went is left out", "run all processes on one machine")


def cipher_differs(cipher: str, wanted: str) -> Caveat:
    return Caveat(
        "cipher",
        f"client and server agreed on {cipher}, and all methods are compared with {wanted}",
        "do not use this trial; report it",
    )


NO_COLD_STARTS = "connections-missing"


def cold_starts_missing(cells: Sequence[str]) -> Caveat:
    return Caveat(
        NO_COLD_STARTS,
        f"new connections to {', '.join(cells)} could not be measured in every round",
        "read the services' logs in the run's folder, and go on with RESUME=",
    )


def process_ended(what: str) -> Caveat:
    return Caveat("died", f"{what} ended during the trial", "read its log in the run's folder")


def check_wire_count(carried_bytes: int | None, closed: int) -> Iterator[Caveat]:
    """Yield what is wrong with the count of bytes on the wire; ``closed`` is the number of connections that ended."""
    if carried_bytes is None:
        yield Caveat("no-wire", "bytes on the wire could not be counted, since `ss` does not run", "install iproute2")
    if closed:
        yield Caveat(
            "connections-closed",
            f"{closed:,} {_plural(closed, 'connection')} ended in the window, and what they carried is not counted",
            "take wire_bytes_per_order for a lower bound",
            closed,
        )


def not_steady(warm_up_s: float) -> Caveat:
    return Caveat(
        "unsteady",
        f"orders in flight and median completion did not settle in {warm_up_s:.1f} s of warm-up",
        "raise WARM_UP_MAX, or lower RATE if a backlog grows",
        warm_up_s,
    )


def machine_speed_changed(slowdown: float) -> Caveat:
    return Caveat(
        "machine-speed-changed",
        f"the machine changed its speed: a fixed piece of work took {slowdown:.2f} times as long as in the fastest "
        "trial before it; every cell of a round shares that, so intervals are wider",
        "compare these numbers with each other, and not with those of other runs",
        slowdown,
    )


def lead_in_short(lead_in_s: float, p50_us: float) -> Caveat:
    return Caveat(
        "lead-in-short",
        f"half of the orders took {p50_us / 1000:.3g} ms or more, and a slice's window opens {lead_in_s * 1000:.3g} ms "
        "after its first order: the windows were over before a queue could be",
        f"raise LEAD_IN to {4 * p50_us / 1e6:.2g}s, lower RATE, or measure in whole trials with SLICE=0",
        p50_us,
    )


def lead_in_slow(times: float) -> Caveat:
    return Caveat(
        "lead-in-slow",
        f"orders of the lead-ins took {times:.2f} times as long as those of the windows: what is cold at the beginning "
        "of a slice may reach into its window",
        "raise LEAD_IN, or measure in whole trials with SLICE=0",
        times,
    )


def set_trend(times: float) -> Caveat:
    return Caveat(
        "trend",
        f"through the set the median completion changed to {times:.2g} times, beside the other cells: what it is in "
        "the middle depends on how long the set is",
        "raise WARM_UP if it fell; lower RATE, or look for what fills up, if it rose",
        abs(math.log(times)),
    )


def slices_not_level() -> Caveat:
    return Caveat(
        "slices-not-level",
        "the orders in flight grew all through the slices: a queue that begins empty had not come to its length, or "
        "the method does not keep up",
        "raise LEAD_IN, lower RATE, close other programs, or measure in whole trials with SLICE=0",
    )


def slices_left(left: int, slices: int) -> Caveat:
    return Caveat(
        "slices-left",
        f"after {left} of {slices} slices orders were still in flight when the next one was due: what slices show of "
        "such a cell is less than what its queue would come to",
        "lower RATE, or measure in whole trials with SLICE=0",
        left,
    )


def slices_marked(left: int, company: int, slices: int) -> Caveat:
    return Caveat(
        "slices-marked",
        f"of {slices} slices {left} left orders in flight when the next one was due, and {company} began beside such "
        "orders",
        "see `left` and `company` in slices.csv",
        left + company,
    )


def slice_over_utilisation(used: float, most: float) -> Caveat:
    return Caveat(
        "slice-over-utilisation",
        f"by its CPU per order the cell needs {used:.0%} of all cores at its rate, and slices are for cells up to "
        f"{most:.0%}: above that a queue takes longer than a slice to come to its length",
        "measure it in whole trials with SLICE=0, or lower RATE",
        used,
    )


def slices_missing(slices: int, due: int) -> Caveat:
    return Caveat(
        "slices-missing",
        f"of {due} slices {slices} were played to their end",
        "read the doubts beside this one, and measure again",
        due - slices,
    )


def slices_lost(slices: int) -> Caveat:
    return Caveat(
        "slices-lost",
        f"a load process was ended, and what it sent in {slices} {_plural(slices, 'slice')}, or what services in it "
        "counted, is not known: the shop's records cannot be compared with the driver's",
        "read the log of the load process in the run's folder",
        slices,
    )


def set_disturbed(set_: int, happened: Sequence[str]) -> Caveat:
    return Caveat(
        "set-disturbed",
        f"in set {set_} not all went by its program: {'; '.join(happened)}",
        "leave out what ended, and measure again",
    )


SET_CUT = "set-cut"


def set_cut(set_: int, slices: int, due: int) -> Caveat:
    return Caveat(
        SET_CUT,
        f"set {set_} was stopped after {slices} of {due} slices: they are in slices.csv, and in no row of trials.csv",
        "go on with RESUME=, which plays the set anew",
    )


def short_slices(orders: float, wanted: int) -> Caveat:
    return Caveat(
        "short-slices",
        f"a slice has some {orders:.3g} orders where {wanted} are advised: its median is mostly chance",
        "raise SLICE or RATE",
    )


def python_not_optimised(version: str) -> Caveat:
    return Caveat(
        "python-not-optimised",
        f"this Python {version} is built without profile-guided optimisation, which most distributions build with: it "
        "takes more CPU, and of one method more than of another, so ratios between methods are not theirs",
        "`make doctor` names a better one, where there is one: make .venv with it by PYTHON=",
    )


def dirty_tree(commit: str) -> Caveat:
    return Caveat(
        "dirty-tree",
        f"the working tree differs from commit {commit[:12]}",
        "commit before measuring, to repeat it later",
    )


def old_broker(name: str, version: str, newest: str, behind_days: int) -> Caveat:
    return Caveat(
        "old-broker",
        f"{name} {version} is {behind_days} days behind {newest}, the newest version that is known here",
        "type `make setup` for a current one, or give one by URL; `make doctor` says how old each is",
    )


def broker_not_level(falling: Mapping[str, float], carried_s: float) -> Caveat:
    """``falling`` has by broker the share by which an order cost it less than in the pass before."""
    said = " and ".join(f"{name}'s CPU for an order still fell by {share:.0%}" for name, share in falling.items())
    return Caveat(
        "broker-not-level",
        f"after {carried_s:g} s of orders {said}: its first trials cost more than later ones",
        "raise BROKER_WARM_UP, or leave the first round out",
        max(falling.values()),
    )


def one_core() -> Caveat:
    return Caveat(
        "one-core",
        "this machine has one core: the load process takes it from the services, so latencies are of both",
        "measure on a machine with two cores or more",
    )


def another_run(count: int) -> Caveat:
    return Caveat(
        "another-run",
        f"{count} other {_plural(count, 'run')} of Fourways {'was' if count == 1 else 'were'} on this machine: each "
        "took time from the others",
        "measure one at a time",
    )


OLDER_GROUND = "older-ground"


def older_ground(differences: Sequence[str]) -> Caveat:
    """``differences`` are what the run was measured with, and runs of today are not."""
    return Caveat(
        OLDER_GROUND,
        f"the run is older than what is measured today: it had {', '.join(differences)}",
        "measure it again before you compare it with a run of today, or choose by it",
    )


def _plural(count: int, noun: str) -> str:
    return noun if count == 1 else f"{noun}s"

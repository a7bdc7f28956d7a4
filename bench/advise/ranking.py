"""An answer to a question: which methods are ahead, on what grounds, at what price, and what was not measured."""

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from itertools import combinations

from bench.advise.evidence import HEADLINE, Capacity, Evidence
from bench.advise.method import Method
from bench.advise.nearest import AXES, KIB, View, nearest_bursts, size_said, views
from bench.advise.needs import NEEDS
from bench.advise.question import WORDS, Question
from bench.report.formatting import digits, estimated
from bench.stats.equivalence import Verdict, verdict
from bench.stats.intervals import Estimate

TRADES: Mapping[str, tuple[str, str]] = {
    "accept_p50_us": ("accepts sooner", "accepts later"),
    HEADLINE: ("completes sooner", "completes later"),
    "finish_p99_us": ("p99 of completion is shorter", "p99 of completion is longer"),
    "cpu_us_per_order": ("takes less CPU", "takes more CPU"),
    "wire_bytes_per_order": ("puts fewer bytes on the wire", "puts more bytes on the wire"),
}
"""What may be gained or lost with another method, by metric."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trade:
    """A difference to the method that is placed first, of which the interval lies beyond the band of none."""

    view: int
    """The place of its view in the answer."""
    metric: str
    gain: bool
    ratio: Estimate
    """To the first method."""

    @property
    def said(self) -> str:
        return f"{TRADES[self.metric][not self.gain]}: {times(self.ratio)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """A method that has all that is needed. ``place`` is one more than there are methods shown to be ahead of it."""

    method: str
    place: int
    behind: frozenset[str]
    """The methods that are shown to complete sooner somewhere in the views, and nowhere later."""
    trades: tuple[Trade, ...] = ()
    carried: bool | None = None
    """Whether it was seen to carry the rate; None where it was not tried."""
    overloaded: str = ""
    """That it did not carry the rate, where it was seen not to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    question: Question
    views: tuple[View, ...]
    placed: tuple[Placed, ...]
    """In order."""
    ruled_out: Mapping[str, str]
    """By method, which needs it does not meet."""
    unmeasured: tuple[str, ...]
    """Methods of which nothing was measured that bears on the question."""
    aside: tuple[str, ...]
    """Methods with another client or product than their own, not placed since the nearest view has them not."""
    not_measured: tuple[str, ...]
    """What was asked and not measured, a sentence each."""
    remarks: tuple[str, ...]
    left_out: tuple[str, ...]
    runs: tuple[str, ...]
    machines: tuple[str, ...]
    names: Mapping[str, str]
    """How people know the methods."""

    @property
    def whole(self) -> bool:
        """Whether every method that is placed was measured at all that is asked."""
        there = {method for view in self.views if view.honoured >= set(AXES) for method in view.rows}
        return all(placed.method in there for placed in self.placed)

    @property
    def answer(self) -> str:
        """The first thing to read: a sentence or two."""
        if not self.placed:
            why = "no method has all that is needed" if self.ruled_out else "nothing that bears on it was measured"
            return f"No advice: {why}."
        said = self._first
        if all(placed.carried is False for placed in self.placed):
            able = " that has all that is needed" if self.ruled_out else ""
            said = f"No method{able} was seen to carry {self.question.rate_per_s:g}/s. {said}"
        return said if self.whole else f"{said} Not all that was asked was measured: see below what this rests on."

    @property
    def _first(self) -> str:
        """Which method is ahead of all others that are placed, or between which it is open."""
        least, at_rate = min(placed.place for placed in self.placed), f"{self.question.rate_per_s:g}/s"
        first = [placed for placed in self.placed if placed.place == least]
        others = [placed for placed in self.placed if placed.place != least]
        named = self._listed(first)
        if len(self.placed) == 1:
            return f"{named} is the only choice left."
        if len(first) > 1:
            return self._open(first, f"{named} are not told apart: not all of them were tried at {at_rate}.")
        (one,) = first
        if one.carried and all(placed.carried is False for placed in others):
            return f"{named} alone was seen to carry {at_rate}."
        if level := [placed for placed in others if one.method not in placed.behind]:
            return f"{named} is placed first, and is not shown to be ahead of {self._listed(level)}."
        late = [placed for placed in others if placed.carried is False and one.carried]
        but = f"; {self._listed(late)} did not carry {at_rate}" if late else ""
        return f"{named} completes an order soonest at the median{but}."

    def _open(self, first: Sequence[Placed], untried: str) -> str:
        """Of several at the first place, why it is open which of them is ahead."""
        named, methods = self._listed(first), [placed.method for placed in first]
        if any(placed.behind for placed in first):
            return f"{named} come first: each of them is behind another one."
        if len({placed.carried is False for placed in first}) > 1:
            return untried
        if all(any({*two} <= view.rows.keys() for view in self.views) for two in combinations(methods, 2)):
            return f"{named} tie: no difference in median completion is shown."
        return f"{named} are not told apart: not all of them were measured side by side."

    def _listed(self, some: Sequence[Placed]) -> str:
        *names, last = (self.names[placed.method] for placed in some)
        return f"{', '.join(names)} and {last}" if names else last


def advise(question: Question, evidence: Evidence) -> Advice:
    """Rank the methods that meet the needs, by what is shown of their completion."""
    ruled_out = {
        name: lacking for name, method in evidence.methods.items() if (lacking := "; ".join(_lacks(method, question)))
    }
    aside = _aside(question, evidence, ruled_out.keys())
    kept = [method for method in evidence.methods if method not in ruled_out and method not in aside]
    near = views(question, _without(aside, evidence))
    shown = [method for method in kept if any(method in view.rows for view in near)]
    capacities = {found.method.name: found for found in _capacities(question, evidence)}
    seen = {method: _carried(found, question.rate_per_s) for method, found in capacities.items()}
    carried = {method: known for method, known in seen.items() if known is not None}
    behind = {method: behind_of(method, shown, near, carried) for method in shown}

    def order(method: str) -> tuple[int, float]:
        values = (view.rows[method].metrics[HEADLINE].value for view in near if method in view.rows)
        return len(behind[method]), next((value for value in values if value is not None), float("inf"))

    ranked = sorted(shown, key=order)
    placed = tuple(
        Placed(
            method=method,
            place=1 + len(behind[method]),
            behind=behind[method],
            trades=tuple(_trades(method, ranked[0], near)),
            carried=carried.get(method),
            overloaded="" if carried.get(method, True) else _overload(capacities[method]),
        )
        for method in ranked
    )
    return Advice(
        question=question,
        views=tuple(near),
        placed=placed,
        ruled_out=ruled_out,
        unmeasured=tuple(method for method in kept if method not in shown),
        aside=tuple(aside),
        not_measured=tuple(_not_measured(question, evidence, near)),
        remarks=(*_aside_said(aside), *_remarks(question, evidence, set(capacities))),
        left_out=tuple(evidence.left_out),
        runs=tuple(evidence.runs),
        machines=tuple(evidence.machines),
        names={name: method.title for name, method in evidence.methods.items()},
    )


def _aside(question: Question, evidence: Evidence, ruled_out: Set[str]) -> Mapping[str, Method]:
    """Methods with another client or product than their own that the nearest view has not, though it has their own.

    To place them would be to set what was measured elsewhere against the answer to the question.
    """
    near = views(question, evidence)
    first = near[0].rows.keys() - ruled_out if near else set()
    return {
        name: method
        for name, method in evidence.methods.items()
        if name not in first and name != method.transport and method.transport in first
    }


def _without(aside: Mapping[str, Method], evidence: Evidence) -> Evidence:
    return replace(evidence, points=[point for point in evidence.points if point.method.name not in aside])


def _aside_said(aside: Mapping[str, Method]) -> Iterator[str]:
    if aside:
        names = ", ".join(method.title for method in aside.values())
        yield (
            f"Not placed, since the nearest run has them not: {names}; see `make pros`, or ask a run that has them "
            "with RUN=."
        )


def _lacks(method: Method, question: Question) -> Iterator[str]:
    traits = method.traits
    for need in question.needs:
        if traits is None:
            yield f"is not installed here, so that its traits are not known ({need})"
            continue
        if not NEEDS[need].met(traits, question.durability):
            yield f"{NEEDS[need].lacks} ({need})"


def behind_of(method: str, others: Sequence[str], near: Sequence[View], carried: Mapping[str, bool]) -> frozenset[str]:
    """The methods shown to be ahead; one that did not carry the rate is behind all that did."""
    ahead = set()
    for other in others:
        if other == method or (carried.get(other) is False and carried.get(method) is not False):
            continue
        if carried.get(method) is False and carried.get(other) is not False:
            if carried.get(other):
                ahead.add(other)
            continue
        both = [view for view in near if method in view.rows and other in view.rows]
        shown = {verdict(view.ratio(HEADLINE, method, other)) for view in both}
        if Verdict.MORE in shown and Verdict.LESS not in shown:
            ahead.add(other)
    return frozenset(ahead)


def _trades(method: str, first: str, near: Sequence[View]) -> Iterator[Trade]:
    if method == first:
        return
    for number, view in enumerate(near):
        if method not in view.rows or first not in view.rows:
            continue
        for metric in TRADES:
            ratio = view.ratio(metric, method, first)
            if not (found := verdict(ratio)).is_tie:
                yield Trade(view=number, metric=metric, gain=found is Verdict.LESS, ratio=ratio)


def _capacities(question: Question, evidence: Evidence) -> Iterator[Capacity]:
    """Those that were searched for at what is asked in all but the rate."""
    asked = (question.size_bytes, question.shape, question.security, question.durability)
    for found in evidence.capacities:
        place = found.place
        alike = asked == (place.size_bytes, place.shape, place.security, place.durability)
        if alike and question.format in (None, found.codec) and question.burst == place.burst:
            yield found


def _carried(found: Capacity, rate_per_s: float) -> bool | None:
    """Whether the method was seen to carry a rate; None where it was not tried."""
    if rate_per_s <= found.last_pass_per_s:
        return True
    return False if found.first_fail_per_s is not None and rate_per_s >= found.first_fail_per_s else None


def _overload(found: Capacity) -> str:
    return (
        f"did not carry {digits(found.first_fail_per_s or 0)}/s with p99 of completion under "
        f"{digits(found.slo_p99_ms)} ms; {digits(found.last_pass_per_s)}/s it did ({found.run})"
    )


def _remarks(question: Question, evidence: Evidence, known: Set[str]) -> Iterator[str]:
    """The highest rates of methods whose search was elsewhere than is asked, where the rate comes near to them."""
    for found in evidence.capacities:
        if found.method.name in known or question.rate_per_s <= 0.5 * found.last_pass_per_s:
            continue
        yield (
            f"{found.method.title} in {found.codec} carried {digits(found.last_pass_per_s)}/s of "
            f"{size_said(found.place.size_bytes / KIB)} without bursts, p99 of completion under "
            f"{digits(found.slo_p99_ms)} ms ({found.run})."
        )


def _not_measured(question: Question, evidence: Evidence, near: Sequence[View]) -> Iterator[str]:
    """An axis that no view honours, with what was measured of it; then what was not measured together."""
    word_of = {field: word for word, field in WORDS.items()}
    honoured = frozenset[str]().union(*(view.honoured for view in near))
    for axis in AXES:
        if axis not in honoured:
            asked = said(axis, getattr(question, axis))
            yield f"{word_of[axis]}={asked} was not measured: {_measured(axis, question, evidence)}."
    if near and not any(view.honoured >= honoured for view in near):
        together = " and ".join(
            f"{word_of[axis]}={said(axis, getattr(question, axis))}"
            for axis in AXES
            if axis in honoured and not all(axis in view.honoured for view in near)
        )
        yield f"{together} were not measured together, each by itself."


def _measured(axis: str, question: Question, evidence: Evidence) -> str:
    if axis == "format":
        return f"the formats are {', '.join(sorted({point.codec for point in evidence.points}))}"
    levels = {getattr(point.place, axis) for point in evidence.points}
    if axis == "burst":
        levels = nearest_bursts(question.burst, levels) & levels
    if axis not in ("size_bytes", "rate_per_s"):
        return f"measured is {', '.join(said(axis, level) for level in sorted(levels))}"
    asked = getattr(question, axis)
    if asked > max(levels):
        return f"the largest measured is {said(axis, max(levels))}"
    if asked < min(levels):
        return f"the smallest measured is {said(axis, min(levels))}"
    return (
        f"it lies between {said(axis, max(level for level in levels if level < asked))} and "
        f"{said(axis, min(level for level in levels if level > asked))}, and no line holds there"
    )


def said(axis: str, value: object) -> str:
    """A level in the words of a question."""
    match axis, value:
        case "size_bytes", int() | float():
            return size_said(value / KIB)
        case (("rate_per_s" | "burst"), int() | float()):
            return f"{value:g}"
        case _:
            return "any" if value is None else str(value)


def times(ratio: Estimate) -> str:
    """A ratio as people say it, with its interval."""
    if ratio.value is None:
        return "not known"
    return f"{estimated(ratio, unit='times')}{', no interval' if ratio.low is None else ''}"

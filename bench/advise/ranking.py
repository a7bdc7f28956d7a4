"""Ranks methods for a question: grounds, trade-offs, and what was not measured."""

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from itertools import combinations

from bench.advise.evidence import HEADLINE, CapacityEvidence, Evidence
from bench.advise.method import Method
from bench.advise.nearest import AXES, KIB, MethodComparison, find_comparisons, find_nearest_bursts, format_size
from bench.advise.needs import NEEDS
from bench.advise.question import Question
from bench.report.formatting import format_estimate, format_number
from bench.results.question_settings import QUESTION
from bench.stats.equivalence import Verdict, classify_ratio
from bench.stats.intervals import Estimate

TRADE_WORDING: Mapping[str, tuple[str, str]] = {
    "accept_p50_us": ("accepts sooner", "accepts later"),
    HEADLINE: ("completes sooner", "completes later"),
    "finish_p99_us": ("p99 of completion is shorter", "p99 of completion is longer"),
    "cpu_us_per_order": ("takes less CPU", "takes more CPU"),
    "wire_bytes_per_order": ("puts fewer bytes on the wire", "puts more bytes on the wire"),
}
"""The words for a gain and a loss with another method, by metric."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tradeoff:
    """A metric in which a method differs from the first one, with an interval beyond the band of no difference."""

    view: int
    """The place of its view in the answer."""
    metric: str
    gain: bool
    ratio: Estimate
    """The ratio to the first method."""

    @property
    def said(self) -> str:
        """The difference in words, with its ratio."""
        return f"{TRADE_WORDING[self.metric][not self.gain]}: {format_ratio(self.ratio)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RankedMethod:
    """A method that meets all needs. ``place`` is one more than the number of methods shown to be ahead of it."""

    method: str
    place: int
    behind: frozenset[str]
    """The methods that are shown to complete sooner somewhere in the views, and nowhere later."""
    trades: tuple[Tradeoff, ...] = ()
    carried: bool | None = None
    """Whether a search showed that it carries the rate; None where none was made."""
    overloaded: str = ""
    """The sentence that it did not carry the rate, where a search showed that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """The answer to a question: the ranked methods, what they rest on, and what could not be answered."""

    question: Question
    views: tuple[MethodComparison, ...]
    placed: tuple[RankedMethod, ...]
    """The ranked methods, the first place first."""
    ruled_out: Mapping[str, str]
    """The needs that a method does not meet, by method."""
    unmeasured: tuple[str, ...]
    """Methods without a measurement that bears on the question."""
    excluded: tuple[str, ...]
    """Methods with another client or product than their own, which the nearest view lacks; they get no place."""
    not_measured: tuple[str, ...]
    """The parts of the question that were not measured, a sentence each."""
    remarks: tuple[str, ...]
    left_out: tuple[str, ...]
    runs: tuple[str, ...]
    machines: tuple[str, ...]
    names: Mapping[str, str]
    """The methods' names for people."""

    @property
    def whole(self) -> bool:
        """Whether every ranked method was measured at the question's levels of all axes."""
        there = {method for view in self.views if view.matched_axes >= set(AXES) for method in view.rows}
        return all(placed.method in there for placed in self.placed)

    @property
    def answer(self) -> str:
        """The sentence or two to read first."""
        if not self.placed:
            why = "no method has all that is needed" if self.ruled_out else "nothing that bears on it was measured"
            return f"No advice: {why}."
        said = self._leader_sentence
        if all(placed.carried is False for placed in self.placed):
            able = " that has all that is needed" if self.ruled_out else ""
            said = f"No method{able} was seen to carry {self.question.rate_per_s:g}/s. {said}"
        return said if self.whole else f"{said} Not all that was asked was measured: see below what this rests on."

    @property
    def _leader_sentence(self) -> str:
        """The sentence that names the method ahead of all others, or the methods between which it is open."""
        least, at_rate = min(placed.place for placed in self.placed), f"{self.question.rate_per_s:g}/s"
        first = [placed for placed in self.placed if placed.place == least]
        others = [placed for placed in self.placed if placed.place != least]
        named = self._join_names(first)
        if len(self.placed) == 1:
            return f"{named} is the only choice left."
        if len(first) > 1:
            return self._open(first, f"{named} are not told apart: not all of them were tried at {at_rate}.")
        (one,) = first
        if one.carried and all(placed.carried is False for placed in others):
            return f"{named} alone was seen to carry {at_rate}."
        if level := [placed for placed in others if one.method not in placed.behind]:
            return f"{named} is placed first, and is not shown to be ahead of {self._join_names(level)}."
        late = [placed for placed in others if placed.carried is False and one.carried]
        but = f"; {self._join_names(late)} did not carry {at_rate}" if late else ""
        return f"{named} completes an order soonest at the median{but}."

    def _open(self, first: Sequence[RankedMethod], untried: str) -> str:
        """Returns why it is open which of several methods at the first place is ahead."""
        named, methods = self._join_names(first), [placed.method for placed in first]
        if any(placed.behind for placed in first):
            return f"{named} come first: each of them is behind another one."
        if len({placed.carried is False for placed in first}) > 1:
            return untried
        if all(any({*two} <= view.rows.keys() for view in self.views) for two in combinations(methods, 2)):
            return f"{named} tie: no difference in median completion is shown."
        return f"{named} are not told apart: not all of them were measured side by side."

    def _join_names(self, some: Sequence[RankedMethod]) -> str:
        *names, last = (self.names[placed.method] for placed in some)
        return f"{', '.join(names)} and {last}" if names else last


def advise(question: Question, evidence: Evidence) -> Advice:
    """Returns the methods that meet the needs, ranked by what is shown of their completion."""
    ruled_out = {
        name: lacking
        for name, method in evidence.methods.items()
        if (lacking := "; ".join(_find_unmet_needs(method, question)))
    }
    aside = _find_excluded(question, evidence, ruled_out.keys())
    kept = [method for method in evidence.methods if method not in ruled_out and method not in aside]
    near = find_comparisons(question, _drop_methods(aside, evidence))
    shown = [method for method in kept if any(method in view.rows for view in near)]
    capacities = {found.method.name: found for found in _find_capacities(question, evidence)}
    seen = {method: _sustains_rate(found, question.rate_per_s) for method, found in capacities.items()}
    carried = {method: known for method, known in seen.items() if known is not None}
    behind = {method: find_methods_ahead(method, shown, near, carried) for method in shown}

    def order(method: str) -> tuple[int, float]:
        values = (view.rows[method].metrics[HEADLINE].value for view in near if method in view.rows)
        return len(behind[method]), next((value for value in values if value is not None), float("inf"))

    ranked = sorted(shown, key=order)
    placed = tuple(
        RankedMethod(
            method=method,
            place=1 + len(behind[method]),
            behind=behind[method],
            trades=tuple(_find_tradeoffs(method, ranked[0], near)),
            carried=carried.get(method),
            overloaded="" if carried.get(method, True) else _describe_overload(capacities[method]),
        )
        for method in ranked
    )
    return Advice(
        question=question,
        views=tuple(near),
        placed=placed,
        ruled_out=ruled_out,
        unmeasured=tuple(method for method in kept if method not in shown),
        excluded=tuple(aside),
        not_measured=tuple(_describe_unmeasured(question, evidence, near)),
        remarks=(*_exclusion_remark(aside), *_capacity_remarks(question, evidence, set(capacities))),
        left_out=tuple(evidence.left_out),
        runs=tuple(evidence.runs),
        machines=tuple(evidence.machines),
        names={name: method.title for name, method in evidence.methods.items()},
    )


def _find_excluded(question: Question, evidence: Evidence, ruled_out: Set[str]) -> Mapping[str, Method]:
    """Returns methods with another client or product than the transport's own that the nearest comparison lacks.

    To rank them would set what was measured elsewhere against the answer to the question.
    """
    near = find_comparisons(question, evidence)
    first = near[0].rows.keys() - ruled_out if near else set()
    return {
        name: method
        for name, method in evidence.methods.items()
        if name not in first and name != method.transport and method.transport in first
    }


def _drop_methods(aside: Mapping[str, Method], evidence: Evidence) -> Evidence:
    return replace(evidence, points=[point for point in evidence.points if point.method.name not in aside])


def _exclusion_remark(aside: Mapping[str, Method]) -> Iterator[str]:
    if aside:
        names = ", ".join(method.title for method in aside.values())
        yield (
            f"Not placed, since the nearest run has them not: {names}; see `make pros`, or ask a run that has them "
            "with RUN=."
        )


def _find_unmet_needs(method: Method, question: Question) -> Iterator[str]:
    traits = method.traits
    for need in question.needs:
        if traits is None:
            yield f"is not installed here, so that its traits are not known ({need})"
            continue
        if not NEEDS[need].met(traits, question.durability):
            yield f"{NEEDS[need].lacks} ({need})"


def find_methods_ahead(
    method: str, others: Sequence[str], near: Sequence[MethodComparison], carried: Mapping[str, bool]
) -> frozenset[str]:
    """Returns the methods shown to be ahead of this one; one that did not sustain the rate is behind all that did."""
    ahead = set()
    for other in others:
        if other == method or (carried.get(other) is False and carried.get(method) is not False):
            continue
        if carried.get(method) is False and carried.get(other) is not False:
            if carried.get(other):
                ahead.add(other)
            continue
        both = [view for view in near if method in view.rows and other in view.rows]
        shown = {classify_ratio(view.ratio(HEADLINE, method, other)) for view in both}
        if Verdict.MORE in shown and Verdict.LESS not in shown:
            ahead.add(other)
    return frozenset(ahead)


def _find_tradeoffs(method: str, first: str, near: Sequence[MethodComparison]) -> Iterator[Tradeoff]:
    if method == first:
        return
    for number, view in enumerate(near):
        if method not in view.rows or first not in view.rows:
            continue
        for metric in TRADE_WORDING:
            ratio = view.ratio(metric, method, first)
            if not (found := classify_ratio(ratio)).is_tie:
                yield Tradeoff(view=number, metric=metric, gain=found is Verdict.LESS, ratio=ratio)


def _find_capacities(question: Question, evidence: Evidence) -> Iterator[CapacityEvidence]:
    """Yields the capacities that were searched for at the question's levels of all axes but the rate."""
    asked = (question.size_bytes, question.shape, question.security, question.durability)
    for found in evidence.capacities:
        place = found.place
        alike = asked == (place.size_bytes, place.shape, place.security, place.durability)
        if alike and question.format in (None, found.codec) and question.burst == place.burst:
            yield found


def _sustains_rate(found: CapacityEvidence, rate_per_s: float) -> bool | None:
    """Returns whether the search showed that the method sustains a rate; None where that was not tried."""
    if rate_per_s <= found.last_pass_per_s:
        return True
    return False if found.first_fail_per_s is not None and rate_per_s >= found.first_fail_per_s else None


def _describe_overload(found: CapacityEvidence) -> str:
    return (
        f"did not carry {format_number(found.first_fail_per_s or 0)}/s with p99 of completion under "
        f"{format_number(found.slo_p99_ms)} ms; {format_number(found.last_pass_per_s)}/s it did ({found.run})"
    )


def _capacity_remarks(question: Question, evidence: Evidence, known: Set[str]) -> Iterator[str]:
    """Yields capacities searched for under other conditions, where the rate asked comes near to them."""
    for found in evidence.capacities:
        if found.method.name in known or question.rate_per_s <= 0.5 * found.last_pass_per_s:
            continue
        yield (
            f"{found.method.title} in {found.codec} carried {format_number(found.last_pass_per_s)}/s of "
            f"{format_size(found.place.size_bytes / KIB)} without bursts, p99 of completion under "
            f"{format_number(found.slo_p99_ms)} ms ({found.run})."
        )


def _describe_unmeasured(question: Question, evidence: Evidence, near: Sequence[MethodComparison]) -> Iterator[str]:
    """Yields a sentence for each axis that no comparison matches; then for those not measured together."""
    word_of = {spec.key: name for name, spec in QUESTION.items()}
    honoured = frozenset[str]().union(*(view.matched_axes for view in near))
    for axis in AXES:
        if axis not in honoured:
            asked = format_level(axis, getattr(question, axis))
            yield f"{word_of[axis]}={asked} was not measured: {_describe_measured(axis, question, evidence)}."
    if near and not any(view.matched_axes >= honoured for view in near):
        together = " and ".join(
            f"{word_of[axis]}={format_level(axis, getattr(question, axis))}"
            for axis in AXES
            if axis in honoured and not all(axis in view.matched_axes for view in near)
        )
        yield f"{together} were not measured together, each by itself."


def _describe_measured(axis: str, question: Question, evidence: Evidence) -> str:
    if axis == "format":
        return f"the formats are {', '.join(sorted({point.codec for point in evidence.points}))}"
    levels = {getattr(point.place, axis) for point in evidence.points}
    if axis == "burst":
        levels = find_nearest_bursts(question.burst, levels) & levels
    if axis not in ("size_bytes", "rate_per_s"):
        return f"measured is {', '.join(format_level(axis, level) for level in sorted(levels))}"
    asked = getattr(question, axis)
    if asked > max(levels):
        return f"the largest measured is {format_level(axis, max(levels))}"
    if asked < min(levels):
        return f"the smallest measured is {format_level(axis, min(levels))}"
    return (
        f"it lies between {format_level(axis, max(level for level in levels if level < asked))} and "
        f"{format_level(axis, min(level for level in levels if level > asked))}, and no line holds there"
    )


def format_level(axis: str, value: object) -> str:
    """Formats a level as a question writes it."""
    match axis, value:
        case "size_bytes", int() | float():
            return format_size(value / KIB)
        case (("rate_per_s" | "burst"), int() | float()):
            return f"{value:g}"
        case _:
            return "any" if value is None else str(value)


def format_ratio(ratio: Estimate) -> str:
    """Formats a ratio with its interval: ``1.2 times (1.1 to 1.3)``."""
    if ratio.value is None:
        return "not known"
    return f"{format_estimate(ratio, unit='times')}{', no interval' if ratio.low is None else ''}"

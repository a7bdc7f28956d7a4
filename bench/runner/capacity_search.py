"""Chooses the next rate of a capacity search, as a pure function of the trials so far.

Rates lie on one grid, powers of 1 + precision, so that the answer does not depend on where the search began. It doubles
until a rate does not pass, or halves until one does; bisects between the two until they are neighbours on the grid; and
confirms the lower one with fresh trials, stepping down the grid until most of a rate's fresh trials pass. A rate is
tried twice, and a third time only when the two disagree (Shivam et al., "Cutting Corners: Workbench Automation for
Server Benchmarking", USENIX ATC 2008).

Most, not all: near the capacity chance decides, and to ask for all of them is to answer too low. Of simulated M/M/1
queues with 30,000 orders a trial 93 % were found within 3 % of their capacity, and 68 % when all three had to pass.
"""

import math
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Literal

ProbeOutcome = Literal["pass", "fail", "generator"]
"""Of one trial. "generator": it says nothing about the method, as generator or machine could not keep to the plan."""

ProbeKind = Literal["search", "confirm"]
SearchAnswer = Literal["capacity", "generator-limited", "none", "unfinished"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchSettings:
    """Settings of a capacity search. Raises ValueError for numbers with which it would not end."""

    start_per_s: float
    lowest_per_s: float = 1.0
    """Below it there is no search: a method that does not pass here has no capacity worth the name."""
    precision: float = 0.03
    """How far the first rate that does not pass may lie above the last that does."""
    confirmations: int = 3
    most_rates: int = 15

    def __post_init__(self) -> None:
        if not 0 < self.lowest_per_s <= self.start_per_s < math.inf:
            raise ValueError(
                f"a search starts at a rate from {self.lowest_per_s:g} orders/s on, the lowest it tries; "
                f"not at {self.start_per_s:g}"
            )
        if not (0.005 <= self.precision <= 1 and self.confirmations >= 1 and self.most_rates >= 1):
            raise ValueError("a search takes a precision from 0.005 to 1, and one confirmation and one rate at least")


@dataclass(frozen=True, slots=True)
class RateProbe:
    """One trial to run at a rate. Before the first "confirm" of a rate the services are started afresh."""

    per_s: float
    kind: ProbeKind


@dataclass(frozen=True, slots=True)
class RateProbeResult:
    """A trial of the search and its outcome."""

    probe: RateProbe
    outcome: ProbeOutcome


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The result of a search: ``last_pass_per_s`` is the rate, ``answer`` its meaning, ``reason`` a sentence.

    capacity: confirmed, and the method fails one step above. generator-limited: confirmed, and one step above the load
    generator does not keep up, so it is at least this. none: no rate passed, down to the lowest. unfinished: as many
    rates were tried as may be; what passed was not confirmed.
    """

    last_pass_per_s: float | None
    first_fail_per_s: float | None
    answer: SearchAnswer
    reason: str


def find_next_step(history: Sequence[RateProbeResult], settings: SearchSettings) -> RateProbe | SearchResult:
    """Returns the next trial to run, or the result, after the trials in ``history``. Deterministic.

    It ends after at most ``most_rates`` times (3 + ``confirmations``) trials, whatever their outcomes. Raises
    ValueError when the history is not one of a search with these settings.
    """
    search = _CapacitySearch(settings).run()
    step = next(search)
    for number, tried in enumerate(history, 1):
        if tried.probe != step:
            raise ValueError(
                f"trial {number} of the history tried {tried.probe} where these settings try {step}; start a new search"
            )
        try:
            step = search.send(tried.outcome)
        except StopIteration as end:
            if number < len(history):
                raise ValueError(f"the history goes on after the search had ended with trial {number}") from None
            done: SearchResult = end.value
            return done
    return step


class _CapacitySearch:
    """The search as a generator that yields probes and is sent their outcomes; ``find_next_step`` replays it."""

    def __init__(self, settings: SearchSettings) -> None:
        self._settings = settings
        self._step = math.log1p(settings.precision)
        self._verdicts: dict[int, ProbeOutcome] = {}
        """By place on the grid."""

    def run(self) -> Generator[RateProbe, ProbeOutcome, SearchResult]:
        lowest = math.ceil(round(math.log(self._settings.lowest_per_s) / self._step, 6))
        octave = max(1, round(math.log(2) / self._step))
        start = max(lowest, round(math.log(self._settings.start_per_s) / self._step))
        passes: int | None = None
        ceiling: int | None = None
        while passes is None or ceiling is None or ceiling - passes > 1:
            if ceiling == lowest:
                return self._build_none_result(lowest)
            if len(self._verdicts) == self._settings.most_rates:
                return self._build_unfinished_result()
            if passes is None:
                place = start if ceiling is None else max(lowest, ceiling - octave)
            else:
                place = passes + octave if ceiling is None else (passes + ceiling) // 2
            self._verdicts[place] = yield from self._try_rate(place)
            if self._verdicts[place] == "pass":
                passes = place
            else:
                ceiling = place
        while True:
            outcomes = yield from self._confirm_rate(passes)
            self._verdicts[passes] = _majority_outcome(outcomes)
            if self._verdicts[passes] == "pass":
                return self._build_confirmed_result(passes, outcomes)
            if passes == lowest:
                return self._build_none_result(lowest)
            passes -= 1
            if passes not in self._verdicts and len(self._verdicts) == self._settings.most_rates:
                return self._build_unfinished_result()

    def _rate_at(self, place: int) -> float:
        return float(f"{math.exp(place * self._step):.4g}")

    def _try_rate(self, place: int) -> Generator[RateProbe, ProbeOutcome, ProbeOutcome]:
        """What two trials agree on, or two of three. Three that all differ did not pass twice."""
        probe = RateProbe(self._rate_at(place), "search")
        first = yield probe
        second = yield probe
        if first == second:
            return first
        third = yield probe
        return third if third in (first, second) else "fail"

    def _confirm_rate(self, place: int) -> Generator[RateProbe, ProbeOutcome, list[ProbeOutcome]]:
        """Of all confirming trials, or of so many that the others could not make it pass."""
        trials = self._settings.confirmations
        outcomes: list[ProbeOutcome] = []
        while len(outcomes) < trials and 2 * (len(outcomes) - outcomes.count("pass")) < trials:
            outcomes.append((yield RateProbe(self._rate_at(place), "confirm")))
        return outcomes

    def _build_confirmed_result(self, passes: int, outcomes: list[ProbeOutcome]) -> SearchResult:
        said = (
            f"{outcomes.count('pass')} of {len(outcomes)} fresh trials at {self._rate_at(passes):g} orders/s passed, "
            f"and at {self._rate_at(passes + 1):g} orders/s "
        )
        if self._verdicts[passes + 1] == "generator":
            said += "the load generator or the machine did not keep up: it is at least this"
            return self._done("generator-limited", said)
        return self._done("capacity", said + "most trials failed")

    def _build_none_result(self, lowest: int) -> SearchResult:
        who = "the load generator kept up" if self._verdicts[lowest] == "generator" else "the method passed"
        return self._done("none", f"at no rate down to {self._rate_at(lowest):g} orders/s {who}")

    def _build_unfinished_result(self) -> SearchResult:
        tried = len(self._verdicts)
        return self._done("unfinished", f"{tried} rates were tried without an end; start nearer to the capacity")

    def _done(self, answer: SearchAnswer, reason: str) -> SearchResult:
        """The first fail lies above the last pass, and the last pass below every rate that did not pass."""
        ceiling = min((place for place, verdict in self._verdicts.items() if verdict != "pass"), default=math.inf)
        passed = [place for place, verdict in self._verdicts.items() if verdict == "pass" and place < ceiling]
        failed = [place for place, verdict in self._verdicts.items() if verdict == "fail"]
        return SearchResult(
            self._rate_at(max(passed)) if passed else None,
            self._rate_at(min(failed)) if failed else None,
            answer,
            reason,
        )


def _majority_outcome(outcomes: list[ProbeOutcome]) -> ProbeOutcome:
    """Pass when more than half do; else what more of the others did, and fail when they are as many."""
    passed, failed = outcomes.count("pass"), outcomes.count("fail")
    if 2 * passed > len(outcomes):
        return "pass"
    return "fail" if 2 * failed >= len(outcomes) - passed else "generator"

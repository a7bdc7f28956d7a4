"""Follows a run in sets: which bank moderates it, what it tells after each set, and when it is over."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import count, islice
from pathlib import Path

import msgspec

from bench.profile.schema import Profile
from bench.report.formatting import format_number
from bench.report.wording import parse_estimate
from bench.results.analysis import summary_columns
from bench.results.banks import build_bank, describe_bank, find_bank, write_bank
from bench.results.set_tables import SetStatistics
from bench.results.store import RunFolder
from bench.stats.bank import MIN_BANK_SETS
from bench.stats.intervals import Estimate
from bench.stats.sets import MIN_SETS, half_width
from bench.stats.summary import YARDSTICK, compute_ratios

HEADLINE = "finish_p50_us"
"""The measure whose ratios have to be told."""


def estimate_headline_ratios(statistics: SetStatistics) -> tuple[str, Mapping[str, Estimate]]:
    """Return to what the headline ratios are, and each by its cell.

    They are to REST as in the summary; without another method beside it to the yardstick; else to the first cell. Empty
    with fewer than two cells.
    """
    columns = replace(summary_columns(), ratio_metrics=(HEADLINE,))
    if found := compute_ratios(statistics.trials, columns, statistics):
        bases = ", ".join(dict.fromkeys(ratio["base"] for ratio in found))
        return bases, {ratio["cell"]: parse_estimate(ratio["metrics"][HEADLINE]) for ratio in found}
    first, *others = sorted(statistics.cells, key=lambda cell: cell != YARDSTICK) or ("",)
    return first, {cell: statistics.ratio(HEADLINE, cell, first) for cell in others}


def format_ratio(ratio: Estimate) -> str:
    """Formats a ratio and its interval."""
    if ratio.value is None:
        return "no ratio"
    if ratio.low is None or ratio.high is None:
        return f"{format_number(ratio.value)} (no interval yet)"
    return f"{format_number(ratio.value)} ({format_number(ratio.low)} to {format_number(ratio.high)})"


class SetCourse:
    """The course of a run in sets. It finds the bank as it begins, and writes it to the manifest."""

    def __init__(
        self,
        kept: RunFolder,
        profile: Profile,
        say: Callable[[str], None],
        home: Path,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._kept = kept
        self._profile = profile
        self._say = say
        self._home = home
        self._clock = clock
        self._begun_s = self._last_s = clock()
        self._set_s = 0.0
        """How long the last set took."""
        self._widest = float("inf")
        self._measured = self._list_measured()
        if "bank" not in kept.manifest:
            found = find_bank(home)
            held = None if found is None else {"origin": found[0], "bank": msgspec.to_builtins(found[1])}
            kept.update_manifest(bank=held)
        own = f"this run's own, from {MIN_SETS} sets on"
        say(f"intervals: the scatter between sets is {describe_bank(kept.manifest) if kept.manifest['bank'] else own}")
        if self._measured:
            self._tell()

    def _list_measured(self) -> set[int]:
        return {int(set_) for set_ in self._kept.trials()["round"]}

    def begin(self) -> None:
        """Begins to count the time, once the brokers are warm."""
        self._begun_s = self._last_s = self._clock()

    def expect_sets(self, each_s: float) -> list[int]:
        """Return the numbers of the sets that are to be played: all that the run lacks, or what WITHIN has time for."""
        if not self._profile.until_told:
            return [set_ for set_ in range(1, self._profile.rounds + 1) if set_ not in self._measured]
        wanted = max(MIN_SETS - len(self._measured), int(self._profile.within_s // each_s), 1)
        return list(islice((set_ for set_ in count(1) if set_ not in self._measured), wanted))

    def list_sets(self, expected: list[int]) -> Iterator[int]:
        """Yields the set to play next, until the run is over; ``note_set`` has to follow each."""
        if not self._profile.until_told:
            yield from expected
            return
        while not self._is_over():
            yield next(set_ for set_ in count(1) if set_ not in self._measured)

    def _is_over(self) -> bool:
        """Whether the ratios are told, or another set would outlast WITHIN; never before the first four."""
        if len(self._measured) < MIN_SETS:
            return False
        return self._is_told() or self._clock() - self._begun_s + self._set_s > self._profile.within_s

    def note_set(self, set_: int) -> None:
        """Says what the sets so far tell."""
        now_s = self._clock()
        self._set_s, self._last_s = now_s - self._last_s, now_s
        self._measured |= {set_}
        self._tell()

    def end(self) -> None:
        """Says why the run is over, also in the manifest, and keeps the bank of an A/A run."""
        if self._profile.until_told:
            self._kept.update_manifest(ended=self._describe_end())
            self._say(self._describe_end())
        statistics = self._kept.set_statistics()
        if self._profile.arms == 2 and statistics is not None:
            bank = build_bank(self._kept.manifest, statistics)
            if bank is None:
                self._say(f"a bank of A/A sets takes {MIN_BANK_SETS} valid ones, there are {len(statistics.sets)}")
            else:
                self._say(f"this machine's own bank of {bank.sets} A/A sets is in {write_bank(self._home, bank)}")

    def _is_told(self) -> bool:
        return self._widest <= self._profile.tell

    def _tell(self) -> None:
        statistics = self._kept.set_statistics()
        if statistics is None:
            return
        base, ratios = estimate_headline_ratios(statistics)
        if not ratios:
            return
        # A cell that is not valid, or not yet, has no ratio: then not every ratio is told.
        has_all = len(statistics.cells) == statistics.trials["cell"].nunique()
        self._widest = max(map(half_width, ratios.values())) if has_all else float("inf")
        said = ", ".join(f"{cell} {format_ratio(ratio)}" for cell, ratio in ratios.items())
        ends = f"; the widest reaches {_percent(self._widest)} either way" if self._widest < float("inf") else ""
        self._say(f"sets: {len(self._measured)}; ratio of median completion to {base}: {said}{ends}")

    def _describe_end(self) -> str:
        sets, asked = len(self._measured), _percent(self._profile.tell)
        if self._is_told():
            return f"ended after {sets} sets: every ratio of median completion is known to {asked} either way"
        known = (
            "not every ratio has an interval"
            if self._widest == float("inf")
            else f"the widest interval reaches {_percent(self._widest)} either way"
        )
        over = f"ended after {sets} sets, when WITHIN ({self._profile.within_s:g} s) was over"
        return f"{over}: not every ratio of median completion is known to {asked} either way; {known}"


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %"

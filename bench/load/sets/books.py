"""Keeps the books of a set: what its load processes have told, whether or not they came to their end.

A load process plays the program from a place on. One that ends early is followed by another, which goes on behind the
last slice that was begun; what was sent in slices that nobody told of is lost to the audit of their arm.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from bench.load.protocol import DriverAudit, TrialReport
from bench.load.recorder import DriverRecord, PackedRecord, PackedTally
from bench.load.sets.merging import FirstBody, merge_slices
from bench.load.sets.plan import build_workload, find_warm_up_cell
from bench.load.sets.protocol import ArmReport, EndedSlice, SetNews, SetReport, SetSpec
from transports.tracing import Stamp

MOST_PROCESSES_ENDED = 2
"""By one arm in a set; then its slices end."""


@dataclass(slots=True)
class ArmBooks:
    """What is known of an arm, over all load processes of a set."""

    error: str | None = None
    """Why its slices ended, as a sentence."""
    warm_ups: list[PackedRecord] = field(default_factory=list)
    steady: bool = True
    facts: dict[str, str] = field(default_factory=dict)
    driver_priority: str = ""
    services_audit: dict[str, Any] | None = None
    """Of services that live in the load process."""
    stamps: list[Stamp] = field(default_factory=list)
    left_behind: int = 0
    """Orders of warm-ups that could not be cancelled."""
    lost_slices: int = 0
    lost_warm_up: bool = False
    lost_services: bool = False
    """Services lived in a load process that has ended."""
    ended_processes: int = 0

    @property
    def is_complete(self) -> bool:
        """Whether all orders that were sent to it are known."""
        return not self.lost_slices and not self.lost_warm_up and not self.lost_services


@dataclass(slots=True)
class _Part:
    """What one load process has told."""

    arms: dict[int, ArmReport] = field(default_factory=dict)
    begun: list[int] = field(default_factory=list)
    """Places, in order."""
    ended: set[int] = field(default_factory=set)


class SetBooks:
    """The books of one set. ``goes_on`` says whether another load process is to play the rest."""

    def __init__(self, spec: SetSpec) -> None:
        self.spec = spec
        self.first_ns = 0
        """When the set's first slice began, by the load process's clock."""
        self.arms = [ArmBooks() for _ in spec.arms]
        self.slices: list[EndedSlice] = []
        self.happened: list[str] = []
        """What a reader should know, in sentences without an end."""
        self.goes_on = True
        self.error: str | None = None
        """Why nothing could be played."""
        self.warm_up_s = self.played_s = self.drained_s = 0.0
        self.began_ns = self.ended_ns = 0
        self._from_place = 1
        self._processes = 0
        self._part = _Part()
        self._isolates = False
        """The next part has a load process for each arm, to find out which one ends it."""
        self._noted: set[int] = set()
        """Arms of which it was said that their slices ended."""

    def add(self, news: SetNews) -> list[EndedSlice]:
        """Enters what a load process has told; returns the whole slices among it."""
        for arm in news.arms:
            self._part.arms[arm.arm] = arm
        if news.next:
            self._part.begun.append(news.next)
        self._part.ended |= {one.report.place for one in news.slices}
        self.slices += news.slices
        self.first_ns = self.first_ns or news.first_ns
        return [one for one in news.slices if one.whole]

    def end_process(self, report: SetReport | None, why: str = "") -> None:
        """Enters that a load process has ended: with its report, or without one and why."""
        part, self._part = self._part, _Part()
        self._processes += 1
        for at, told in part.arms.items():
            self._enter_arm(self.arms[at], told)
        if report is not None:
            self.warm_up_s = max(self.warm_up_s, report.warm_up_s)
            self.played_s += report.played_s
            self.drained_s += report.drained_s
            self.began_ns, self.ended_ns = report.began_ns, report.ended_ns
            self.error = report.error
        if report is not None:
            blamed, again = self._find_left_behind(part), True
        elif part.begun:
            blamed, again = self._enter_lost_slices(part), True
        else:
            blamed, again = [], self._enter_lost_start(part, why)
        for at in blamed:
            self.arms[at].ended_processes += 1
            if self.arms[at].ended_processes >= MOST_PROCESSES_ENDED:
                self.arms[at].error = f"its orders ended {MOST_PROCESSES_ENDED} load processes, so its slices end here"
            self.happened.append(
                f"an order of {self._name_arm(at)} ended a load process: {why or 'it could not be cancelled'}"
            )
        self._from_place = max(part.begun) + 1 if part.begun else self._from_place
        remaining = any(self.arms[self._arm_of(place)].error is None for place in self._list_remaining())
        self.goes_on = remaining and again and (report is None or bool(blamed))
        self._note_ended_arms()

    def count_finished(self) -> dict[str, int]:
        """Counts the orders that finished by cell; those of an arm's warm-up are in its first cell."""
        found = {cell.name: 0 for cell in self.spec.cells}
        for at, arm in enumerate(self.arms):
            found[find_warm_up_cell(self.spec.cells, at).name] += sum(one.all["finished"] for one in arm.warm_ups)
        for one in self.slices:
            found[self.spec.cells[one.report.cell].name] += one.report.lead_in_finished + one.report.finished
        return found

    def build_rest(self) -> SetSpec:
        """Builds the program of the next load process."""
        isolated = len(self.spec.arms) if self._isolates else self.spec.processes
        arms = tuple(
            msgspec.structs.replace(
                arm,
                process=at if self._isolates else arm.process,
                left_out=books.error or "",
                prefix=f"{arm.prefix}p{self._processes}" if self._processes else arm.prefix,
            )
            for at, (arm, books) in enumerate(zip(self.spec.arms, self.arms, strict=True))
        )
        number = f"p{self._processes}" if self._processes else ""
        return msgspec.structs.replace(
            self.spec, id=f"{self.spec.id}{number}", arms=arms, processes=isolated, from_place=self._from_place
        )

    def merge_cell(self, at: int) -> TrialReport:
        """Merges the slices of a cell into the report of its row."""
        spec, cell = self.spec, self.spec.cells[at]
        arm = self.arms[cell.arm]
        due = sum(one.cell == at for one in spec.slices)
        whole = merge_slices(f"{spec.id}c{at}", spec, [one for one in self._find_whole() if one.report.cell == at], due)
        whole.error = self.error or arm.error
        whole.audit = self.build_audit(cell.arm)
        whole.left_behind += arm.left_behind
        whole.services_audit, whole.stamps = arm.services_audit, arm.stamps
        whole.facts, whole.driver_priority = dict(arm.facts), arm.driver_priority
        whole.warm_up_s, whole.steady = self.warm_up_s, arm.steady
        whole.began_ns, whole.ended_ns = self.began_ns, self.ended_ns
        whole.unexpected += sum(record.sums["unexpected"] for record in arm.warm_ups)
        body = FirstBody.of(build_workload(spec, cell, cell.prefix), spec.arms[cell.arm].setting.codec)
        whole.payload_bytes, whole.gzip_share = body.size_bytes, body.gzip_share
        return whole

    def build_audit(self, arm: int) -> DriverAudit:
        """Adds up all orders that were sent to an arm: of its warm-ups, and of slices that were stopped too."""
        everything = DriverRecord()
        for record in self.arms[arm].warm_ups:
            everything.add(DriverRecord.unpack(record))
        for one in self.slices:
            if self.spec.cells[one.report.cell].arm == arm:
                everything.add(DriverRecord.unpack(one.record))
        every = everything.all
        return DriverAudit(
            sent=every.sent,
            failed=every.failed,
            unfinished=every.unfinished,
            shipped=PackedTally.of(everything.shipped),
            rejected=PackedTally.of(everything.rejected),
        )

    def _note_ended_arms(self) -> None:
        for at, arm in enumerate(self.arms):
            if arm.error is not None and at not in self._noted:
                self._noted.add(at)
                played = sum(self.spec.cells[one.report.cell].arm == at for one in self.slices)
                due = sum(self.spec.cells[one.cell].arm == at for one in self.spec.slices)
                self.happened.append(f"{self._name_arm(at)} ended after {played} of {due} slices")

    def _find_whole(self) -> list[EndedSlice]:
        """In the order in which they were played: one that left orders in flight is told later."""
        return sorted((one for one in self.slices if one.whole), key=lambda one: one.report.place)

    def _arm_of(self, place: int) -> int:
        return self.spec.cells[self.spec.slices[place - 1].cell].arm

    def _name_arm(self, at: int) -> str:
        return next(cell.name for cell in self.spec.cells if cell.arm == at)

    def _list_remaining(self) -> Sequence[int]:
        return range(self._from_place, len(self.spec.slices) + 1)

    def _enter_arm(self, books: ArmBooks, told: ArmReport) -> None:
        books.error = told.error or books.error
        if told.warm_up is not None:
            books.warm_ups.append(told.warm_up)
        books.steady = books.steady and told.steady
        books.facts = told.facts
        books.driver_priority = told.driver_priority
        books.left_behind += told.left_behind
        if books.services_audit is not None:
            books.lost_services = True
        books.services_audit, books.stamps = told.services_audit, told.stamps

    def _find_left_behind(self, part: _Part) -> list[int]:
        """Arms whose orders could not be cancelled, where slices remain."""
        ended = [one for one in self.slices if one.report.place in part.ended and one.left_behind]
        found = [self.spec.cells[one.report.cell].arm for one in ended]
        return list(dict.fromkeys([*found, *(at for at, told in part.arms.items() if told.left_behind)]))

    def _enter_lost_slices(self, part: _Part) -> list[int]:
        """Enters what was lost in slices; returns the arm whose turn it was."""
        for place in set(part.begun) - part.ended:
            self.arms[self._arm_of(place)].lost_slices += 1
        return [self._arm_of(max(part.begun))]

    def _enter_lost_start(self, part: _Part, why: str) -> bool:
        """Enters a loss before the first slice; returns whether another load process is of use.

        Whoever has not told that it is warm may have ended it. Where these are several, the next part tells them apart.
        """
        silent = []
        for at, arm in enumerate(self.arms):
            told = part.arms.get(at)
            if arm.error is None and (told is None or (told.warm_up is None and self.spec.warm_up_s)):
                silent.append(at)
                arm.lost_warm_up = arm.lost_warm_up or told is not None
        if self._isolates or len(silent) == 1:
            for at in silent:
                self.arms[at].error = f"its client ended a load process before its first slice: {why}"
        self._isolates = not self._isolates and len(silent) > 1
        if not silent:
            self.error = why
        return bool(silent)

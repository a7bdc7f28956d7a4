"""Merges the slices of a cell in a set into one report, from which its row of trials.csv is built.

Every rate and mean is computed from sums over the windows, so what holds in each window holds over all of them.
"""

import gzip
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from bench.load.merging import merge_extra
from bench.load.protocol import MachineUsage, PartUsage, SliceTotals, TrialReport
from bench.load.recorder import DriverRecord
from bench.load.sets.protocol import EndedSlice, SetSpec, SliceUsage
from bench.load.workload.orders import Workload
from transports.wire import load_codec


@dataclass(frozen=True, slots=True)
class FirstBody:
    """The first order's body, as the codec makes it."""

    size_bytes: int
    gzip_share: float

    @classmethod
    def of(cls, workload: Workload, codec: str) -> "FirstBody":
        body = load_codec(codec).encode(workload.order(0))
        return cls(len(body), len(gzip.compress(body, 6)) / len(body))


def merge_slices(trial: str, spec: SetSpec, slices: Sequence[EndedSlice], due: int) -> TrialReport:
    """Merges the slices of one cell, of which ``due`` were planned.

    Without any, the report says that nothing was planned.
    """
    whole = DriverRecord()
    for one in slices:
        whole.add(DriverRecord.unpack(one.record))
    # The mean over the slices, part by part: a backlog that grows in each slice shows, as it does in a window.
    whole.in_flight_parts = [total / len(slices) for total in whole.in_flight_parts]
    digest = hashlib.sha256("".join(one.plan_hash for one in slices).encode()).hexdigest()
    report = TrialReport.of(trial, 0, whole, digest if slices else "")
    report.extra = merge_extra(
        [TrialReport(trial=trial, finished=one.report.finished, extra=one.record.extra) for one in slices]
    )
    usage = [one.usage for one in slices]
    report.driver_cpu_ns = sum(used.driver_cpu_ns for used in usage)
    report.costs = _sum_parts(usage)
    report.machine = _sum_machines(used.machine for used in usage)
    carried = [used.wire_bytes for used in usage if used.wire_bytes is not None]
    report.wire_bytes = sum(carried) if slices and len(carried) == len(slices) else None
    report.connections_closed = sum(used.connections_closed for used in usage)
    report.duplicated = sum(one.duplicated for one in slices)
    report.left_behind = sum(one.left_behind for one in slices)
    if slices:
        told = [one.report for one in slices]
        lead_in_us = [us for one in slices for us in one.lead_in_us]
        report.opened_epoch_ms = told[0].opened_epoch_ms
        report.totals = SliceTotals(
            slices=len(slices),
            due=due,
            lead_in_s=spec.lead_in_s,
            lead_in_p50_us=median(lead_in_us) if lead_in_us else None,
            costed_orders=sum(one.costed_orders for one in told),
            costed_s=0.0 if report.machine is None else report.machine.duration_s,
            idle_cpu_ns=sum(used.idle_cpu_ns for used in usage),
            left=sum(one.left > 0 for one in told),
            company=sum(one.company for one in told),
        )
    return report


def _sum_parts(usage: Sequence[SliceUsage]) -> dict[str, PartUsage]:
    """By part; the peak of memory is since the first slice, so the last one has it."""
    found = {}
    for part in dict.fromkeys(part for used in usage for part in used.parts):
        every = [used.parts[part] for used in usage if part in used.parts]
        found[part] = PartUsage(
            cpu_ns=sum(one.cpu_ns for one in every),
            peak_rss_mib=max(one.peak_rss_mib for one in every),
            context_switches=sum(one.context_switches for one in every),
            died=tuple(dict.fromkeys(pid for one in every for pid in one.died)),
        )
    return found


def _sum_machines(machines: Iterable[MachineUsage | None]) -> MachineUsage | None:
    known = [machine for machine in machines if machine is not None]
    if not known:
        return None
    return MachineUsage(
        duration_s=sum(machine.duration_s for machine in known),
        busy_s=sum(machine.busy_s for machine in known),
        steal_s=sum(machine.steal_s for machine in known),
    )

"""Merges the reports of a trial's load processes into one, each measure as its table says."""

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from bench.load.protocol import DriverAudit, TrialReport
from bench.load.recorder import Histogram, PackedTally
from bench.results.measures import Merge, histogram_names, merged_measures

WRAPPING_SUMS = ("order_ids", "contents")
"""Of a tally, sums of hashes, which wrap at 64 bits."""
Values = Sequence[Any]
"""Of one measure, a value of each load process."""
_FIELDS = frozenset(TrialReport.__struct_fields__)


def merge_reports(reports: Sequence[TrialReport]) -> TrialReport:
    """Merges the reports of all workers into one. ``reports`` is not empty."""
    if len(reports) == 1:
        return msgspec.structs.replace(reports[0], worker=None)
    ordered = sorted(reports, key=lambda report: report.worker or 0)
    whole = TrialReport(
        trial=ordered[0].trial,
        workers=len(ordered),
        error=next((report.error for report in ordered if report.error), None),
        histograms={
            name: Histogram.unpack([report.histograms[name] for report in ordered if name in report.histograms]).pack()
            for name in histogram_names()
        },
    )
    for spec in merged_measures():
        if spec.merge == "histogram":
            continue
        if spec.name in _FIELDS:
            values = [read_measure(report, spec.name) for report in ordered]
            setattr(whole, spec.name, _MERGES[spec.merge](values, ordered))
    whole.extra = merge_extra(ordered)
    return whole


def merge_extra(reports: Sequence[TrialReport]) -> dict[str, Any]:
    """Merges the measures that have no field of their own, each over the reports that have it, as its table says."""
    found = {}
    for spec in merged_measures():
        having = [report for report in reports if spec.name in report.extra]
        if having and spec.name not in _FIELDS and spec.merge != "histogram":
            found[spec.name] = _MERGES[spec.merge]([report.extra[spec.name] for report in having], having)
    return found


def read_measure(report: TrialReport, name: str) -> Any:
    """Returns the value of a measure of the table; None where this process has none."""
    return getattr(report, name) if name in _FIELDS else report.extra.get(name)


def _find_observer(reports: Sequence[TrialReport]) -> int:
    """Every worker on this machine saw the same processes; those on others saw none."""
    return next((at for at, report in enumerate(reports) if report.costs), 0)


def _weigh_by_finished(values: Values, reports: Sequence[TrialReport]) -> float | None:
    finished = sum(report.finished for report in reports)
    if not finished:
        return None
    weighted = zip(values, reports, strict=True)
    return float(sum((value or 0.0) * report.finished for value, report in weighted)) / finished


def sum_driver_audits(audits: Sequence[DriverAudit]) -> DriverAudit:
    """Adds up what drivers counted on the same services."""
    return DriverAudit(
        sent=sum(audit.sent for audit in audits),
        failed=sum(audit.failed for audit in audits),
        unfinished=sum(audit.unfinished for audit in audits),
        shipped=sum((audit.shipped for audit in audits), PackedTally()),
        rejected=sum((audit.rejected for audit in audits), PackedTally()),
    )


def sum_audits(parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Adds up the services' audits, number by number; sums of hashes wrap at 64 bits."""
    total: dict[str, Any] = {}
    for part in parts:
        for name, value in part.items():
            if isinstance(value, dict):
                total[name] = sum_audits([total.get(name, {}), value])
            else:
                number = total.get(name, 0) + value
                total[name] = number % 2**64 if name in WRAPPING_SUMS else number
    return total


_MERGES: Mapping[Merge, Callable[[Values, Sequence[TrialReport]], Any]] = {
    "sum": lambda values, _: sum(values),
    "min": lambda values, _: min(values),
    "max": lambda values, _: max(values),
    "mean": _weigh_by_finished,
    "first": lambda values, _: values[0],
    "all": lambda values, _: all(values),
    "words": lambda values, _: ", ".join(sorted(set(values))),
    "counts": lambda values, _: dict(sum(map(Counter, values), Counter())),
    "parts": lambda values, _: [sum(of_part) for of_part in zip(*values, strict=False)],
    "list": lambda values, _: [item for value in values for item in value],
    "digest": lambda values, _: hashlib.sha256("".join(values).encode()).hexdigest() if all(values) else "",
    "observer": lambda values, reports: values[_find_observer(reports)],
    "audit": lambda values, _: sum_driver_audits(values),
    "services_audit": lambda values, _: None if None in values else sum_audits(values),
}

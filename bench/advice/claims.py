"""Pros and cons: what the data show of each method, and what it promises, each statement with where it comes from."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from posixpath import normpath
from typing import Literal

from bench.advice.evidence import HEADLINE, Capacity, Evidence, Place, Point, evidence, method_of
from bench.advice.promises import promises
from bench.advice.question import Question, asked
from bench.advice.views import KIB, View, size_said, views
from bench.files import ResultsError
from bench.report.numbers import digits
from bench.report.style import title
from bench.stats.fit import line
from bench.stats.intervals import Estimate, median_of
from bench.stats.mover import ratio_of
from bench.stats.practical import Verdict, verdict
from bench.store import Run

Kind = Literal["pro", "con"]
MEASURES: Mapping[str, tuple[str, str, str, float]] = {
    HEADLINE: ("completes sooner", "completes later", "ms", 1000.0),
    "accept_p50_us": ("accepts sooner", "accepts later", "ms", 1000.0),
    "finish_p99_us": ("has a shorter p99 of completion", "has a longer p99 of completion", "ms", 1000.0),
    "cpu_us_per_order": ("takes less CPU for an order", "takes more CPU for an order", "us", 1.0),
    "wire_bytes_per_order": ("puts fewer bytes on the wire", "puts more bytes on the wire", "bytes", 1.0),
}
"""How less and more of a metric is said, its unit, and how many of its own units that is."""
SIZES = 3
"""The fewest through which a line over sizes is drawn, and claimed."""
LATENCIES = (HEADLINE, "accept_p50_us")


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A statement about a method. ``source`` is a file below the run, or the test that shows a promise."""

    method: str
    kind: Kind
    subject: str
    """What it is about: a metric, a fault, ``capacity``, ``a KiB more``, or a word of a promise."""
    text: str
    source: str
    run: str = ""
    """Empty for what is promised and not measured."""
    estimate: Estimate | None = None
    """The number that the text says, in the unit that it says; None for a promise and for a capacity."""

    @property
    def where(self) -> str:
        """The source for a reader: the run's name goes before a file of it."""
        return normpath(f"{self.run}/{self.source}") if self.run else self.source


def claims(folders: Mapping[str, Path]) -> tuple[list[Claim], list[str]]:
    """Of every method in these runs; and what could not be used, a sentence each.

    A difference is claimed where the whole interval of the ratio lies beyond the band of no practical difference, to at
    least one other method, and no other method lies beyond it on the other side. Raises ResultsError when no run can
    be read.
    """
    found = evidence(folders)
    names = {method: title(method, transport) for method, transport in found.transports.items()}
    said = [*_compared(found, names), *_carried(found.capacities, names), *_of_sizes(found, names)]
    for run, folder in folders.items():
        try:
            said += _of_outages(run, folder, names)
        except ResultsError as error:
            found.left_out.append(str(error))
    for method, transport in found.transports.items():
        said += [
            Claim(method=method, kind=kind, subject=subject, text=text, source=source)
            for kind, subject, text, source in promises(transport)
        ]
    said = [replace(one, source=_kept(folders[one.run], one.source)) if one.run else one for one in said]
    order = {method: number for number, method in enumerate(found.methods)}
    said.sort(key=lambda claim: (order.get(claim.method, len(order)), claim.kind != "pro"))
    return said, list(dict.fromkeys(found.left_out))


def _kept(folder: Path, source: str) -> str:
    """Charts of runs that are kept stand with the report over all of them."""
    together = f"../report/charts/{folder.name}-{Path(source).name}"
    return source if (folder / source).is_file() or not (folder / together).is_file() else together


def _compared(found: Evidence, names: Mapping[str, str]) -> Iterator[Claim]:
    """At what `make bench` measures; and in bursts, where the question is what becomes of latency."""
    usual = asked({})
    for question, metrics in ((usual, tuple(MEASURES)), *((one, LATENCIES) for one in _in_bursts(found, usual))):
        near = [view for view in views(question, found) if "burst" in view.honoured]
        if near:
            yield from _in_view(near[0], metrics, names)


def _in_bursts(found: Evidence, usual: Question) -> Iterator[Question]:
    measured = {(point.place.burst, point.place.rate_per_s) for point in found.points if point.place.burst > 1}
    for burst, rate_per_s in sorted(measured):
        yield asked({"BURST": f"{burst:g}", "RATE": f"{rate_per_s:g}", "SHAPE": usual.shape})


def _in_view(view: View, metrics: Sequence[str], names: Mapping[str, str]) -> Iterator[Claim]:
    place = view.place
    bursts = f", in bursts of {place.burst:g} times that" if place.burst > 1 else ""
    where = f"at {place.rate_per_s:g}/s of {size_said(place.size_bytes / KIB)}{bursts}"
    for metric in metrics:
        for method, row in view.rows.items():
            ratios = {other: view.ratio(metric, method, other) for other in view.rows if other != method}
            if claimed := _side(ratios):
                kind, others = claimed
                less, more, unit, scale = MEASURES[metric]
                own = _scaled(row.metrics[metric], 1 / scale)
                yield Claim(
                    method=method,
                    kind=kind,
                    subject=metric,
                    text=f"{less if kind == 'pro' else more} {where}: {_number(own, unit)}, {_times(others, names)}",
                    source=_chart(metric, place.burst),
                    run=view.run,
                    estimate=own,
                )


def _side(ratios: Mapping[str, Estimate]) -> tuple[Kind, Mapping[str, Estimate]] | None:
    """Less than some others is a pro and more a con, where it is not both; with the ratios to those others."""
    sides = {other: verdict(ratio) for other, ratio in ratios.items()}
    less, more = ([o for o, found in sides.items() if found is one] for one in (Verdict.LESS, Verdict.MORE))
    if bool(less) == bool(more):
        return None
    return ("pro", {o: ratios[o] for o in less}) if less else ("con", {o: ratios[o] for o in more})


def _chart(metric: str, burst: float) -> str:
    if burst > 1:
        return "charts/effects.csv" if metric != "finish_p99_us" else "trials.csv"
    return (
        "charts/latency.csv" if metric.endswith("_us") and metric in MEASURES and "cpu" not in metric else "trials.csv"
    )


def _carried(capacities: Sequence[Capacity], names: Mapping[str, str]) -> Iterator[Claim]:
    """The highest rate, between the last that passed and the first that did not, which are its interval."""
    for one in capacities:
        others = [other for other in capacities if other.run == one.run and other.method != one.method]
        under = f"with p99 of completion under {digits(one.slo_p99_ms)} ms"
        ends = f"{digits(one.last_pass_per_s)}/s passed {under}"
        if one.first_fail_per_s is not None:
            ends += f", {digits(one.first_fail_per_s)}/s did not"
        above = [o for o in others if o.first_fail_per_s is not None and one.last_pass_per_s > o.first_fail_per_s]
        below = [o for o in others if one.first_fail_per_s is not None and one.first_fail_per_s < o.last_pass_per_s]
        for kind, word, than in (("pro", "more", above), ("con", "less", below)):
            if than and len(than) == len(others):
                listed = ", ".join(f"{names[o.method]} ({digits(o.last_pass_per_s)}/s)" for o in than)
                yield Claim(
                    method=one.method,
                    kind="pro" if kind == "pro" else "con",
                    subject="capacity",
                    text=f"carries {word} than {listed}: in {one.codec} {ends}",
                    source="capacity.csv",
                    run=one.run,
                )


def _of_sizes(found: Evidence, names: Mapping[str, str]) -> Iterator[Claim]:
    """What a KiB more adds to completion: the slopes of methods in the same run, format and shape, and at one rate."""
    groups: dict[tuple[str, Place, str], dict[str, list[Point]]] = {}
    for point in found.points:
        like = (point.run, replace(point.place, size_bytes=0), point.codec)
        groups.setdefault(like, {}).setdefault(point.method, []).append(point)
    for (run, place, codec), by_method in groups.items():
        slopes = {method: slope for method, mine in by_method.items() if (slope := _slope(mine)).value}
        for method, own in slopes.items():
            claimed = _side({other: ratio_of(own, slope) for other, slope in slopes.items() if other != method})
            if claimed:
                kind, others = claimed
                where = f"{codec}, {place.shape}, at {place.rate_per_s:g}/s"
                yield Claim(
                    method=method,
                    kind=kind,
                    subject="a KiB more",
                    text=f"a KiB more ({where}) adds {_number(own, 'us')} to completion, {_times(others, names)}",
                    source="charts/size.csv",
                    run=run,
                    estimate=own,
                )


def _slope(points: Sequence[Point]) -> Estimate:
    """Microseconds a KiB; nothing for fewer sizes than a line is drawn through."""
    if len(points) < SIZES:
        return Estimate(None, None, None, None, len(points), "too few sizes")
    values = [
        (point.place.size_bytes / KIB, value, round_)
        for point in points
        for round_, value in point.trials[HEADLINE].dropna().items()
    ]
    places, numbers, rounds = zip(*values, strict=True)
    return line(places, numbers, rounds).slope


def _of_outages(run: str, folder: Path, names: Mapping[str, str]) -> Iterator[Claim]:
    """Which orders failed or were lost while a part was away: trial by trial, since orders of one share its luck."""
    kept = Run.open(folder)
    outages, trials = kept.outages(), kept.trials()
    outages = outages[(outages["fault"] != "step") & outages["valid"]]
    if outages.empty:
        return
    bad = outages["failed"] + outages["unfinished"]
    outages = outages.assign(bad=bad, share=bad / outages["planned"], method=outages["cell"].map(method_of))
    # Durability classes are not set against each other.
    classes = outages["cell"].map(trials.drop_duplicates("cell").set_index("cell")["durability"])
    for (fault, _), of_fault in outages.groupby(["fault", classes], sort=False):
        for cell, rows in of_fault.groupby("cell", sort=False):
            method = str(rows["method"].iloc[0])
            others = of_fault[of_fault["method"] != method]
            if method not in names or (others.empty and not rows["bad"].any()):
                continue
            count, planned, share = int(rows["bad"].sum()), int(rows["planned"].sum()), median_of(rows["share"] * 100)
            how = f"{_outage(str(fault))} ({cell}), {rows['round'].nunique()} trials"
            if count:
                text = f"{count:,} of {planned:,} orders failed or did not finish with {how}: {_of_trial(share)}"
                yield _claim(method, "con", str(fault), text, run, share)
            elif others["bad"].any():
                text = f"none of {planned:,} orders failed with {how}, where other methods' did"
                yield _claim(method, "pro", str(fault), text, run, share)
            if lost := int(rows["lost"].sum()):
                lost_share = median_of(rows["lost"] / rows["planned"] * 100)
                text = f"{lost:,} of {planned:,} accepted orders were lost with {how}: {_of_trial(lost_share)}"
                yield _claim(method, "con", f"{fault}, lost", text, run, lost_share)


def _claim(method: str, kind: Kind, subject: str, text: str, run: str, estimate: Estimate) -> Claim:
    return Claim(method=method, kind=kind, subject=subject, text=text, source="outages.csv", run=run, estimate=estimate)


def _outage(fault: str) -> str:
    action, _, part = fault.partition("-")
    return f"{part} {_ACTIONS.get(action, action)}"


_ACTIONS = {"stop": "stopped", "kill": "killed", "cut": "cut off", "delay": "delayed"}


def _scaled(estimate: Estimate, factor: float) -> Estimate:
    value, low, high = (
        None if number is None else number * factor for number in (estimate.value, estimate.low, estimate.high)
    )
    return Estimate(value, low, high, estimate.coverage, estimate.n, estimate.reason)


def _number(estimate: Estimate, unit: str) -> str:
    if estimate.value is None:
        return "n/a"
    value = f"{digits(estimate.value)} {unit}"
    if estimate.low is None or estimate.high is None:
        return f"{value} (no interval)"
    return f"{value} ({digits(estimate.low)} to {digits(estimate.high)})"


def _of_trial(percent: Estimate) -> str:
    return f"{_number(percent, '%')} of a trial's"


def _times(ratios: Mapping[str, Estimate], names: Mapping[str, str]) -> str:
    return ", ".join(
        f"{digits(ratio.value or 0)} times {names.get(other, other)}'s "
        f"({digits(ratio.low or 0)} to {digits(ratio.high or 0)})"
        for other, ratio in ratios.items()
    )

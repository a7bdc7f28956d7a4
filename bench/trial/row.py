"""Builds the row of trials.csv from the outcome of a trial: counts, percentiles, costs, validity."""

import math
import os
from collections.abc import Iterator
from typing import Any

from hdrh.histogram import HdrHistogram

from bench.load.merging import read_measure
from bench.load.protocol import TrialReport
from bench.profile.schema import CellSettings
from bench.results import caveats
from bench.results.caveats import Caveat
from bench.results.histograms import Percentiles, compute_percentiles, empty_histogram
from bench.results.measures import DEAD_LETTERS, latency_names, merged_measures
from bench.results.rows import TrialRow
from bench.stats.littles_law import littles_law_error
from bench.trial import validity
from bench.trial.outcome import TrialOutcome
from bench.trial.timer_artifacts import find_timer_artifacts
from transports.dead_letters import REASONS

MAX_LEAD_IN_SLOWER = 1.25
"""The most by which the median of lead-ins may exceed that of windows."""
MAX_LEFT_SHARE = 0.5
"""The most of a cell's slices after which orders may still be in flight when the next one is due."""


MAX_SLICE_UTILISATION = 0.7
"""The most of the machine for a cell in slices: above it queues take longer than a slice to come to their length."""


def decode_histogram(report: TrialReport, name: str) -> HdrHistogram:
    """Decodes one of the report's histograms; empty when it has none of this name."""
    packed = report.histograms.get(name)
    return empty_histogram() if packed is None else HdrHistogram.decode(packed.hdr)


def count_censored(report: TrialReport) -> dict[str, int]:
    """Returns, by histogram, the number of orders without such a latency, which count as slower than all others."""
    unaccepted, unfinished = report.planned - report.accepted, report.planned - report.finished
    return {
        "accept": unaccepted,
        "finish": unfinished,
        "finish_service": unfinished,
        "accept_service": unaccepted,
        "lateness": report.not_sent,
    }


def _compute_percentiles(report: TrialReport, series: str) -> Percentiles:
    return compute_percentiles(decode_histogram(report, series), count_censored(report).get(series, 0))


def build_health(outcome: TrialOutcome, *, steady: bool = True, keeps_up: bool = True) -> validity.Health:
    """Builds the figures from which a trial's validity is judged.

    ``steady`` says that the arrival rate does not vary. ``keeps_up`` is False where a fault took a part away, so that
    the rate is not demanded.
    """
    report = outcome.report
    if not report.planned or not report.window_s:
        return validity.Health(cpu_slowdown=outcome.cpu_slowdown)
    machine, used = report.machine, report.driver_cpu_ns + sum(part.cpu_ns for part in report.costs.values())
    totals = report.totals
    windows, costed_s, idle_cpu_ns = (
        (1, report.window_s, 0) if totals is None else (totals.slices, totals.costed_s, totals.idle_cpu_ns)
    )
    submit_s, accept_s = report.submit_mean_s or 0.0, report.accept_mean_s or 0.0
    if _is_lead_in_short(report):
        # Its windows open before orders are as slow as they get: that fewer end in one than come says nothing.
        keeps_up = steady = False
    return validity.Health(
        achieved_share=report.achieved_per_s * report.window_s / report.planned,
        ended_share=_compute_ended_share(report) if keeps_up else None,
        edge_share=3 * math.sqrt(2 * report.in_flight_mean * windows) / report.planned,
        lateness_p50_us=_compute_percentiles(report, "lateness").p50_us,
        response_p99_us=_compute_percentiles(report, "finish").p99_us,
        service_p99_us=_compute_percentiles(report, "finish_service").p99_us,
        gap=validity.run_gap_test(*(report.histogram(name).counts() for name in ("gap_sent", "gap_planned"))),
        driver_share=report.driver_cpu_ns / 1e9 / costed_s / report.workers if costed_s else None,
        littles_law_error=littles_law_error(report.in_flight_mean, report.in_flight_by_instants)
        if report.in_flight_by_instants
        else None,
        littles_law_gap_us=(report.in_flight_mean - report.in_flight_by_instants)
        * report.window_s
        / max(1, report.finished)
        * 1e6,
        acceptance_error=(submit_s - accept_s) / submit_s if submit_s else None,
        acceptance_gap_us=(submit_s - accept_s) * 1e6,
        trend=validity.fit_response_trend(report.response_logs_by_part, report.finished_by_part) if steady else None,
        # That a queue grows in a slice, which begins empty, does not say that it would grow for ever.
        backlog_grew=steady and totals is None and validity.has_backlog_grown(report.in_flight_parts, report.planned),
        steal_share=None if machine is None else machine.steal_s / machine.duration_s / (os.cpu_count() or 1),
        background_cores=None
        if machine is None or not outcome.knows_all_processes
        else (machine.busy_s - (used + idle_cpu_ns) / 1e9) / machine.duration_s,
        cpu_slowdown=outcome.cpu_slowdown,
    )


def _is_lead_in_short(report: TrialReport) -> bool:
    """Whether half of the orders took more than half of their lead-in, so that a slice is not level."""
    if report.totals is None:
        return False
    p50_us = _compute_percentiles(report, "finish").p50_us
    return p50_us is not None and report.totals.lead_in_s * 1e6 / 2 < p50_us < math.inf


def _find_slice_doubts(report: TrialReport) -> Iterator[Caveat]:
    """Yields why slices are no measure of this cell."""
    if (totals := report.totals) is None:
        return
    if _is_lead_in_short(report):
        yield caveats.lead_in_short(totals.lead_in_s, _compute_percentiles(report, "finish").p50_us or 0.0)
    elif validity.has_backlog_grown(report.in_flight_parts, report.planned / totals.slices):
        yield caveats.slices_not_level()
    if totals.slices < totals.due:
        yield caveats.slices_missing(totals.slices, totals.due)
    if totals.left > totals.slices * MAX_LEFT_SHARE:
        yield caveats.slices_left(totals.left, totals.slices)


def estimate_utilisation(report: TrialReport, cores: int) -> float | None:
    """Estimates which share of all cores a cell needs while its orders come; None where no cost is known.

    It is the CPU of an order, of all parts and the driver, times the rate, over the cores.
    """
    costs = [us for name, us in _compute_costs(report).items() if name.startswith("cpu_us_per_order_") and us]
    if not costs or not report.window_s:
        return None
    return sum(costs) / 1e6 * report.planned / report.window_s / cores


def _compute_ended_share(report: TrialReport) -> float | None:
    """Orders that ended while the window was open, over those that ever did or were not sent; None if none did.

    In an overload most of the planned orders end after the window, as long as they are waited for.
    """
    ever = report.planned - report.unfinished
    return (report.achieved_per_s * report.window_s + report.failed) / ever if ever else None


def build_trial_row(cell: CellSettings, round_: int, slot: int, outcome: TrialOutcome) -> TrialRow:
    """Builds the row of a trial from all that was seen of it."""
    profile, report = cell.profile, outcome.report
    whole = profile.fault is None
    health = build_health(outcome, steady=whole and profile.arrivals in ("poisson", "constant"), keeps_up=whole)
    broken = list(_find_broken(cell, outcome))
    missing = report.failed or report.unfinished or report.not_sent
    endless = [caveats.incomplete(report.failed, report.unfinished + report.not_sent)] if missing else []
    unhealthy = [*validity.find_invalidating_caveats(health), *_find_slice_doubts(report)]
    if outcome.set_trend is not None:
        unhealthy.append(caveats.set_trend(outcome.set_trend))
    there = not broken and report.planned > 0
    return TrialRow(
        round=round_,
        slot=slot,
        cell=cell.name,
        transport=cell.transport,
        settings=cell.columns(),
        measures=_collect_measures(cell, outcome, health),
        complete=there and not endless,
        valid=there and not unhealthy,
        caveats=(*broken, *endless, *unhealthy, *_find_remarks(cell, outcome, health)),
    )


def _find_broken(cell: CellSettings, outcome: TrialOutcome) -> Iterator[Caveat]:
    """Yields doubts with which the trial says nothing about its method, or its numbers are wrong."""
    report = outcome.report
    on_server = cell.profile.store == "postgres" and cell.profile.durability == "fast"
    lost = on_server and bool(outcome.store_refusals)
    problems = (caveats.audit_mismatch(text, database_was_lost=lost) for text in outcome.audit_problems)
    seen = [*outcome.doubts, *problems]
    yield from seen
    if report.error:
        yield caveats.trial_failed(cell.name, report.error)
    elif not report.planned and not seen:
        yield caveats.no_orders(cell.profile.offered_per_s(cell.rate_per_s), report.window_s)
    if report.unexpected:
        yield caveats.audit_mismatch(f"{report.unexpected:,} outcomes were not the planned ones")


def _find_remarks(cell: CellSettings, outcome: TrialOutcome, health: validity.Health) -> Iterator[Caveat]:
    """Yields what a reader should know about a trial that may be valid."""
    report = outcome.report
    yield from outcome.remarks
    if report.totals is not None and (used := estimate_utilisation(report, os.cpu_count() or 1) or 0.0) > (
        MAX_SLICE_UTILISATION
    ):
        yield caveats.slice_over_utilisation(used, MAX_SLICE_UTILISATION)
    if (totals := report.totals) is not None and totals.lead_in_p50_us is not None:
        p50_us = _compute_percentiles(report, "finish").p50_us or math.inf
        if totals.lead_in_p50_us > MAX_LEAD_IN_SLOWER * p50_us:
            yield caveats.lead_in_slow(totals.lead_in_p50_us / p50_us)
    yield from find_timer_artifacts(
        report.histogram("finish").counts(),
        needs=cell.kind.traits.needs,
        # By chance far fewer orders may be planned in a window than the rate would have in it.
        offered_per_s=report.planned / report.window_s if report.window_s else 0.0,
        achieved_per_s=report.achieved_per_s,
    )
    if report.left_behind:
        yield caveats.orders_left_behind(report.left_behind)
    if cell.profile.fault is None and any(outcome.dead_letters.values()):
        yield caveats.dead_letters(outcome.dead_letters)
    if outcome.store_refusals:
        yield caveats.store_refused(outcome.store_refusals)
    if outcome.half_done:
        yield caveats.half_done(outcome.half_done)
    if report.planned and outcome.unwatched:
        yield caveats.background_unknown(outcome.unwatched)
    if not report.steady:
        yield caveats.not_steady(report.warm_up_s)
    if (totals := report.totals) is not None and 0 < max(totals.left, totals.company) <= (
        totals.slices * MAX_LEFT_SHARE
    ):
        yield caveats.slices_marked(totals.left, totals.company, totals.slices)
    yield from validity.find_remarks(health)
    if outcome.clock_mismatch:
        yield caveats.clocks_differ(outcome.clock_mismatch)
    if report.planned and outcome.counts_wire:
        yield from caveats.check_wire_count(report.wire_bytes, report.connections_closed)


_ONLY_WITH_ORDERS = ("gzip_share", "warm_up_s", "in_flight_mean")
"""Measures that a trial without orders does not have."""


def _collect_measures(cell: CellSettings, outcome: TrialOutcome, health: validity.Health) -> dict[str, Any]:
    """Every measure of the table that has a column, by name: what was reported, and what is computed from it."""
    report = outcome.report
    found = {
        spec.name: read_measure(report, spec.name)
        for spec in merged_measures()
        if spec.column and spec.merge != "histogram"
    }
    found |= {name: _compute_percentiles(report, name) for name in latency_names()}
    if not report.planned:
        found |= dict.fromkeys(_ONLY_WITH_ORDERS)
    return {
        **found,
        **_compute_costs(report),
        "offered_per_s": cell.profile.offered_per_s(cell.rate_per_s),
        "duration_s": report.window_s,
        "failures": format_failures(report),
        "lost": outcome.lost,
        **{f"{DEAD_LETTERS}{reason}": outcome.dead_letters.get(reason) for reason in REASONS},
        "ready_s": outcome.ready_s,
        "negotiated_cipher": outcome.cipher,
        "achieved_share": health.achieved_share,
        "lateness_in_p99": health.lateness_in_p99,
        "driver_share": health.driver_share,
        "gap_distance": None if health.gap is None else health.gap.distance,
        "gap_threshold": None if health.gap is None else health.gap.threshold,
        "littles_law_error": health.littles_law_error,
        "acceptance_error": health.acceptance_error,
        "response_trend": health.response_trend,
        "steal_share": health.steal_share,
        "background_cores": health.background_cores,
        "cpu_slowdown": health.cpu_slowdown,
    }


def format_failures(report: TrialReport) -> str:
    """Formats the failed orders by the error's name, as ``NoOutcome:3;Unreachable:120``."""
    return ";".join(f"{name}:{count}" for name, count in sorted(report.failures.items()))


def _compute_costs(report: TrialReport) -> dict[str, float | None]:
    """What an order cost, as far as it is known: what was used in the window, over the orders that finished in it.

    Of slices it is over lead-ins and windows together.
    """
    orders = report.achieved_per_s * report.window_s if report.totals is None else report.totals.costed_orders
    parts = {part: spent for part, spent in report.costs.items() if not spent.died}
    found: dict[str, float | None] = {f"rss_mib_{part}": spent.peak_rss_mib for part, spent in parts.items()}
    if not orders:
        return found
    found |= {f"cpu_us_per_order_{part}": spent.cpu_ns / 1e3 / orders for part, spent in parts.items()}
    found["cpu_us_per_order_driver"] = report.driver_cpu_ns / 1e3 / orders
    if "services" in parts:
        found["context_switches_per_order"] = parts["services"].context_switches / orders
    # Of orders that finished none is without bytes: then all connections had come and gone unseen.
    found["wire_bytes_per_order"] = report.wire_bytes / orders if report.wire_bytes else None
    return found

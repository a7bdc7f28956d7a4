"""Builds the row of trials.csv from a load report: counts, percentiles, costs, validity."""

import math
import os
from collections.abc import Sequence

from hdrh.histogram import HdrHistogram

from bench.load.protocol import TrialReport
from bench.profile.schema import CellSettings
from bench.results import caveats
from bench.results.caveats import Caveat
from bench.results.histograms import Percentiles, compute_percentiles, empty_histogram
from bench.results.rows import TrialRow
from bench.stats.little import littles_law_error
from bench.trial import validity
from bench.trial.timer_artifacts import find_timer_artifacts


def decode_histogram(report: TrialReport, name: str) -> HdrHistogram:
    """Decodes one of the report's histograms; empty when it has none of this name."""
    packed = report.histograms.get(name)
    return empty_histogram() if packed is None else HdrHistogram.decode(packed.hdr)


def count_censored(report: TrialReport) -> dict[str, int]:
    """Returns by histogram how many orders have no such latency and count as slower than all that have."""
    unfinished = report.planned - report.finished
    return {
        "accept": report.planned - report.accepted,
        "finish": unfinished,
        "finish_service": unfinished,
        "accept_service": report.planned - report.accepted,
        "lateness": report.not_sent,
    }


def _compute_percentiles(report: TrialReport, series: str) -> Percentiles:
    return compute_percentiles(decode_histogram(report, series), count_censored(report)[series])


def build_health(
    report: TrialReport, slowness: float | None, *, steady: bool = True, alone: bool = True, keeps_up: bool = True
) -> validity.Health:
    """Builds the figures from which a trial's validity is judged.

    ``slowness`` is the speed probe's ratio; ``steady`` says that the arrival rate does not vary. ``alone``: see
    ``build_trial_row``. ``keeps_up`` is False where a fault took a part away, so that the rate is not demanded.
    """
    if not report.planned or not report.window_s:
        return validity.Health(slowness=slowness)
    machine, used = report.machine, report.driver_cpu_ns + sum(part.cpu_ns for part in report.costs.values())
    cores = os.cpu_count() or 1
    return validity.Health(
        achieved_share=report.achieved_per_s * report.window_s / report.planned,
        ended_share=_compute_ended_share(report) if keeps_up else None,
        edge_share=3 * math.sqrt(2 * report.in_flight_mean) / report.planned,
        lateness_p50_us=_compute_percentiles(report, "lateness").p50_us,
        response_p99_us=_compute_percentiles(report, "finish").p99_us,
        service_p99_us=_compute_percentiles(report, "finish_service").p99_us,
        gap=validity.run_gap_test(*(report.histogram(name).counts() for name in ("gap_sent", "gap_planned"))),
        driver_share=report.driver_cpu_ns / 1e9 / report.window_s / report.workers,
        little=littles_law_error(report.in_flight_mean, report.in_flight_by_instants)
        if report.in_flight_by_instants
        else None,
        backlog_grew=steady and validity.has_backlog_grown(report.in_flight_slices, report.planned),
        steal_share=None if machine is None else machine.steal_s / machine.duration_s / cores,
        others_cores=None if machine is None or not alone else (machine.busy_s - used / 1e9) / machine.duration_s,
        slowness=slowness,
    )


def _compute_ended_share(report: TrialReport) -> float | None:
    """Orders that ended while the window was open, over those that ever did or were not sent; None if none did.

    In an overload most of the planned orders end after the window, as long as they are waited for.
    """
    ever = report.planned - report.unfinished
    return (report.achieved_per_s * report.window_s + report.failed) / ever if ever else None


def build_trial_row(
    cell: CellSettings,
    round_: int,
    slot: int,
    report: TrialReport,
    doubts: Sequence[Caveat],
    lost: int | None = None,
    slowness: float | None = None,
    *,
    alone: bool = True,
) -> TrialRow:
    """Builds the row of a trial; ``profile`` is the run's as it is in that cell, ``doubts`` make the trial invalid.

    ``alone``: every process that serves the trial is known, so that all other CPU is background load.
    """
    profile = cell.profile
    broken = list(doubts)
    if report.error:
        broken.append(Caveat("failed", f"{cell.name}: {report.error}", "read the logs in the run's folder"))
    elif not report.planned and not broken:
        broken.append(caveats.no_orders(profile.offered_per_s(cell.rate_per_s), report.window_s))
    if report.unexpected:
        broken.append(caveats.audit_mismatch(f"{report.unexpected:,} outcomes were not the planned ones"))
    missing = report.failed or report.unfinished or report.not_sent
    endless = [caveats.incomplete(report.failed, report.unfinished + report.not_sent)] if missing else []
    whole = profile.fault is None
    steady = whole and profile.arrivals in ("poisson", "constant")
    health = build_health(report, slowness, steady=steady, alone=alone, keeps_up=whole)
    unhealthy = validity.find_invalidating_caveats(health)
    hints = find_timer_artifacts(
        report.histogram("finish").counts(),
        needs=cell.kind.traits.needs,
        offered_per_s=profile.offered_per_s(cell.rate_per_s),
        achieved_per_s=report.achieved_per_s,
    )
    if not report.steady:
        hints.append(caveats.not_steady(report.warm_up_s))
    hints.extend(validity.find_remarks(health))
    # What was used between the edges of the window went into what finished between them.
    orders = report.achieved_per_s * report.window_s
    parts = {part: spent for part, spent in report.costs.items() if not spent.died}

    def per_order(part: str) -> float | None:
        return parts[part].cpu_ns / 1e3 / orders if part in parts and orders else None

    wire = report.wire_bytes
    return TrialRow(
        round=round_,
        slot=slot,
        cell=cell.name,
        transport=cell.transport,
        **cell.columns(),
        payload_bytes=report.payload_bytes,
        gzip_share=report.gzip_share if report.planned else None,
        plan_hash=report.plan_hash,
        offered_per_s=profile.offered_per_s(cell.rate_per_s),
        achieved_per_s=report.achieved_per_s,
        duration_s=report.window_s,
        planned=report.planned,
        not_sent=report.not_sent,
        sent=report.sent,
        accepted=report.accepted,
        finished=report.finished,
        failed=report.failed,
        unfinished=report.unfinished,
        failures=";".join(f"{name}:{count}" for name, count in sorted(report.failures.items())),
        lost=lost,
        duplicated=report.duplicated,
        shipped=report.shipped,
        rejected=report.rejected,
        accept=_compute_percentiles(report, "accept"),
        finish=_compute_percentiles(report, "finish"),
        finish_service=_compute_percentiles(report, "finish_service"),
        accept_service=_compute_percentiles(report, "accept_service"),
        lateness=_compute_percentiles(report, "lateness"),
        cpu_us_per_order_services=per_order("services"),
        cpu_us_per_order_broker=per_order("broker"),
        cpu_us_per_order_driver=report.driver_cpu_ns / 1e3 / orders if orders else None,
        rss_mib_services=parts["services"].peak_rss_mib if "services" in parts else None,
        rss_mib_broker=parts["broker"].peak_rss_mib if "broker" in parts else None,
        # Of orders that finished none is without bytes: then all connections had come and gone unseen.
        wire_bytes_per_order=wire / orders if wire and orders else None,
        context_switches_per_order=parts["services"].context_switches / orders
        if "services" in parts and orders
        else None,
        warm_up_s=report.warm_up_s if report.planned else None,
        in_flight_mean=report.in_flight_mean if report.planned else None,
        opened_epoch_ms=report.opened_epoch_ms,
        achieved_share=health.achieved_share,
        lateness_in_p99=health.lateness_in_p99,
        driver_share=health.driver_share,
        gap_distance=None if health.gap is None else health.gap.distance,
        gap_threshold=None if health.gap is None else health.gap.threshold,
        little=health.little,
        steal_share=health.steal_share,
        others_cores=health.others_cores,
        slowness=health.slowness,
        complete=not broken and not endless and report.planned > 0,
        valid=not broken and not unhealthy and report.planned > 0,
        caveats=tuple(broken + endless + unhealthy + hints),
    )

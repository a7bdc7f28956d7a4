"""Draws every chart that a run has data for, in the order of the page."""

from collections.abc import Iterator

from bench.errors import ResultsError
from bench.report.charts import capacity_curve as curve
from bench.report.charts import effects, hops, ratios, timeline
from bench.report.charts import factor_levels as levels
from bench.report.charts import latency as figures
from bench.report.charts import percentile_spectrum as spectrum
from bench.report.charts import recovery_heatmap as heat
from bench.report.charts import resources as costs
from bench.report.charts import trials as strip
from bench.report.charts.chart import Chart
from bench.report.run_view import RunView

LEADING_CHARTS = (curve.NAME, ratios.NAME)
"""Those that answer the question which is faster, and which carries more."""


def draw_charts(reading: RunView) -> Iterator[Chart]:
    """Yields every chart that the run has data for; each is drawn when it is asked for."""
    trials, summary, in_sets = reading.trials, reading.summary, reading.in_sets
    if trials.empty:
        return
    yield from curve.draw_charts(trials, reading.capacities, in_sets=in_sets)
    yield from ratios.draw_charts(summary["ratios"], in_sets=in_sets)
    yield from levels.draw_charts(trials, in_sets=in_sets)
    yield from levels.draw_connection_charts(reading.cold)
    yield from figures.draw_charts(trials, reading.manifest, reading.statistics, in_sets=in_sets)
    yield from _draw_spectrum(reading)
    yield from effects.draw_charts(trials, reading.effects)
    yield from heat.draw_charts(list(timeline.compute_timelines(reading.timeline)))
    yield from timeline.draw_charts(reading.timeline, summary.get("outages", []))
    yield from hops.draw_charts(reading.hops, reading.transports, in_sets=in_sets)
    yield from costs.draw_charts(summary["cells"], reading.products, in_sets=in_sets)
    yield from strip.draw_charts(trials, in_sets=in_sets)


def _draw_spectrum(reading: RunView) -> Iterator[Chart]:
    try:
        yield from spectrum.draw_charts(
            reading.trials, reading.run.histograms(spectrum.SERIES), in_sets=reading.in_sets
        )
    except ResultsError:
        return  # a run that is kept without its histograms has no spectrum

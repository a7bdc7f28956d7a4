"""The charts of a run, in the order in which a page has them."""

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
from bench.report.run_view import Reading

LEADING = (curve.NAME, ratios.NAME)
"""Those that answer the question which is faster, and which carries more."""


def charts(reading: Reading) -> Iterator[Chart]:
    """Everything that the run has the data for; each is drawn when it is asked for."""
    trials, summary = reading.trials, reading.summary
    if trials.empty:
        return
    yield from curve.charts(trials, reading.capacities)
    yield from ratios.charts(summary["ratios"])
    yield from levels.charts(trials)
    yield from levels.cold_charts(reading.cold)
    yield from figures.charts(trials, reading.manifest)
    yield from _spectrum(reading)
    yield from effects.charts(trials, reading.effects)
    yield from heat.charts(list(timeline.lines(reading.timeline)))
    yield from timeline.charts(reading.timeline, summary.get("outages", []))
    yield from hops.charts(reading.hops, reading.transports)
    yield from costs.charts(summary["cells"], reading.products)
    yield from strip.charts(trials)


def _spectrum(reading: Reading) -> Iterator[Chart]:
    try:
        yield from spectrum.charts(reading.trials, reading.run.histograms(spectrum.SERIES))
    except ResultsError:
        return  # a run that is kept without its histograms has no spectrum

"""Compares charts with the images in tests/golden, and finds overlapping text.

Draw the images anew with `python -m tests.unit.report.test_chart_looks`, after looking at every difference.
"""

import io
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import matplotlib as mpl
import pandas as pd
import pytest
from matplotlib.testing.compare import compare_images
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from bench.paths import REFERENCE, ROOT
from bench.report import style
from bench.report.charts import all as gallery
from bench.report.charts import recovery_heatmap as heat
from bench.report.charts import timeline
from bench.report.charts.chart import Chart
from bench.report.run_view import read_run_view
from bench.results.rows import HopRow
from tests.unit.builders import CELLS, build_run, build_trial
from tests.unit.report.edge_cases import EDGE_CASES
from tests.unit.report.test_factor_levels import secured
from tests.unit.report.test_study_charts import OUTAGES, a_design, a_timeline
from tests.unit.trial.test_connections import a_run as a_cold_run

pytestmark = pytest.mark.slow

GOLDEN = ROOT / "tests" / "golden"
DPI, TOLERANCE = 60, 3.0


def made_up(root: Path) -> Iterator[Chart]:
    """A chart of every family, from made-up data."""
    run = build_run(root, skipped={"broker:other": "it was left out"})
    for cell in CELLS:
        steps = [
            HopRow(
                number=number, service=service, message=f"m{number}", part=part, n=5, mean_us=number * 100.0, p50_us=1.0
            )
            for number, (service, part) in enumerate(
                (("user", "transfer"), ("user", "wait"), ("product", "transfer"), ("product", "handle")), 1
            )
        ]
        trial = build_trial(round=7, cell=cell, transport=CELLS[cell][0], wire_bytes_per_order=9000.0)
        run.add_trial(trial, {}, steps)
    yield from gallery.draw_charts(read_run_view(run.path))
    from bench.report.charts import capacity_curve as curve  # noqa: PLC0415
    from bench.report.charts import effects  # noqa: PLC0415
    from bench.report.charts import factor_levels as levels  # noqa: PLC0415
    from bench.results.analysis import compute_design_effects as effects_of  # noqa: PLC0415

    design = a_design()
    yield from effects.draw_charts(design, effects_of(design))
    yield from levels.draw_charts(secured(root / "secured").trials())
    yield from levels.draw_connection_charts(a_cold_run(root / "cold").cold_starts())
    capacities = pd.DataFrame(
        [
            {"cell": name, "transport": name, "last_pass_per_s": per_s, "slo_p99_ms": "100"}
            for name, per_s in (("rest", "900"), ("grpc", "640"), ("broker", "500"), ("events", ""))
        ]
    )
    many = EDGE_CASES["sixty cells"][0](root / "many")
    yield from curve.draw_charts(many.trials(), capacities)
    yield from heat.draw_charts(list(timeline.compute_timelines(a_timeline())))
    yield from timeline.draw_charts(a_timeline(), OUTAGES)


@pytest.fixture(scope="module")
def charts(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Chart]:
    return {chart.name: chart for chart in made_up(tmp_path_factory.mktemp("results"))}


NAMES = (
    *("curve", "ratios", "latency", "spectrum", "effects", "size", "security", "cold"),
    *("recovery", "outage", "hops", "costs", "trials"),
)


@pytest.mark.parametrize("name", NAMES)
def test_a_chart_looks_as_it_is_kept(charts: Mapping[str, Chart], tmp_path: Path, name: str) -> None:
    with mpl.rc_context(style.RC_PARAMS):
        charts[name].figure.savefig(tmp_path / f"{name}.png", dpi=DPI, metadata={"Software": None})
    assert compare_images(str(GOLDEN / f"{name}.png"), str(tmp_path / f"{name}.png"), TOLERANCE) is None


def overlaps(chart: Chart) -> list[tuple[str, str]]:
    """Pairs of texts that lie on one another by more than a pixel at 100 to the inch, and texts that are cut off."""
    noted: dict[int, tuple[str, Bbox]] = {}  # a figure that is saved is drawn twice
    plain = Text.draw

    def noting(text: Text, renderer: object) -> None:
        if text.get_visible() and text.get_text().strip():
            noted[id(text)] = text.get_text(), Text.get_window_extent(text, renderer)  # type: ignore[arg-type]
        plain(text, renderer)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patched, mpl.rc_context(style.RC_PARAMS):
        chart.figure.draw_without_rendering()
        patched.setattr(Text, "draw", noting)
        chart.figure.savefig(io.BytesIO(), format="png", dpi=100)
    drawn, whole = list(noted.values()), chart.figure.bbox
    found = [
        (one, "the edge")
        for one, box in drawn
        if box.x0 < whole.x0 - 1 or box.x1 > whole.x1 + 1 or box.y1 > whole.y1 + 1
    ]
    for at, (one, box) in enumerate(drawn):
        for other, beside in drawn[at + 1 :]:
            wide = min(box.x1, beside.x1) - max(box.x0, beside.x0)
            high = min(box.y1, beside.y1) - max(box.y0, beside.y0)
            if wide > 1 and high > 1:
                found.append((one, other))
    return found


@pytest.mark.parametrize("name", NAMES)
def test_no_text_of_a_chart_lies_on_another(charts: Mapping[str, Chart], name: str) -> None:
    assert overlaps(charts[name]) == []


@pytest.mark.reference
@pytest.mark.parametrize("run", ["capacity", "size", "outage"])
def test_no_text_of_a_chart_that_is_kept_lies_on_another(run: str) -> None:
    found = {
        chart.name: lying for chart in gallery.draw_charts(read_run_view(REFERENCE / run)) if (lying := overlaps(chart))
    }
    assert found == {}


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder, mpl.rc_context(style.RC_PARAMS):
        for made in made_up(Path(folder)):
            if made.name in NAMES:
                made.figure.savefig(GOLDEN / f"{made.name}.png", dpi=DPI, metadata={"Software": None})

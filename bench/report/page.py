"""Writes report.html and report.md: findings, charts, caveats, how to repeat them."""

import base64
import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from bench.report.charts import all as gallery
from bench.report.charts import capacity_curve as curve
from bench.report.charts import factor_levels as levels
from bench.report.charts import latency as figures
from bench.report.charts.chart import Chart
from bench.report.findings import build_findings, describe_machines
from bench.report.ground import RunFacts, describe_ground
from bench.report.run_view import RunView
from bench.report.summary import HEADINGS, SummaryRow, build_summary_rows
from bench.report.svg import StyleSheet
from bench.report.traced_numbers import Sentence
from bench.report.wording import describe_sets
from bench.results.caveats import CaveatGroup, group_caveats
from bench.results.repeats import describe_middle, name_repeat

MAX_OPEN_ROWS = 12
"""The most rows of a summary that are open; more are folded."""
MAX_SENTENCES = 8
"""The most open sentences in a part of the answer."""
MAX_TABLE_ROWS = 60
"""The most rows of a chart's table on the page; more are in the CSV alone."""
MAX_SVG_CHARACTERS = 150_000
"""The most characters of a chart drawn in the page; a larger one is in its file alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PageChart:
    """A chart of the page. ``svg`` is None for one that is only linked as a file."""

    chart: Chart
    svg: Markup | None

    @property
    def table(self) -> Sequence[Sequence[object]]:
        return self.chart.rows if len(self.chart.rows) <= MAX_TABLE_ROWS else ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSection:
    """A run's part of the page: its rows of the summary table and its charts."""

    reading: RunView
    rows: Sequence[SummaryRow]
    leading: Sequence[PageChart]
    drawn: Sequence[PageChart]

    @property
    def charts(self) -> Iterator[Chart]:
        yield from (one.chart for one in (*self.leading, *self.drawn))

    @property
    def of_sets(self) -> list[str]:
        """Sentences on the intervals of a run in sets; none of whole trials."""
        return describe_sets(self.reading.summary, self.reading.manifest)

    @property
    def made_at(self) -> str:
        """The seed and the commit that the run was measured with, as text."""
        manifest = self.reading.manifest
        git = manifest.get("git") or {}
        differed = ", from which the tree differed" if git.get("dirty") else ""
        return f"seed {manifest.get('seed', 'not noted')}, at commit {git.get('commit', 'not noted')}{differed}"

    @property
    def doubts(self) -> list[CaveatGroup]:
        """The caveats of the run, one of each kind: the worst one, with the trials that have it."""
        reading = [CaveatGroup(caveat, ()) for caveat in self.reading.doubts]
        return [*reading, *group_caveats(self.reading.manifest.get("caveats", []))]


@dataclass(frozen=True, slots=True, kw_only=True)
class PageContent:
    """The sections of all runs, and the CSS rules that their charts share."""

    sections: Sequence[RunSection]
    rules: Markup


def draw_sections(readings: Sequence[RunView], folder: Path) -> PageContent:
    """Writes the charts of all runs to ``folder``/charts and returns what the page shows of them. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    sheet = StyleSheet()
    sections = [_draw_section(reading, folder, len(readings) > 1, sheet) for reading in readings]
    return PageContent(sections=sections, rules=sheet.rules)


def write_page(
    readings: Sequence[RunView],
    folder: Path,
    *,
    drawing: PageContent | None = None,
    chooser: Markup | None = None,
    claims: Markup | None = None,
    script: str = "",
) -> Path:
    """Writes report.html, report.md and charts/ to ``folder`` and returns the path of report.html.

    ``drawing`` is what ``draw_sections`` returned for these runs; without it the charts are drawn here. ``claims`` are
    the pros and cons of each method and ``chooser`` the form that picks one, both as HTML; ``script`` filters the
    form's table, and without it the whole table is shown. Raises OSError.
    """
    drawing = draw_sections(readings, folder) if drawing is None else drawing
    sections = drawing.sections
    leading = [one for section in sections for one in section.leading]
    leading.sort(key=lambda one: not one.chart.name.endswith(curve.NAME))
    context: dict[str, Any] = {
        "face": describe_machines(readings),
        "ground": describe_ground([RunFacts(reading.name, reading.manifest, reading.trials) for reading in readings]),
        "story": build_findings(readings),
        "sections": sections,
        "rules": drawing.rules,
        "headings": HEADINGS,
        "has_curve": any(one.chart.name.endswith(curve.NAME) for one in leading),
        "leading": leading,
        "several": len(readings) > 1,
        "has_trials": any(not reading.in_sets for reading in readings),
        "has_sets": any(reading.in_sets for reading in readings),
        "middles": " or ".join(_list_middles(readings)),
        "rounds": " or ".join(_list_round_names(readings)),
        "command": _page_command(readings, folder),
        "chooser": _strip_indentation(chooser),
        "claims": _strip_indentation(claims),
        "script": Markup(script),
        "script_hash": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() if script else "",
        "most_open": MAX_OPEN_ROWS,
        "most_said": MAX_SENTENCES,
    }
    for name in ("report.html", "report.md"):
        content = _template_environment(name).get_template(f"{name}.j2").render(context)
        (folder / name).write_text(content, "utf-8")
    return folder / "report.html"


def _list_middles(readings: Sequence[RunView]) -> list[str]:
    """Returns what cells' numbers are, for instance "medians over trials", each once."""
    return list(dict.fromkeys(describe_middle(in_sets=reading.in_sets).lower() for reading in readings))


def _list_round_names(readings: Sequence[RunView]) -> list[str]:
    """Returns what the runs repeat, "rounds" or "sets", each once."""
    return list(dict.fromkeys(f"{name_repeat('round', in_sets=reading.in_sets)}s" for reading in readings))


def _strip_indentation(part: Markup | None) -> Markup | None:
    """Returns the part without the indentation of its lines."""
    return None if part is None else Markup(re.sub(r"\n\s+", "\n", part))


def _page_command(readings: Sequence[RunView], folder: Path) -> str:
    """Returns the make command that writes this page again from the same folder."""
    runs = ",".join(_relative_path(reading.run.path) for reading in readings)
    out = f" OUT={_relative_path(folder)}" if len(readings) > 1 else ""
    return f"make report RUN={runs}{out}"


def _relative_path(path: Path) -> str:
    """Returns the path from here when it lies below; else the name alone, to hide the machine's folders."""
    here, there = Path.cwd(), path.resolve()
    return str(there.relative_to(here)) if there.is_relative_to(here) else there.name


def _draw_section(reading: RunView, folder: Path, several: bool, sheet: StyleSheet) -> RunSection:
    leading: list[PageChart] = []
    drawn: list[PageChart] = []
    names: set[str] = set()
    for chart in gallery.draw_charts(reading):
        leads = chart.name in gallery.LEADING_CHARTS
        named = chart.of(reading.name) if several else chart
        svg = named.save(folder / "charts")
        # Among several runs, one that has a curve, or levels of a factor, need not have all of them as bars as well.
        told = several and chart.name == figures.NAME and bool(names & {curve.NAME, *levels.LEVEL_CHARTS})
        names.add(chart.name)
        one = PageChart(chart=named, svg=sheet.embed(svg) if len(svg) <= MAX_SVG_CHARACTERS and not told else None)
        (leading if leads else drawn).append(one)
    return RunSection(reading=reading, rows=tuple(build_summary_rows(reading)), leading=leading, drawn=drawn)


def _template_environment(name: str) -> Environment:
    found = Environment(
        loader=PackageLoader("bench.report"),
        autoescape=name.endswith(".html"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    found.filters |= {"plain": format_setting, "cell": escape_table_cell}
    return found


def format_setting(value: object) -> str:
    """Formats a setting in full, as a person would write it; used as a template filter."""
    match value:
        case bool():
            return "yes" if value else "no"
        case None:
            return "none"
        case float():
            return f"{value:g}"
        case Mapping():
            return "; ".join(f"{key} {format_setting(one)}" for key, one in value.items()) or "none"
        case list() | tuple() if not isinstance(value, Sentence):
            return ", ".join(map(format_setting, value)) or "none"
        case _:
            return str(value)


def escape_table_cell(value: object) -> str:
    """Returns the text for a cell of a Markdown table: on one line, with its bars escaped."""
    return " ".join(str(value).split()).replace("|", "\\|")

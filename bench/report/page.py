"""report.html and report.md: what was found, how sure it is, what it was measured with, and how to do it again."""

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
from bench.report.findings import face, story
from bench.report.run_view import Reading
from bench.report.summary import HEADINGS, Row, rows
from bench.report.svg import Sheet
from bench.report.traced_numbers import Sentence
from bench.results.caveats import Caveat

MOST_OPEN = 12
"""Rows of a summary that are seen at once; more are folded."""
MOST_SAID = 8
"""Sentences of a part of the answer that are seen at once."""
MOST_TABLE = 60
"""Rows of a chart that the page has as a table; more are in the CSV alone."""
MOST_SVG = 150_000
"""Letters of a chart that is drawn in the page; a larger one is in its file alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """A chart as the page has it; no ``svg`` for one that is in its file alone."""

    chart: Chart
    svg: Markup | None

    @property
    def table(self) -> Sequence[Sequence[object]]:
        return self.chart.rows if len(self.chart.rows) <= MOST_TABLE else ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """What the page says of a run."""

    reading: Reading
    rows: Sequence[Row]
    leading: Sequence[Drawn]
    drawn: Sequence[Drawn]

    @property
    def charts(self) -> Iterator[Chart]:
        yield from (one.chart for one in (*self.leading, *self.drawn))

    @property
    def made_at(self) -> str:
        """With which seed, and from which commit."""
        manifest = self.reading.manifest
        git = manifest.get("git") or {}
        differed = ", from which the tree differed" if git.get("dirty") else ""
        return f"seed {manifest.get('seed', 'not noted')}, at commit {git.get('commit', 'not noted')}{differed}"

    @property
    def doubts(self) -> Iterator[tuple[Caveat, Sequence[str]]]:
        """Each doubt of a kind once, in the words of its first trial, with the trials that it touches."""
        touched: dict[str, tuple[Caveat, list[str]]] = {}
        for entry in self.reading.manifest.get("caveats", []):
            caveat = Caveat(entry["name"], entry["text"], entry["next_step"])
            _, trials = touched.setdefault(caveat.name, (caveat, []))
            if entry.get("trial"):
                trials.append(str(entry["trial"]))
        for caveat in self.reading.doubts:
            yield caveat, ()
        yield from touched.values()


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """What the page says of each run, and the style that its charts share."""

    sections: Sequence[Section]
    rules: Markup


def draw(readings: Sequence[Reading], folder: Path) -> Drawing:
    """Write charts/ to ``folder``. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    sheet = Sheet()
    sections = [_section(reading, folder, len(readings) > 1, sheet) for reading in readings]
    return Drawing(sections=sections, rules=sheet.rules)


def write(
    readings: Sequence[Reading],
    folder: Path,
    *,
    drawing: Drawing | None = None,
    chooser: Markup | None = None,
    claims: Markup | None = None,
    script: str = "",
) -> Path:
    """Draw everything and write report.html, report.md and charts/ to ``folder``; where the page is.

    ``drawing`` is what ``draw`` has made of these readings, which else is done here. ``claims`` are the pros and cons
    of each method and ``chooser`` the form that picks one, as HTML; ``script`` is what the form needs, without which it
    shows everything. Raises OSError.
    """
    drawing = draw(readings, folder) if drawing is None else drawing
    sections = drawing.sections
    leading = [one for section in sections for one in section.leading]
    leading.sort(key=lambda one: not one.chart.name.endswith(curve.NAME))
    context: dict[str, Any] = {
        "face": face(readings),
        "story": story(readings),
        "sections": sections,
        "rules": drawing.rules,
        "headings": HEADINGS,
        "has_curve": any(one.chart.name.endswith(curve.NAME) for one in leading),
        "leading": leading,
        "several": len(readings) > 1,
        "command": _command(readings, folder),
        "chooser": _tight(chooser),
        "claims": _tight(claims),
        "script": Markup(script),
        "script_hash": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() if script else "",
        "most_open": MOST_OPEN,
        "most_said": MOST_SAID,
    }
    for name in ("report.html", "report.md"):
        content = _environment(name).get_template(f"{name}.j2").render(context)
        (folder / name).write_text(content, "utf-8")
    return folder / "report.html"


def _tight(part: Markup | None) -> Markup | None:
    """Without what indents its lines."""
    return None if part is None else Markup(re.sub(r"\n\s+", "\n", part))


def _command(readings: Sequence[Reading], folder: Path) -> str:
    """That makes this page, in the folder in which it was made."""
    runs = ",".join(_near(reading.run.path) for reading in readings)
    out = f" OUT={_near(folder)}" if len(readings) > 1 else ""
    return f"make report RUN={runs}{out}"


def _near(path: Path) -> str:
    """From here, as far as it is below; else its name, since a page says nothing of the machine's other folders."""
    here, there = Path.cwd(), path.resolve()
    return str(there.relative_to(here)) if there.is_relative_to(here) else there.name


def _section(reading: Reading, folder: Path, several: bool, sheet: Sheet) -> Section:
    leading: list[Drawn] = []
    drawn: list[Drawn] = []
    names: set[str] = set()
    for chart in gallery.charts(reading):
        leads = chart.name in gallery.LEADING
        named = chart.of(reading.name) if several else chart
        svg = named.save(folder / "charts")
        # Among several runs, one that has a curve, or levels of a factor, need not have all of them as bars as well.
        told = several and chart.name == figures.NAME and bool(names & {curve.NAME, *levels.FACTORS})
        names.add(chart.name)
        one = Drawn(chart=named, svg=sheet.themed(svg) if len(svg) <= MOST_SVG and not told else None)
        (leading if leads else drawn).append(one)
    return Section(reading=reading, rows=tuple(rows(reading)), leading=leading, drawn=drawn)


def _environment(name: str) -> Environment:
    found = Environment(
        loader=PackageLoader("bench.report"),
        autoescape=name.endswith(".html"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    found.filters |= {"plain": plain, "cell": cell}
    return found


def plain(value: object) -> str:
    """A setting in full, as a person would write it."""
    match value:
        case bool():
            return "yes" if value else "no"
        case None:
            return "none"
        case float():
            return f"{value:g}"
        case Mapping():
            return "; ".join(f"{key} {plain(one)}" for key, one in value.items()) or "none"
        case list() | tuple() if not isinstance(value, Sentence):
            return ", ".join(map(plain, value)) or "none"
        case _:
            return str(value)


def cell(value: object) -> str:
    """Of a table in Markdown, in which a bar would begin the next one."""
    return " ".join(str(value).split()).replace("|", "\\|")

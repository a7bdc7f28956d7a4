"""Tests that minified SVG is smaller and looks the same."""

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from bench.report.charts import ratios
from bench.report.charts.latency import draw_charts
from bench.report.svg import THEME, StyleSheet
from tests.unit.builders import build_run

Element = tuple[str, str, str]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Two charts, as they stand in their files."""
    run = build_run(tmp_path_factory.mktemp("results"), rounds=2)
    drawn = [*draw_charts(run.trials(), run.manifest), *ratios.draw_charts(run.summary()["ratios"])]
    return [chart.save(Path(run.path) / "charts") for chart in drawn]


def drawn(svg: str, rules: str = "") -> list[Element]:
    """Tag, style and text of everything that has a style, in the order in which it is drawn."""
    styles = dict(re.findall(r"\.(s\d+)\{([^}]*)\}", rules))
    head = r"<[?!][^>]*>|<metadata>.*?</metadata>|xlink:| xmlns(:\w+)?=\"[^\"]*\""
    root = ET.fromstring(re.sub(head, "", svg, flags=re.DOTALL))
    markers = {marker.get("id"): marker[0] for marker in root.iter("marker")}
    found = []
    for one in root.iter():
        marker = markers.get(one.get("class"))
        of = one if marker is None else marker
        style = of.get("style") or styles.get(of.get("class", ""), "")
        times = 1 if marker is None else len(re.findall("[ML]", one.get("d", "")))
        if style and one not in markers.values():
            found += times * [(of.tag, style.replace("; ", ";").replace(": ", ":"), (one.text or "").strip())]
    return found


def without_lone_points(svg: str) -> str:
    return re.sub(r'<path d="M [-\d.]+ [-\d.]+ \s*"[^>]*/>', "", svg)


def test_everything_is_drawn_in_the_style_that_it_has_in_the_file(files: list[str]) -> None:
    sheet = StyleSheet()
    for svg in files:
        themed = sheet.embed(svg)
        expected = without_lone_points(svg.replace("font-family: 'DejaVu Sans', sans-serif; ", ""))
        for colour, variable in THEME.items():
            expected = expected.replace(colour, variable)
        assert drawn(themed, sheet.rules) == drawn(expected)


def test_it_is_less_than_half_as_large(files: list[str]) -> None:
    sheet = StyleSheet()
    themed = [sheet.embed(svg) for svg in files]
    assert sum(map(len, themed)) + len(sheet.rules) < sum(map(len, files)) / 2


def test_what_is_referred_to_is_there_and_no_two_charts_share_it(files: list[str]) -> None:
    sheet = StyleSheet()
    page = "".join(sheet.embed(svg) for svg in files)
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'(?:url\(#|href="#)([^)"]+)', page)) <= set(ids)


def test_a_coordinate_moves_by_a_tenth_of_a_point_at_most_and_words_stay_as_they_are() -> None:
    text = '<text x="123.456" style="a: b" transform="rotate(-0 1 2)">p99 123.456</text>'
    themed = StyleSheet().embed(f'<svg ><g>\n<path d="M 1.2345 10 \nL 22.22 0.001 \n" style="a: b"/>{text}</g></svg>')
    assert themed == ('<svg ><path d="M1.23 10L22.2 0" class="s0"/><text x="123.4" class="s0">p99 123.456</text></svg>')


def uses(*colours: str) -> str:
    return "".join(
        f'<use xlink:href="#m0123456789" x="{x}" y="1.23" style="fill: {colour}"/>' for x, colour in enumerate(colours)
    )


def test_many_markers_of_one_kind_are_one_path_that_has_them_at_its_points() -> None:
    sheet = StyleSheet()
    assert sheet.embed(f'<svg ><g clip-path="c">{uses(*["red"] * 5)}</g></svg>') == (
        '<svg ><g clip-path="c"><marker id="k0" overflow="visible" markerUnits="userSpaceOnUse">'
        '<use href="#m0" class="s0"/></marker>'
        '<path class="k0" d="M0 1.23L1 1.23L2 1.23L3 1.23L4 1.23"/></g></svg>'
    )
    assert ".k0{fill:none;stroke:none;marker:url(#k0)}" in sheet.rules


def test_few_markers_or_such_of_several_kinds_stay_as_they_are() -> None:
    few, mixed = uses("red", "red", "red", "red"), uses("red", "blue", "red", "blue", "red", "blue")
    assert StyleSheet().embed(f"<svg >{few}</svg>").count("<use") == 4
    assert StyleSheet().embed(f"<svg >{mixed}</svg>").count("<use") == 6


def test_a_step_along_an_axis_is_said_as_one() -> None:
    themed = StyleSheet().embed(
        '<svg ><path d="M 1 2 \nL 5 2 \nL 5 9 \nL 6 7 \nz\n"/><path d="M 1 1 C 1 2 3 1 1 5 L 1 6 "/></svg>'
    )
    assert themed == '<svg ><path d="M1 2H5V9L6 7z"/><path d="M1 1C1 2 3 1 1 5L1 6"/></svg>'


def test_a_group_that_clips_what_is_in_it_stays() -> None:
    svg = '<svg ><g><g clip-path="url(#p0123456789)"><g><path d="M 0 0 L 1 1 "/></g></g><g/></g></svg>'
    assert StyleSheet().embed(svg) == '<svg ><g clip-path="url(#p0)"><path d="M0 0L1 1"/></g></svg>'

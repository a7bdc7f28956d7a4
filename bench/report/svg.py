"""Charts as parts of one page: in its colours, and what many of their elements share is said once."""

import re
from collections.abc import Mapping

from markupsafe import Markup

from bench.report import style

THEME: Mapping[str, str] = {
    style.INK.lower(): "var(--ink)",
    style.MUTED.lower(): "var(--muted)",
    style.RULE.lower(): "var(--rule)",
    "#ffffff": "var(--ground)",
}
"""Colours of a chart that follow the page's light or dark."""
_COLOUR = re.compile("|".join(THEME))
_SHORTER = tuple(
    (re.compile(old, re.DOTALL), new)
    for old, new in (
        (r"<metadata>.*?</metadata>", ""),
        (r'<style type="text/css">.*?</style>', ""),  # report.css says it of every chart
        (r' (xmlns(:\w+)?|version)="[^"]*"', ""),
        (r"xlink:href", "href"),
        (r' transform="rotate\(-0 [^"]*"', ""),
        (r">\s+<", "><"),
        (r"<g/>|<defs></defs>", ""),
        # A point that a line begins at and does not leave: a marker stands there.
        (r'<path d="M [-\d.]+ [-\d.]+ \s*"[^>]*/>', ""),
        (r"font-family: 'DejaVu Sans', sans-serif; ", ""),
    )
)
_ATTRIBUTE = re.compile(r'="[^"]*"')
_DIGITS = re.compile(r"(\d\d\.\d|\.\d\d)\d+")
_WHOLE = re.compile(r"(?<=\d)\.0+(?!\d)")
"""Coordinates to a tenth of a point, small ones to a hundredth; numbers that are read stand between elements."""
_PATH = re.compile(r'(?<= d=")[^"]*')
_STEP = re.compile(r"\s*([A-Za-z])\s*")
_LINE = re.compile(r"([ML])([-\d.]+) ([-\d.]+)")
_STYLE = re.compile(r'(?<= )style="([^"]*)"')
_ID = re.compile(r'( id="|href="#|url\(#)([mp][0-9a-f]{10})')
_MARKER = r'<use href="#{}" x="[-\d.]+" y="[-\d.]+" class="{}"/>'
_MARKERS = re.compile(_MARKER.format(r"(\w+)", r"(\w+)") + "(?:" + _MARKER.format(r"\1", r"\2") + "){4,}")
"""Of one kind, in a row."""
_PLACE = re.compile(r'x="([-\d.]+)" y="([-\d.]+)"')
_AS_MARKER = '<marker id="{}" overflow="visible" markerUnits="userSpaceOnUse"><use href="#{}" class="{}"/></marker>'
_GROUP = re.compile(r"<g(?: [^>]*[^>/])?>|</g>")


class Sheet:
    """Of a page: the classes that stand for the styles of its charts, and short names of their markers and clips."""

    def __init__(self) -> None:
        self._classes: dict[str, str] = {}
        self._ids: dict[str, str] = {}
        self._markers: dict[tuple[str, str], str] = {}

    @property
    def rules(self) -> Markup:
        """CSS for the charts so far."""
        short = {name: said.replace(": ", ":").replace("; ", ";") for said, name in self._classes.items()}
        short |= {name: f"fill:none;stroke:none;marker:url(#{name})" for name in self._markers.values()}
        return Markup("".join(f".{name}{{{said}}}" for name, said in short.items()))

    def themed(self, svg: str) -> Markup:
        """An SVG file as a part of the page: without its head, smaller, and in the page's colours."""
        body = svg[svg.index("<svg ") :]
        for old, new in _SHORTER:
            body = old.sub(new, body)
        body = _ATTRIBUTE.sub(lambda found: _WHOLE.sub("", _DIGITS.sub(r"\1", found[0])), body)
        body = _PATH.sub(lambda found: _shorter(found[0]), body)
        body = _COLOUR.sub(lambda found: THEME[found[0]], body)
        body = _STYLE.sub(lambda found: f'class="{self._class(found[1])}"', body)
        body = _ID.sub(lambda found: found[1] + self._id(found[2]), body)
        return Markup(_MARKERS.sub(self._marked, _without_idle_groups(body)))

    def _marked(self, found: re.Match[str]) -> str:
        """Instead of one use after the other a path with no stroke, which has the marker at each of its points."""
        kind = (found[1], found[2])
        first = "" if kind in self._markers else _AS_MARKER.format(f"k{len(self._markers)}", *kind)
        name = self._markers.setdefault(kind, f"k{len(self._markers)}")
        points = "L".join(f"{x} {y}" for x, y in _PLACE.findall(found[0]))
        return f'{first}<path class="{name}" d="M{points}"/>'

    def _class(self, said: str) -> str:
        return self._classes.setdefault(said, f"s{len(self._classes)}")

    def _id(self, name: str) -> str:
        """Matplotlib's are hashes, salted with the chart's name, so that no two charts have one in common."""
        return self._ids.setdefault(name, f"{name[0]}{len(self._ids)}")


def _without_idle_groups(svg: str) -> str:
    """Those without an attribute say nothing of what is in them."""
    kept: list[bool] = []

    def one(found: re.Match[str]) -> str:
        if found[0] != "</g>":
            kept.append(found[0] != "<g>")
            return found[0] if kept[-1] else ""
        return found[0] if kept.pop() else ""

    return _GROUP.sub(one, svg)


def _shorter(path: str) -> str:
    """Without spaces around its steps, and with a step along an axis said as one."""
    steps, at = _STEP.sub(r"\1", path).rstrip(), ("", "")

    def one(found: re.Match[str]) -> str:
        nonlocal at
        (x, y), at = at, (found[2], found[3])
        if found[1] == "M":
            return found[0]
        return f"V{found[3]}" if x == found[2] else f"H{found[2]}" if y == found[3] else found[0]

    return steps if "C" in steps or "Q" in steps else _LINE.sub(one, steps)

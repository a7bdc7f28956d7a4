"""Shrinks chart SVGs and adapts their colours for embedding in one page."""

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
"""Colours of a chart that follow the page's light or dark theme."""
_COLOUR = re.compile("|".join(THEME))
_REPLACEMENTS = tuple(
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
_LONG_DECIMALS = re.compile(r"(\d\d\.\d|\.\d\d)\d+")
_ZERO_DECIMALS = re.compile(r"(?<=\d)\.0+(?!\d)")
"""Coordinates have a tenth of a point, small ones a hundredth; numbers for readers are text between elements."""
_PATH_DATA = re.compile(r'(?<= d=")[^"]*')
_PATH_COMMAND = re.compile(r"\s*([A-Za-z])\s*")
_LINE_COMMAND = re.compile(r"([ML])([-\d.]+) ([-\d.]+)")
_STYLE = re.compile(r'(?<= )style="([^"]*)"')
_ID = re.compile(r'( id="|href="#|url\(#)([mp][0-9a-f]{10})')
_USE_PATTERN = r'<use href="#{}" x="[-\d.]+" y="[-\d.]+" class="{}"/>'
_USE_SERIES = re.compile(_USE_PATTERN.format(r"(\w+)", r"(\w+)") + "(?:" + _USE_PATTERN.format(r"\1", r"\2") + "){4,}")
"""Five or more ``use`` elements of one kind, in a row."""
_POSITION = re.compile(r'x="([-\d.]+)" y="([-\d.]+)"')
_MARKER_ELEMENT = (
    '<marker id="{}" overflow="visible" markerUnits="userSpaceOnUse"><use href="#{}" class="{}"/></marker>'
)
_GROUP_TAG = re.compile(r"<g(?: [^>]*[^>/])?>|</g>")


class StyleSheet:
    """Collects, for one page, the CSS classes of its charts' styles and short names of their markers and clip paths."""

    def __init__(self) -> None:
        self._classes: dict[str, str] = {}
        self._ids: dict[str, str] = {}
        self._markers: dict[tuple[str, str], str] = {}

    @property
    def rules(self) -> Markup:
        """The CSS rules for all charts embedded so far."""
        short = {name: said.replace(": ", ":").replace("; ", ";") for said, name in self._classes.items()}
        short |= {name: f"fill:none;stroke:none;marker:url(#{name})" for name in self._markers.values()}
        return Markup("".join(f".{name}{{{said}}}" for name, said in short.items()))

    def embed(self, svg: str) -> Markup:
        """Returns an SVG file as a part of the page: without its head, smaller, and in the page's colours."""
        body = svg[svg.index("<svg ") :]
        for old, new in _REPLACEMENTS:
            body = old.sub(new, body)
        body = _ATTRIBUTE.sub(lambda found: _ZERO_DECIMALS.sub("", _LONG_DECIMALS.sub(r"\1", found[0])), body)
        body = _PATH_DATA.sub(lambda found: _shorten_path(found[0]), body)
        body = _COLOUR.sub(lambda found: THEME[found[0]], body)
        body = _STYLE.sub(lambda found: f'class="{self._class(found[1])}"', body)
        body = _ID.sub(lambda found: found[1] + self._id(found[2]), body)
        return Markup(_USE_SERIES.sub(self._replace_markers, _remove_plain_groups(body)))

    def _replace_markers(self, found: re.Match[str]) -> str:
        """Returns one path, without a stroke and with the marker at each point, in place of many ``use`` elements."""
        kind = (found[1], found[2])
        first = "" if kind in self._markers else _MARKER_ELEMENT.format(f"k{len(self._markers)}", *kind)
        name = self._markers.setdefault(kind, f"k{len(self._markers)}")
        points = "L".join(f"{x} {y}" for x, y in _POSITION.findall(found[0]))
        return f'{first}<path class="{name}" d="M{points}"/>'

    def _class(self, said: str) -> str:
        return self._classes.setdefault(said, f"s{len(self._classes)}")

    def _id(self, name: str) -> str:
        """Returns a short id for one of matplotlib's, a hash that is salted with the chart's name and so unique."""
        return self._ids.setdefault(name, f"{name[0]}{len(self._ids)}")


def _remove_plain_groups(svg: str) -> str:
    """Removes groups without attributes, which change nothing of what is in them."""
    kept: list[bool] = []

    def one(found: re.Match[str]) -> str:
        if found[0] != "</g>":
            kept.append(found[0] != "<g>")
            return found[0] if kept[-1] else ""
        return found[0] if kept.pop() else ""

    return _GROUP_TAG.sub(one, svg)


def _shorten_path(path: str) -> str:
    """Removes spaces around the commands of a path, and writes lines along an axis as H and V."""
    steps, at = _PATH_COMMAND.sub(r"\1", path).rstrip(), ("", "")

    def one(found: re.Match[str]) -> str:
        nonlocal at
        (x, y), at = at, (found[2], found[3])
        if found[1] == "M":
            return found[0]
        return f"V{found[3]}" if x == found[2] else f"H{found[2]}" if y == found[3] else found[0]

    return steps if "C" in steps or "Q" in steps else _LINE_COMMAND.sub(one, steps)

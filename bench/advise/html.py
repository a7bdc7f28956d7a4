"""Renders pros and cons, and the form that picks a method, as parts of the report page."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from bench.advise.chart_links import ChartRows, look_up_on_page
from bench.advise.chooser import FORM_PATH, SCRIPT_PATH, build_form_context
from bench.advise.claims import Claim, build_claims
from bench.advise.evidence import collect_evidence
from bench.errors import ResultsError


@dataclass(frozen=True, slots=True, kw_only=True)
class HtmlFragments:
    """The HTML of pros and cons and of the form, and the JavaScript of the form."""

    claims: Markup
    chooser: Markup
    script: str


def render_fragments(folders: Mapping[str, Path], drawn: Mapping[str, ChartRows]) -> HtmlFragments | None:
    """Renders the parts of the page from these runs, by their names; None when none of them has evidence.

    ``drawn`` are the rows of the page's charts, by the names that the charts have on it.
    """
    try:
        found = collect_evidence(folders)
    except ResultsError:  # the page says itself what cannot be read
        return None
    by_method: dict[str, list[Claim]] = {}
    for claim in build_claims(found, look_up_on_page(drawn, several=len(folders) > 1)):
        by_method.setdefault(claim.method.title, []).append(claim)
    left_out = list(dict.fromkeys(found.left_out))
    here = Environment(loader=FileSystemLoader(FORM_PATH.parent), autoescape=True, undefined=StrictUndefined)
    return HtmlFragments(
        claims=Markup(here.get_template("claims.html").render(methods=by_method, left_out=left_out)),
        chooser=Markup(here.get_template(FORM_PATH.name).render(build_form_context(found))),
        script=SCRIPT_PATH.read_text("utf-8"),
    )

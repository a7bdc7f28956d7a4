"""Pros and cons, and the form that picks a method, as parts of a report's page."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from bench.advise.chart_links import Rows, on_page
from bench.advise.chooser import FORM, SCRIPT, form
from bench.advise.claims import Claim, claims
from bench.advise.evidence import evidence
from bench.errors import ResultsError


@dataclass(frozen=True, slots=True, kw_only=True)
class Fragments:
    claims: Markup
    chooser: Markup
    script: str


def fragments(folders: Mapping[str, Path], drawn: Mapping[str, Rows]) -> Fragments | None:
    """From these runs, by their names; None when none of them has anything to choose by.

    ``drawn`` are the rows of the page's charts, by the names that these have on it.
    """
    try:
        found = evidence(folders)
    except ResultsError:  # the page says itself what cannot be read
        return None
    by_method: dict[str, list[Claim]] = {}
    for claim in claims(found, on_page(drawn, several=len(folders) > 1)):
        by_method.setdefault(claim.method.title, []).append(claim)
    left_out = list(dict.fromkeys(found.left_out))
    here = Environment(loader=FileSystemLoader(FORM.parent), autoescape=True, undefined=StrictUndefined)
    return Fragments(
        claims=Markup(here.get_template("claims.html").render(methods=by_method, left_out=left_out)),
        chooser=Markup(here.get_template(FORM.name).render(form(found))),
        script=SCRIPT.read_text("utf-8"),
    )

"""Pros and cons, and the form that picks a method, as parts of a report's page."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from bench.advice.claims import Claim, claims
from bench.advice.evidence import evidence
from bench.advice.table import FORM, SCRIPT, form
from bench.files import ResultsError
from bench.report.style import PRODUCTS


@dataclass(frozen=True, slots=True, kw_only=True)
class Fragments:
    claims: Markup
    chooser: Markup
    script: str


def fragments(folders: Mapping[str, Path]) -> Fragments | None:
    """From these runs, by their names; None when none of them has anything to choose by."""
    try:
        found, left_out = claims(folders)
        picked = form(evidence(folders))
    except ResultsError:  # the page says itself what cannot be read
        return None
    if not picked["lines"]:
        return None
    by_method: dict[str, list[Claim]] = {}
    for claim in found:
        by_method.setdefault(PRODUCTS.get(claim.method, claim.method), []).append(claim)
    here = Environment(loader=FileSystemLoader(FORM.parent), autoescape=True, undefined=StrictUndefined)
    return Fragments(
        claims=Markup(here.get_template("claims.html").render(methods=by_method, left_out=left_out)),
        chooser=Markup(here.get_template(FORM.name).render(picked)),
        script=SCRIPT.read_text("utf-8"),
    )

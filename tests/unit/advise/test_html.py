"""Tests the HTML of the pros and cons and of the form."""

import re
from pathlib import Path

import pytest

from bench.advise.chooser import build_chooser_table
from bench.advise.claims import build_claims
from bench.advise.evidence import collect_evidence
from bench.advise.html import render_fragments
from bench.advise.report import write_report
from bench.results.store import RunFolder
from tests.unit.advise.test_ranking import a_study, four


def test_every_claim_stands_with_its_source_and_every_line_of_the_form_is_there(tmp_path: Path) -> None:
    folders = a_study(tmp_path, four())
    made = render_fragments(folders, {})
    assert made is not None
    found = collect_evidence(folders)
    said = build_claims(found)
    assert said
    assert made.claims.count("<li>") == len(said)
    assert all(claim.source.split("::")[0] in made.claims for claim in said)
    assert made.chooser.count("<tr data-method=") == sum(len(use.lines) for use in build_chooser_table(found))


def test_methods_are_called_as_people_call_them(tmp_path: Path) -> None:
    made = render_fragments(a_study(tmp_path, [*four(), ("events+rabbitmq", 7.0, {}), ("rest:httpx", 5.0, {})]), {})
    assert made is not None
    assert re.findall("<h3>(.*)</h3>", made.claims) == [
        "REST",
        "gRPC",
        "RabbitMQ",
        "Kafka",
        "events on RabbitMQ",
        "REST:httpx",
    ]
    assert '<th scope="row">events on RabbitMQ, json</th>' in made.chooser


def test_words_of_a_run_are_no_markup(tmp_path: Path) -> None:
    (folder,) = a_study(tmp_path, four()).values()
    made = render_fragments({"<b>made</b>": folder}, {})
    assert made is not None
    assert "<b>" not in made.claims + made.chooser


@pytest.mark.slow
def test_the_page_of_a_run_has_them_and_lets_its_own_script_run_alone(tmp_path: Path) -> None:
    (folder,) = a_study(tmp_path, four()).values()
    page = write_report([folder], folder).read_text("utf-8")
    assert 'id="advise-form"' in page
    assert "<strong>pro</strong>" in page
    assert page.count("<script>") == 1
    assert "script-src 'sha256-" in page


@pytest.mark.slow
def test_a_claim_leads_to_the_chart_of_its_page_that_draws_its_number(tmp_path: Path) -> None:
    folders = [next(iter(a_study(tmp_path / name, four()).values())).rename(tmp_path / f"run-{name}") for name in "ab"]
    for paths, chart in ((folders[:1], "latency"), (folders, "run-a-latency")):
        page = write_report(paths, tmp_path / chart).read_text("utf-8")
        links = re.findall(r'<small>([^<]*), <a href="#([^"]*)">', page)
        assert {(source.partition(",")[0], name) for source, name in links} == {("run-a/trials.csv", chart)}
        assert f'<figure id="{chart}">' in page


def test_a_run_without_a_trial_has_nothing_to_choose_by(tmp_path: Path) -> None:
    assert render_fragments({"empty": RunFolder.create(tmp_path, "empty", {}).path}, {}) is None

"""Tests the page's form: a table without scripts, and the answers of `make advise` with one."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from jinja2 import Environment

from bench.advise.chooser import (
    FIELD_LABELS,
    FORM_PATH,
    SCRIPT_PATH,
    ChooserRow,
    MeasuredUse,
    MethodRank,
    build_chooser_table,
    build_form_context,
)
from bench.advise.evidence import collect_evidence
from bench.advise.nearest import AXES
from bench.advise.needs import NEEDS
from bench.advise.question import parse_question
from bench.advise.ranking import advise
from tests.unit.advise.kept import collect_kept_evidence
from tests.unit.advise.test_ranking import (
    COMMANDS_ON_KAFKA,
    EVENTS_ON_RABBIT,
    GRPC,
    KAFKA,
    KIB,
    RABBIT,
    REST,
    a_study,
    four,
    sizes,
)


def page(folders: Any) -> str:
    return (
        Environment(autoescape=True)
        .from_string(FORM_PATH.read_text())
        .render(build_form_context(collect_evidence(folders)))
    )


def lines(uses: Sequence[MeasuredUse], **at: str) -> list[ChooserRow]:
    return [line for use in uses if at.items() <= use.at.items() for line in use.lines]


def standings(uses: Sequence[MeasuredUse], format_: str, **at: str) -> dict[str, MethodRank]:
    """By method, of whoever asks for a format, or for any."""
    of_any, asked_for = format_ == "any", lines(uses, **at)
    found = [(line, line.own if of_any else line.alike) for line in asked_for if of_any or line.codec == format_]
    return {line.method: standing for line, standing in found if standing is not None}


def test_every_method_of_every_place_and_format_has_a_line(tmp_path: Path) -> None:
    uses = build_chooser_table(
        collect_evidence(a_study(tmp_path, [*four(), *four(rate_per_s=50.0), (GRPC, 3.05, {"codec": "json"})]))
    )
    assert len(lines(uses)) == 9
    assert list(standings(uses, "protobuf", rate_per_s="50")) == [GRPC]
    assert {method: one.place for method, one in standings(uses, "any", rate_per_s="150").items()} == {
        REST: 1,
        GRPC: 1,
        RABBIT: 3,
        KAFKA: 4,
    }
    in_json = standings(uses, "json", rate_per_s="150")
    assert in_json.keys() == {REST, GRPC, RABBIT, KAFKA}
    assert in_json[KAFKA].behind == (RABBIT, GRPC, REST)


def test_what_was_not_measured_together_has_no_line(tmp_path: Path) -> None:
    uses = build_chooser_table(
        collect_evidence(a_study(tmp_path, [*sizes(KIB, 64 * KIB, rate=5.0), *four(rate_per_s=200.0)]))
    )
    assert lines(uses, size_bytes="64KiB", rate_per_s="5")
    assert not lines(uses, size_bytes="64KiB", rate_per_s="200")


def test_a_line_has_the_needs_that_its_method_meets_over_its_product(tmp_path: Path) -> None:
    cells = [*four(), (COMMANDS_ON_KAFKA, 9.0, {}), (EVENTS_ON_RABBIT, 7.0, {})]
    found = lines(build_chooser_table(collect_evidence(a_study(tmp_path, cells))))
    met = {line.method: set(line.needs) for line in found}
    assert met[KAFKA] >= {"replay", "ordered", "redelivery", "queued", "d2"}
    assert met[COMMANDS_ON_KAFKA] >= {"replay", "ordered", "redelivery", "queued", "d2"}
    assert met[RABBIT] & {"replay", "ordered", "browser"} == set()
    assert met[EVENTS_ON_RABBIT] & {"replay", "ordered", "browser"} == set()
    assert met[REST] >= {"browser", "ordered"}
    assert {line.name for line in found} >= {"Kafka", "broker on Kafka", "RabbitMQ", "events on RabbitMQ"}


@pytest.mark.slow
@pytest.mark.reference
def test_places_of_the_kept_runs_are_those_of_make_advise() -> None:
    found = collect_kept_evidence()
    asked_for = {"size_bytes": "1KiB", "shape": "document", "rate_per_s": "150", "burst": "1"}
    advice = advise(parse_question({}), found)
    assert {method: one.place for method, one in standings(build_chooser_table(found), "any", **asked_for).items()} == {
        placed.method: placed.place for placed in advice.placed
    }


def test_without_a_script_the_whole_table_is_there_and_the_form_is_not_shown(tmp_path: Path) -> None:
    folders = a_study(tmp_path, four())
    html = page(folders)
    assert '<form id="advise-form" hidden>' in html
    assert html.count('<th scope="row">') == len(lines(build_chooser_table(collect_evidence(folders)))) == 4
    assert "<script" not in html


def test_every_control_has_a_label_and_every_group_a_legend(tmp_path: Path) -> None:
    html = page(a_study(tmp_path, [*four(), *four(rate_per_s=50.0)]))
    controls = re.findall(r"<(?:select|input)\b", html)
    labelled = re.findall(r"<label>(?:(?!</label>).)*?<(?:select|input)\b", html, re.DOTALL)
    assert len(controls) == len(labelled) == 2 + len(NEEDS)
    assert html.count("<fieldset>") == html.count("<legend>") == 2
    assert "<caption" in html
    assert 'role="status"' in html


def test_what_a_run_says_is_escaped(tmp_path: Path) -> None:
    folders = a_study(tmp_path, four(), machine={"cpu_model": "<b>fast</b>", "cores": 2})
    assert "<b>fast" not in page(folders)


def test_the_script_reads_what_the_fragment_writes(tmp_path: Path) -> None:
    html = page(a_study(tmp_path, four()))
    for used in re.findall(r'getElementById\("([\w-]+)"\)', SCRIPT_PATH.read_text()):
        assert f'id="{used}"' in html
    for used in re.findall(r"dataset\.(\w+)", SCRIPT_PATH.read_text()):
        assert f"data-{used}=" in html


@pytest.mark.parametrize("name", AXES)
def test_a_field_that_has_one_level_alone_is_not_asked_for(tmp_path: Path, name: str) -> None:
    levels = build_form_context(collect_evidence(a_study(tmp_path, four())))["levels"]
    assert (name in levels) == (name == "format")
    assert name in FIELD_LABELS


@pytest.mark.slow
@pytest.mark.reference
def test_the_table_of_the_kept_runs_says_each_number_once_and_is_a_small_part_of_a_page() -> None:
    found = collect_kept_evidence()
    html = Environment(autoescape=True).from_string(FORM_PATH.read_text()).render(build_form_context(found))
    assert len(
        {
            (use.run, *use.at.values(), line.method, line.codec)
            for use in build_chooser_table(found)
            for line in use.lines
        }
    ) == (html.count('<th scope="row">'))
    assert len(html) < 450 * html.count('<th scope="row">')

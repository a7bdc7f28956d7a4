"""The form of a page: the whole table without a script, and the same answers as `make advise` with one."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from jinja2 import Environment

from bench.advice.advise import advise
from bench.advice.evidence import evidence
from bench.advice.needs import NEEDS
from bench.advice.question import asked
from bench.advice.table import FIELDS, FORM, SCRIPT, Line, as_json, form, table
from bench.runs import kept_runs
from tests.unit.test_advice import (
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
    return Environment(autoescape=True).from_string(FORM.read_text()).render(form(evidence(folders)))


def of(lines: Sequence[Line], **fields: str) -> list[Line]:
    return [line for line in lines if all(getattr(line, name) == value for name, value in fields.items())]


def test_every_method_of_every_place_and_format_has_a_line(tmp_path: Path) -> None:
    lines = table(evidence(a_study(tmp_path, [*four(), *four(rate_per_s=50.0)])))
    assert len(of(lines, format="any")) == 8
    assert [line.method for line in of(lines, format="protobuf", rate_per_s="50")] == [GRPC]
    assert {line.place for line in of(lines, format="any", rate_per_s="150")} == {1, 3, 4}


def test_what_was_not_measured_together_has_no_line(tmp_path: Path) -> None:
    lines = table(evidence(a_study(tmp_path, [*sizes(KIB, 64 * KIB, rate=5.0), *four(rate_per_s=200.0)])))
    assert of(lines, size_bytes="64KiB", rate_per_s="5")
    assert not of(lines, size_bytes="64KiB", rate_per_s="200")


def test_a_line_has_the_needs_that_its_method_meets(tmp_path: Path) -> None:
    lines = table(evidence(a_study(tmp_path, four())))
    met = {line.method: set(line.needs) for line in of(lines, format="any")}
    assert met[KAFKA] >= {"replay", "ordered", "redelivery", "queued", "d2"}
    assert met[RABBIT] & {"replay", "ordered", "browser"} == set()
    assert met[REST] >= {"browser", "ordered"}


def test_a_line_over_another_product_has_that_products_needs_and_name(tmp_path: Path) -> None:
    cells = [*four(), (COMMANDS_ON_KAFKA, 9.0, {}), (EVENTS_ON_RABBIT, 7.0, {})]
    found = of(table(evidence(a_study(tmp_path, cells))), format="any")
    assert {line.method: "replay" in line.needs for line in found} == {
        REST: False,
        GRPC: False,
        RABBIT: False,
        KAFKA: True,
        COMMANDS_ON_KAFKA: True,
        EVENTS_ON_RABBIT: False,
    }
    assert {line.name for line in found} >= {"Kafka", "broker on Kafka", "RabbitMQ", "events on RabbitMQ"}


def test_the_same_lines_are_there_as_json(tmp_path: Path) -> None:
    lines = table(evidence(a_study(tmp_path, four())))
    assert [line["method"] for line in json.loads(as_json(lines))] == [line.method for line in lines]


def test_places_of_the_kept_runs_are_those_of_make_advise() -> None:
    found = evidence(kept_runs())
    lines = of(table(found), size_bytes="1KiB", shape="document", rate_per_s="150", burst="1", format="any")
    advice = advise(asked({}), found)
    assert {line.method: line.place for line in lines} == {placed.method: placed.place for placed in advice.placed}


def test_without_a_script_the_whole_table_is_there_and_the_form_is_not_shown(tmp_path: Path) -> None:
    folders = a_study(tmp_path, four())
    html = page(folders)
    assert '<form id="advise-form" hidden>' in html
    assert html.count('<th scope="row">') == len(table(evidence(folders)))
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
    for used in re.findall(r'getElementById\("([\w-]+)"\)', SCRIPT.read_text()):
        assert f'id="{used}"' in html
    for used in re.findall(r"dataset\.(\w+)", SCRIPT.read_text()):
        assert f"data-{used}=" in html


@pytest.mark.parametrize("name", FIELDS)
def test_a_field_that_has_one_level_alone_is_not_asked_for(tmp_path: Path, name: str) -> None:
    levels = form(evidence(a_study(tmp_path, four())))["levels"]
    assert (name in levels) == (name == "format")

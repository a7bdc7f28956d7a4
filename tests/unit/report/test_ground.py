"""Tests what is said of the ground of a run: servers and their age, the build of Python, stores."""

import io
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from rich.console import Console

from bench.cli.output import print_run
from bench.paths import REFERENCE
from bench.provision.versions import AS_OF, RELEASES
from bench.report.ground import NOT_RECORDED, RunFacts, describe_ground, describe_python, describe_server
from bench.report.page import write_page
from bench.report.run_view import read_run_view
from bench.results.lookup import find_reference_runs
from tests.unit.builders import build_run

FAST, SAFE = ("sqlite", "fast"), ("sqlite", "safe")
NEWEST = {product: list(releases)[-1] for product, releases in RELEASES.items()}


def facts(name: str, *states: tuple[str, str], product: str = "none", **manifest: Any) -> RunFacts:
    trials = pd.DataFrame(states or [FAST], columns=["store", "durability"]).assign(product=product)
    return RunFacts(name, manifest, trials)


def brokers(**versions: str) -> Mapping[str, Any]:
    return {product: {"version": version} for product, version in versions.items()}


def test_a_server_has_the_date_of_its_release_and_its_distance_from_the_newest() -> None:
    days = (RELEASES["rabbitmq"][NEWEST["rabbitmq"]] - RELEASES["rabbitmq"]["3.10.8"]).days
    said = describe_server("rabbitmq", "3.10.8")
    for part in ("3.10.8", "2022-09-28", f"{days:,}", NEWEST["rabbitmq"]):
        assert part in said


@pytest.mark.parametrize("product", ["rabbitmq", "kafka"])
def test_of_the_newest_known_version_no_distance_is_said(product: str) -> None:
    said = describe_server(product, NEWEST[product])
    assert str(RELEASES[product][NEWEST[product]]) in said
    assert "behind" not in said


@pytest.mark.parametrize("version", ["", None])
def test_a_version_that_was_not_recorded_is_not_guessed(version: str | None) -> None:
    assert NOT_RECORDED in describe_server("rabbitmq", version)
    assert not re.search(r"\d", describe_server("rabbitmq", version))


def test_the_day_of_the_table_is_said_where_an_age_is() -> None:
    assert str(AS_OF) in describe_ground([facts("a", brokers=brokers(kafka="4.3.0"))])[0]
    for unknown in ({}, brokers(postgres="9.6.24"), brokers(kafka="2.8.0"), brokers(kafka="")):
        assert str(AS_OF) not in describe_ground([facts("a", brokers=unknown)])[0]


def test_a_server_that_orders_went_over_is_named_without_a_record_of_it() -> None:
    assert f"RabbitMQ, version {NOT_RECORDED}" in describe_ground([facts("a", product="rabbitmq")])[0]


def test_the_builds_of_python_are_told_apart() -> None:
    builds: list[dict[str, Any]] = [
        {"python": {"version": "3.11.2", "pgo": True, "lto": True}},
        {"python": {"version": "3.11.2", "pgo": True, "lto": False}},
        {"python": {"version": "3.11.2", "pgo": False, "lto": False}},
        {"versions": {"python": "3.11.2"}},
    ]
    said = [describe_python(manifest) for manifest in builds]
    assert len(set(said)) == len(builds)
    assert all("3.11.2" in one for one in said)
    assert [NOT_RECORDED in one for one in said] == [False, False, False, True]


def test_what_is_alike_in_all_runs_is_said_without_their_names() -> None:
    said = " ".join(describe_ground([facts("run-1", brokers=brokers(kafka="4.3.0")), facts("run-2")]))
    assert "run-" not in said


def test_where_runs_differ_each_is_said_with_its_runs() -> None:
    servers, states = describe_ground(
        [
            facts("one", FAST, SAFE, brokers=brokers(rabbitmq="3.10.8")),
            facts("two", ("memory", "fast"), brokers=brokers(rabbitmq="4.3.6")),
        ]
    )
    assert re.search(r"3\.10\.8 \([^)]*\) \(run one\).*4\.3\.6 \([^)]*\) \(run two\)", servers)
    assert re.search(r"SQLite, durability fast and safe \(run one\).*memory, durability fast \(run two\)", states)


def test_a_few_exceptions_among_many_runs_are_named_instead() -> None:
    runs = [facts(name) for name in ("a1", "a2", "a3")]
    state = describe_ground([*runs, facts("b1", ("memory", "fast"))])[1]
    assert [name for name in ("a1", "a2", "a3", "b1") if name in state] == ["b1"]


def test_a_run_without_a_trial_or_a_record_says_so() -> None:
    servers, states = describe_ground([RunFacts("a", {}, pd.DataFrame())])
    assert NOT_RECORDED in servers
    assert NOT_RECORDED in states


def test_page_markdown_and_terminal_say_the_same_before_any_number(tmp_path: Path) -> None:
    run = build_run(tmp_path, rounds=1, brokers=brokers(rabbitmq="3.10.8", kafka="4.3.0"))
    lines = describe_ground([RunFacts(run.path.name, run.manifest, run.trials())])
    print_run(run, Console(width=400, color_system=None, file=(out := io.StringIO())))
    write_page([read_run_view(run.path)], run.path)
    page = (run.path / "report.html").read_text("utf-8")
    markdown = (run.path / "report.md").read_text("utf-8")
    for line in lines:
        assert line in out.getvalue()
        assert f">{line}</p>" in page
        assert line in markdown.splitlines()
    assert out.getvalue().startswith(lines[0])
    assert page.index(lines[-1]) < page.index("<nav")


@pytest.mark.reference
def test_the_kept_page_says_what_the_manifests_of_its_runs_do() -> None:
    markdown = (REFERENCE / "report" / "report.md").read_text("utf-8").partition("## ")[0]
    for folder in find_reference_runs().values():
        manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
        for broker in manifest["brokers"].values():
            assert broker["version"] in markdown
        assert manifest["versions"]["python"] in markdown

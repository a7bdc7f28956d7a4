"""Tests that bare chains are held against the methods, and never compared as methods."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from bench.advise.evidence import collect_evidence
from bench.cli.output import print_run
from bench.report.run_view import read_run_view
from bench.results.store import RunFolder
from bench.runner.set_course import estimate_headline_ratios
from tests.unit.builders import CELLS, add_set, build_set_run

BARE = {"bare-rest": ("bare-rest", "bare-rest", "json", 1.0, 2.5)}
BARE_GRPC = {"bare-grpc": ("bare-grpc", "bare-grpc", "protobuf", 1.0, 1.1)}


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    run = build_set_run(tmp_path, sets=0)
    for number in range(1, 6):
        add_set(run, number, {"rest": CELLS["rest"], "grpc": CELLS["grpc"], **BARE}, arrivals="poisson")
    return run


def test_each_method_has_its_ratio_to_the_yardstick(run: RunFolder) -> None:
    found = {one["cell"]: one for one in run.summary()["yardstick_ratios"]}
    assert list(found) == ["rest", "grpc"]
    assert {one["base"] for one in found.values()} == {"bare-rest"}
    rest = found["rest"]["metrics"]["finish_p50_us"]
    assert rest["low"] < 5.3 / 2.5 < rest["high"]


def test_a_method_is_held_against_its_own_bare_chain_where_there_is_one(tmp_path: Path) -> None:
    run = build_set_run(tmp_path, cells={"rest": CELLS["rest"], "grpc": CELLS["grpc"], **BARE, **BARE_GRPC})
    found = {one["cell"]: one for one in run.summary()["yardstick_ratios"]}
    assert {cell: one["base"] for cell, one in found.items()} == {"rest": "bare-rest", "grpc": "bare-grpc"}
    grpc = found["grpc"]["metrics"]["finish_p50_us"]
    assert grpc["low"] < 5.5 / 1.1 < grpc["high"]


def test_ratios_between_methods_leave_bare_chains_out(run: RunFolder) -> None:
    assert [one["cell"] for one in run.summary()["ratios"]] == ["grpc"]


def test_a_run_without_a_yardstick_says_nothing_of_one(tmp_path: Path) -> None:
    assert "yardstick_ratios" not in build_set_run(tmp_path, cells={"rest": CELLS["rest"]}).summary()


def test_one_method_alone_is_told_beside_the_yardstick(tmp_path: Path) -> None:
    run = build_set_run(tmp_path, cells={"grpc": CELLS["grpc"], **BARE})
    statistics = run.set_statistics()
    assert statistics is not None
    base, ratios = estimate_headline_ratios(statistics)
    assert (base, list(ratios)) == ("bare-rest", ["grpc"])


def test_headline_ratios_are_of_methods(run: RunFolder) -> None:
    statistics = run.set_statistics()
    assert statistics is not None
    base, ratios = estimate_headline_ratios(statistics)
    assert (base, list(ratios)) == ("rest", ["grpc"])


def test_advice_and_page_are_of_methods(run: RunFolder) -> None:
    assert set(collect_evidence({"one": run.path}).methods) == {"rest", "grpc"}
    view = read_run_view(run.path)
    assert set(view.trials["cell"]) == {"rest", "grpc"}
    assert {cell["cell"] for cell in view.summary["cells"]} == {"rest", "grpc"}
    assert {cell["cell"] for cell in run.summary()["cells"]} == {"rest", "grpc", "bare-rest"}


def test_the_ground_of_a_run_is_that_of_its_methods(tmp_path: Path) -> None:
    run = build_set_run(tmp_path, sets=0)
    for number in range(1, 5):
        add_set(run, number, {"rest": CELLS["rest"]}, store="sqlite")
        add_set(run, number + 10, BARE, store="memory")
    out = io.StringIO()
    print_run(run, Console(file=out, width=200))
    first = out.getvalue().partition("Means over sets")[0]
    assert "SQLite" in first and "memory" not in first

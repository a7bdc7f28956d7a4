"""Tests the exported figures against the summary, in the form that each program reads."""

import json
import re
import xml.etree.ElementTree as ET
from typing import Any

import pytest

from bench.results.exports import (
    FORMATS,
    ExportedFigure,
    export_bencher,
    export_github,
    export_junit,
    export_openmetrics,
    list_figures,
)
from bench.results.measures import label_column
from bench.results.thresholds import judge_thresholds, parse_thresholds
from tests.unit.builders import build_run


@pytest.fixture(scope="module")
def summary(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return build_run(tmp_path_factory.mktemp("run")).summary()


def figures(summary: dict[str, Any]) -> list[ExportedFigure]:
    return list(list_figures(summary))


def metric(summary: dict[str, Any], cell: str, column: str) -> dict[str, Any]:
    found: dict[str, Any] = next(one for one in summary["cells"] if one["cell"] == cell)["metrics"][column]
    return found


def test_bencher_has_value_and_ends_by_cell_and_measure(summary: dict[str, Any]) -> None:
    found = json.loads(export_bencher(figures(summary)))
    assert set(found) == {"rest", "grpc", "grpc+json", "broker", "events"}
    source = metric(summary, "grpc", "finish_p50_us")
    assert found["grpc"]["finish_p50_us"] == {
        "value": source["estimate"],
        "lower_value": source["low"],
        "upper_value": source["high"],
    }
    assert "cpu_us_per_order_broker" not in found["rest"] and "cpu_us_per_order_broker" in found["broker"]


def test_github_has_what_is_better_smaller_apart_from_the_rest(summary: dict[str, Any]) -> None:
    smaller, larger = (
        json.loads(export_github(figures(summary))),
        json.loads(export_github(figures(summary), larger=True)),
    )
    label = label_column("achieved_per_s")
    assert {row["name"].partition(": ")[2] for row in larger} == {label.heading}
    assert label.heading not in {row["name"].partition(": ")[2] for row in smaller}
    p50 = label_column("finish_p50_us")
    row = next(row for row in smaller if row["name"] == f"rest: {p50.heading}")
    assert (row["unit"], row["value"]) == (
        p50.unit,
        pytest.approx(metric(summary, "rest", "finish_p50_us")["estimate"] / p50.scale),
    )
    assert re.fullmatch(r"[\d.]+ to [\d.]+", row["range"])


def test_openmetrics_has_a_sample_for_each_end_and_its_last_line(summary: dict[str, Any]) -> None:
    text = export_openmetrics(figures(summary), 'a "run"')
    lines = text.splitlines()
    assert lines[-1] == "# EOF" and text.endswith("\n")
    samples = [line for line in lines if not line.startswith("#")]
    pattern = re.compile(r'fourways_[a-z0-9_]+\{run="a \\"run\\"",cell="[^"]+",end="(estimate|low|high)"\} [\d.e+-]+')
    assert all(pattern.fullmatch(line) for line in samples)
    value = metric(summary, "rest", "finish_p50_us")["low"]
    named = 'fourways_finish_p50_us{run="a \\"run\\"",cell="rest",end="low"'
    (low,) = [one for one in samples if one.startswith(named)]
    assert float(low.rpartition(" ")[2]) == pytest.approx(value)
    families = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    assert len(families) == len(set(families))


def test_junit_fails_an_invalid_cell_and_a_missed_limit(summary: dict[str, Any]) -> None:
    cells = [{**cell, "valid": cell["cell"] != "grpc"} for cell in summary["cells"]]
    changed = {**summary, "cells": cells}
    kept = judge_thresholds(parse_thresholds("p50<6ms"), changed)
    root = ET.fromstring(export_junit(cells, kept))
    failures = {suite.get("name"): int(suite.get("failures", -1)) for suite in root}
    slow = {one.cell for one in kept if not one.holds}
    assert {"broker", "events"} <= slow and "rest" not in slow
    assert failures == {cell["cell"]: (cell["cell"] in slow) + (cell["cell"] == "grpc") for cell in cells}
    assert all(int(suite.get("tests", -1)) == len(suite.findall("testcase")) == 2 for suite in root)


def test_an_invalid_cell_and_a_censored_number_are_in_no_figures(summary: dict[str, Any]) -> None:
    censored = {"estimate": "inf", "low": "inf", "high": "inf"}
    cells = [
        {**cell, "valid": cell["cell"] != "grpc", "metrics": {**cell["metrics"], "finish_p99_us": censored}}
        for cell in summary["cells"]
    ]
    found = json.loads(export_bencher(figures({"cells": cells})))
    assert "grpc" not in found and "rest" in found
    assert not any("finish_p99_us" in one for one in found.values())


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_made_of_every_run(name: str, summary: dict[str, Any]) -> None:
    assert FORMATS[name](figures(summary), "run", summary["cells"], ()).endswith("\n")
    assert FORMATS[name]([], "run", [], ()).endswith("\n")

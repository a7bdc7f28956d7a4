"""Tests THRESHOLDS= of a run, and `fourways export`, as a shell sees them."""

import json
import xml.etree.ElementTree as ET

import pytest

from bench.errors import ExitCode
from bench.paths import REFERENCE
from bench.results.store import RunFolder
from tests.system.command_line import SHORT_RUN, BenchCommandLine, find_code, how_refused

pytestmark = [pytest.mark.slow, pytest.mark.broker]

MEMORY = ("TRANSPORT=memory", *SHORT_RUN)


def test_a_run_that_keeps_its_limits_ends_well(bench: BenchCommandLine) -> None:
    done = bench.run(*MEMORY, "THRESHOLDS=p50<10s, memory/lost<1")
    assert done.returncode in (ExitCode.OK, ExitCode.DOUBTFUL), done.stderr


def test_a_missed_limit_ends_with_ten_and_keeps_the_run(bench: BenchCommandLine) -> None:
    done = bench.run(*MEMORY, "THRESHOLDS=p50<1us")
    run = bench.open_latest_run()
    # On a busy machine its trial is invalid, and an invalid number keeps or misses nothing.
    valid = run.summary()["cells"][0]["valid"]
    expected = (ExitCode.REGRESSION, "threshold") if valid else (ExitCode.DOUBTFUL, "cells-invalid")
    assert (done.returncode, find_code(done.stderr)) == expected, done.stderr
    assert len(run.trials()) == 1


@pytest.mark.parametrize(
    ("limits", "code"), [("p98<1s", "unknown-threshold"), ("p50", "bad-threshold"), ("rest/p50<1s", "unknown-cell")]
)
def test_a_limit_on_a_name_that_does_not_exist_measures_nothing(
    bench: BenchCommandLine, limits: str, code: str
) -> None:
    assert how_refused(bench.run(*MEMORY, f"THRESHOLDS={limits}")) == (ExitCode.USAGE, code)
    assert not (bench.results / "latest").exists()


@pytest.mark.reference
def test_a_kept_run_is_exported_in_every_format(bench: BenchCommandLine) -> None:
    limits = {"junit": ["THRESHOLDS=p50<1us"]}
    exported = {
        name: bench.done(bench.fourways("export", f"AS={name}", "RUN=default", *limits.get(name, [])))
        for name in ("junit", "bencher", "github", "openmetrics")
    }
    assert {name: done.returncode for name, done in exported.items()} == dict.fromkeys(exported, 0)
    summary = RunFolder.open(REFERENCE / "default").summary()
    junit = ET.fromstring(exported["junit"].stdout)
    assert {suite.get("name"): suite.get("failures") for suite in junit} == {
        cell["cell"]: "1" for cell in summary["cells"]
    }
    estimate = summary["cells"][0]["metrics"]["finish_p50_us"]["estimate"]
    assert json.loads(exported["bencher"].stdout)["rest"]["finish_p50_us"]["value"] == estimate
    assert any(row["name"].startswith("rest: ") for row in json.loads(exported["github"].stdout))
    assert exported["openmetrics"].stdout.endswith("# EOF\n")

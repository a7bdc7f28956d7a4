"""Tests how a run stands to THRESHOLDS, and how the command ends."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from bench.cli.measuring import hold_against
from bench.errors import Regression
from bench.results.store import RunFolder
from bench.results.thresholds import parse_thresholds
from tests.conftest import refuses
from tests.unit.builders import build_run


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return build_run(tmp_path, rounds=6)


def test_a_missed_limit_is_a_regression(run: RunFolder) -> None:
    with refuses("threshold", "events", kind=Regression):
        hold_against(parse_thresholds("p50<8ms"), run, Console(file=io.StringIO()))


@pytest.mark.parametrize("limits", ["p50<20ms,lost<1", ""])
def test_limits_that_are_kept_end_nothing(run: RunFolder, limits: str) -> None:
    hold_against(parse_thresholds(limits), run, Console(file=io.StringIO()))

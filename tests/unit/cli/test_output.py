"""Tests that --json prints the result as JSON, over the kept runs."""

import json
import math
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bench.calibration import codecs
from bench.cli import app
from bench.cli.commands import COMMANDS
from bench.cli.output import print_json
from bench.errors import ExitCode
from bench.paths import REFERENCE
from bench.results.lookup import find_reference_runs


def refuse_constant(name: str) -> None:
    raise AssertionError(f"{name} is no JSON")


@pytest.mark.reference
@pytest.mark.parametrize(
    ("line", "kind", "names"),
    [
        ("show RUN=default", dict, {"cells"}),
        ("show RUN=capacity", dict, set()),
        ("compare A=default B=again RESULTS={folder}", dict, set()),
        ("advise", dict, set()),
        ("advise SIZE=64KiB RATE=100 SECURITY=tls", dict, set()),
        ("pros", list, set()),
        ("hops RUN=default", list, {"service", "mean_us"}),
        ("health RUN=default", list, set()),
        ("health RUN=aa", list, set()),
    ],
)
def test_a_result_is_printed_as_json(
    line: str, kind: type, names: set[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if "{folder}" in line:
        shutil.copytree(REFERENCE / "default", tmp_path / "again")
    with pytest.raises(SystemExit) as ended:
        app.main([*line.format(folder=tmp_path).split(), "--json"])
    out, err = capsys.readouterr()
    assert (ended.value.code, err) == (ExitCode.OK, "")
    result = json.loads(out, parse_constant=refuse_constant)
    assert isinstance(result, kind)
    assert result
    assert names <= set(result if isinstance(result, dict) else result[0])


@dataclass
class Point:
    at: Path
    value: Any


@pytest.mark.parametrize(
    ("result", "printed"),
    [
        ({"a": math.inf, "b": math.nan, 3: None}, {"a": "inf", "b": None, "3": None}),
        (pd.DataFrame({"x": [1.5, math.nan], "y": ["Ü", None]}), [{"x": 1.5, "y": "Ü"}, {"x": None, "y": None}]),
        ([np.float64(2.5), np.int64(3), np.bool_(True)], [2.5, 3, True]),
        (Point(Path("a b"), (1, {2})), {"at": "a b", "value": [1, [2]]}),
    ],
)
def test_what_json_has_no_word_for_is_printed_in_another(
    result: object, printed: object, capsys: pytest.CaptureFixture[str]
) -> None:
    print_json(result)
    assert json.loads(capsys.readouterr().out, parse_constant=refuse_constant) == printed


@pytest.mark.reference
@pytest.mark.parametrize("name", find_reference_runs())
def test_show_prints_a_run_and_leaves_its_folder_alone(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "runs" / name
    shutil.copytree(find_reference_runs()[name], folder)
    before = read_folder(folder)
    with pytest.raises(SystemExit) as ended:
        app.main(["show", f"RUN={name}", f"RESULTS={tmp_path / 'runs'}"])
    assert ended.value.code == ExitCode.OK
    assert read_folder(folder) == before


def read_folder(folder: Path) -> dict[Path, tuple[bytes, int]]:
    """Returns content and time of change of each file."""
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()}


def test_every_command_that_measures_the_harness_has_its_result_as_json() -> None:
    assert [command.name for command in COMMANDS if command.harness and not command.has_json] == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "kind", "names"),
    [
        (["codecs", "ROUNDS=1", "ROUND_MS=1"], list, {"codec", "encode_ns"}),
        (["selftest", "ONLY=50 orders"], dict, set()),
    ],
    ids=lambda part: part[0] if isinstance(part, list) else "",
)
def test_a_result_of_the_harness_is_printed_as_json(
    line: list[str],
    kind: type,
    names: set[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its tables go to standard error."""
    monkeypatch.setattr(codecs, "SIZES_BYTES", codecs.SIZES_BYTES[:1])
    with pytest.raises(SystemExit) as ended:
        app.main(["harness", *line, "--json"])
    out, err = capsys.readouterr()
    assert ended.value.code == ExitCode.OK, err
    result = json.loads(out, parse_constant=refuse_constant)
    assert isinstance(result, kind)
    assert result
    assert names <= set(result[0] if isinstance(result, list) else result)

"""Tests the comparison of two runs: their differences, and what cannot be compared."""

import io
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from bench.cli.app import main
from bench.errors import ExitCode, UsageError
from bench.report.terminal.compare import render_comparison
from bench.results.compare import RunComparison, compare_runs
from bench.results.differences import Difference
from bench.results.store import RunFolder
from tests.conftest import refuses
from tests.unit.advise.test_ranking import LUCK
from tests.unit.builders import build_trial

MANIFEST: Mapping[str, Any] = {
    "machine": {"cpu_model": "AMD EPYC", "cores": 2, "load_1m": 0.5},
    "versions": {"aiohttp": "3.14.5"},
    "git": {"commit": "abc", "dirty": False},
    "profile": {"durability": "fast", "rates_per_s": [150.0], "burst": {"peak": 10.0}},
    "speed_probe_us": 300.0,
}


def a_run(root: Path, name: str, times: float = 1.0, rounds: int = 6, **manifest: Any) -> RunFolder:
    run = RunFolder.create(root, name, {**MANIFEST, **manifest})
    for number in range(1, rounds + 1):
        run.add_trial(build_trial(round=number, cpu_us_per_order_services=2000 * times * LUCK[number - 1]), {})
    return run


def text(comparison: RunComparison) -> str:
    console = Console(width=80, color_system=None, file=(out := io.StringIO()))
    console.print(render_comparison(comparison), highlight=False)
    return out.getvalue()


def test_the_ratio_is_b_over_a_with_an_interval(tmp_path: Path) -> None:
    (cell,) = compare_runs(a_run(tmp_path, "a"), a_run(tmp_path, "b", times=1.5)).cells
    found = cell.metrics["cpu_us_per_order_services"]
    assert found.b.value == pytest.approx(1.5 * (found.a.value or 0))
    assert found.change.value == pytest.approx(1.5, rel=0.01)
    assert found.change.low is not None
    assert found.change.low > 1.3


def test_runs_that_do_not_differ_show_no_difference(tmp_path: Path) -> None:
    said = text(compare_runs(a_run(tmp_path, "a"), a_run(tmp_path, "b")))
    assert "Of the environment nothing differs." in said
    assert "Of the settings nothing differs." in said
    assert not re.search(r" \*\s*$", said, re.MULTILINE)


def test_a_method_that_differs_beside_rest_has_a_star_in_its_row(tmp_path: Path) -> None:
    a, b = a_run(tmp_path, "a"), a_run(tmp_path, "b")
    for run, times in ((a, 1.0), (b, 2.0)):
        for number in range(1, 7):
            cpu_us = 2500 * times * LUCK[-number]
            grpc = {"cell": "grpc", "transport": "grpc", "round": number}
            run.add_trial(build_trial(**grpc, cpu_us_per_order_services=cpu_us), {})
    said = text(compare_runs(a, b))
    rest, grpc_row = re.findall(r"^ CPU of services, us.*$", said, re.MULTILINE)
    assert re.search(r" 2\.00 +2\.00 +1\.\d+ to 2\.\d+ \* *$", grpc_row)
    assert "*" not in rest
    assert said.splitlines()[0].startswith("No move of the machine is shown by rest")
    assert max(map(len, said.splitlines())) <= 80


def test_what_differs_in_environment_and_settings_is_said_first(tmp_path: Path) -> None:
    other = {
        "versions": {"aiohttp": "3.15.0", "uvloop": "0.23"},
        "profile": {"durability": "fast", "rates_per_s": [150.0], "burst": {"peak": 5.0}},
    }
    comparison = compare_runs(a_run(tmp_path, "a"), a_run(tmp_path, "b", **other))
    assert comparison.environment == (
        Difference(what="versions.aiohttp", a="3.14.5", b="3.15.0"),
        Difference(what="versions.uvloop", a="", b="0.23"),
    )
    assert comparison.settings == (Difference(what="burst.peak", a="10", b="5"),)
    said = text(comparison)
    assert said.index("versions.aiohttp") < said.index("burst.peak") < said.index("finish p50")


def test_another_machine_is_a_caveat_and_another_load_of_it_is_none(tmp_path: Path) -> None:
    a = a_run(tmp_path, "a")
    other = a_run(tmp_path, "b", machine={"cpu_model": "Xeon", "cores": 2, "load_1m": 0.5})
    assert "different machines, or of one that was changed (cpu_model)" in compare_runs(a, other).caveats[0]
    busier = a_run(tmp_path, "c", machine={"cpu_model": "AMD EPYC", "cores": 2, "load_1m": 3.0})
    assert not [caveat for caveat in compare_runs(a, busier).caveats if "machines" in caveat]


def test_another_build_of_python_counts_as_another_machine_and_its_speed_alone_does_not(tmp_path: Path) -> None:
    build = {"version": "3.11.2", "pgo": True, "object_code_ns": 3000}
    a = a_run(tmp_path, "a", python=build)
    other = a_run(tmp_path, "b", python=build | {"pgo": False})
    assert "(build of Python)" in compare_runs(a, other).caveats[0]
    slower = a_run(tmp_path, "c", python=build | {"object_code_ns": 4000})
    assert not [caveat for caveat in compare_runs(a, slower).caveats if "machines" in caveat]


def test_failures_and_losses_stand_above_speed_and_count_in_invalid_trials_too(tmp_path: Path) -> None:
    b = a_run(tmp_path, "b")
    b.add_trial(build_trial(round=7, failed=40, lost=3, valid=False, complete=False), {})
    comparison = compare_runs(a_run(tmp_path, "a"), b)
    assert comparison.cells[0].orders[1]["failed"] == 40
    assert comparison.cells[0].trials == (6, 6)
    said = text(comparison)
    assert re.search(r"^ failed, unfinished +0 +40 *$", said, re.MULTILINE) is not None
    assert said.index(" lost ") < said.index("finish p50")


def test_three_trials_give_a_ratio_without_an_interval(tmp_path: Path) -> None:
    said = text(compare_runs(a_run(tmp_path, "a", rounds=3), a_run(tmp_path, "b", rounds=3)))
    assert "no interval" in said


def test_a_cell_of_one_run_alone_and_one_of_other_settings_are_left_out_with_the_reason(tmp_path: Path) -> None:
    a, b = a_run(tmp_path, "a"), a_run(tmp_path, "b")
    a.add_trial(build_trial(cell="grpc", transport="grpc"), {})
    for run, size in ((a, 1024), (b, 2048)):
        run.add_trial(build_trial(cell="broker", transport="broker", order_bytes=size), {})
    assert compare_runs(a, b).left_out == {
        "grpc": "not in B",
        "broker": "order_bytes is 1024 in A and 2048 in B",
    }


def test_an_invalid_cell_is_not_compared(tmp_path: Path) -> None:
    a, b = a_run(tmp_path, "a"), a_run(tmp_path, "b")
    b.add_trial(build_trial(cell="grpc", transport="grpc", valid=False), {})
    a.add_trial(build_trial(cell="grpc", transport="grpc"), {})
    assert compare_runs(a, b).left_out == {"grpc": "INVALID in B, 0 of 1 trials are valid"}


def test_runs_without_a_cell_in_common_are_refused(tmp_path: Path) -> None:
    b = RunFolder.create(tmp_path, "b", dict(MANIFEST))
    b.add_trial(build_trial(cell="grpc", transport="grpc"), {})
    with pytest.raises(UsageError, match=r"no cell in common .*not in B: rest; not in A: grpc"):
        compare_runs(a_run(tmp_path, "a"), b)


def test_another_class_of_durability_is_refused(tmp_path: Path) -> None:
    b = a_run(tmp_path, "b", profile={**MANIFEST["profile"], "durability": "safe"})
    with pytest.raises(UsageError, match=r"of durability fast and .* of safe"):
        compare_runs(a_run(tmp_path, "a"), b)


def test_another_schema_is_refused_where_columns_mean_something_else(tmp_path: Path) -> None:
    a, b = a_run(tmp_path, "a"), a_run(tmp_path, "b")
    b.update_manifest(schema_version=4)
    assert compare_runs(a, b).cells
    b.update_manifest(schema_version=3)
    with pytest.raises(UsageError, match="schema 3") as refused:
        compare_runs(a, b)
    assert refused.value.code == "schemas-differ"


def test_a_run_is_not_compared_with_itself(tmp_path: Path) -> None:
    run = a_run(tmp_path, "a")
    with pytest.raises(UsageError, match="A and B are both"):
        compare_runs(run, RunFolder.open(run.path))


def typed(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, list[str]]:
    """Returns the exit code and the lines of the refusal."""
    with pytest.raises(SystemExit) as ended:
        main(words)
    return int(ended.value.code or 0), capsys.readouterr().err.splitlines()


def test_the_command_ends_well_and_a_refusal_is_a_sentence_with_a_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a_run(tmp_path, "a"), a_run(tmp_path, "b")
    results = f"RESULTS={tmp_path}"
    assert typed(capsys, "compare", "A=a", "B=latest", results)[0] == ExitCode.OK
    for words in (("A=a",), ("A=a", "B=a"), ("A=a", "B=c"), ("A=a", "C=b"), ("A=a", "b")):
        code, said = typed(capsys, "compare", *words, results)
        assert (code, len(said)) == (ExitCode.USAGE, 1), said
    (tmp_path / "b" / "manifest.json").write_text("{")
    assert typed(capsys, "compare", "A=a", "B=b", results)[0] == ExitCode.NO_RESULTS


def test_a_cell_of_another_interpreter_is_another_cell(tmp_path: Path) -> None:
    other = RunFolder.create(tmp_path, "b", MANIFEST)
    other.add_trial(build_trial(interpreter="3.12.1"), {})
    with refuses("nothing-in-common", "3.12.1"):
        compare_runs(a_run(tmp_path, "a"), other)


@pytest.mark.parametrize(
    ("changed", "doubted"),
    [({"object_code_ns": 9000}, False), ({"pgo": False}, True)],
)
def test_an_interpreter_that_was_built_anew_is_another_machine(
    tmp_path: Path, changed: dict[str, Any], doubted: bool
) -> None:
    facts = {"version": "3.11.2", "pgo": True, "object_code_ns": 3000}
    both = ({"3.11.2+pgo": facts}, {"3.11.2+pgo": facts | changed, "3.13.0": facts})
    runs = [a_run(tmp_path, name, interpreters=one) for name, one in zip("ab", both, strict=True)]
    caveats = compare_runs(*runs).caveats
    assert any("build of Python" in caveat for caveat in caveats) == doubted

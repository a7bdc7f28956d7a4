"""The files of a comparison: byte-identical from the counts, and nothing from damaged ones."""

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import msgspec
import pytest

from bench.errors import ExitCode, ResultsError, Unmeasured
from bench.regress.judge import Word
from bench.regress.outputs import (
    MARKER,
    format_counts,
    judge_folder,
    parse_counts,
    render_junit,
    render_summary,
    write_counts,
    write_verdict,
)
from bench.regress.verdict import LeftOut, Verdict, build_verdict
from tests.unit.regress.counts import CELL, build_counts, build_plan

OVER = dict.fromkeys((0, 1, 2), 100.0)
WRITTEN = {"plan.json", "counts.csv", "regression.json", "summary.md", "junit.xml", "exit-code"}


def test_counts_come_back_as_they_were_written() -> None:
    counts = build_counts({0: 1 / 3, 1: 1e-9}, base=3_808_211.123456789)
    assert parse_counts(format_counts(counts)) == counts


@pytest.mark.parametrize("strict", [False, True])
def test_judging_again_writes_the_same_bytes(tmp_path: Path, strict: bool) -> None:
    folder = tmp_path / "made-up"
    plan, counts = build_plan(strict=strict), build_counts(OVER)
    write_counts(folder, plan, counts)
    write_verdict(folder, build_verdict(plan, counts))
    first = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert first.keys() == WRITTEN
    for name in WRITTEN - {"plan.json", "counts.csv"}:
        (folder / name).unlink()
    assert judge_folder(tmp_path / "latest").exit_code == ExitCode.REGRESSION
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == first


@pytest.mark.parametrize(
    "text",
    [
        "",
        format_counts([]),
        format_counts(build_counts({0: 0.0}))[:-1],
        format_counts(build_counts({0: 0.0})) + "rest,calls,base,0,0,much\n",
        format_counts(build_counts({0: 0.0})) + "rest,calls,base,0,0,nan\n",
        format_counts(build_counts({0: 0.0})) + "rest,calls,both,0,0,1\n",
        format_counts(build_counts({0: 0.0})).replace("metric", "metrics"),
    ],
)
def test_damaged_counts_are_refused(text: str) -> None:
    with pytest.raises(Unmeasured):
        parse_counts(text)


@pytest.mark.parametrize(("file", "content"), [("plan.json", b"{"), ("plan.json", b"{}"), ("counts.csv", b"\xff")])
def test_a_folder_with_a_damaged_file_is_not_judged(tmp_path: Path, file: str, content: bytes) -> None:
    write_counts(tmp_path / "made-up", build_plan(), build_counts({0: 0.0}))
    (tmp_path / "made-up" / file).write_bytes(content)
    with pytest.raises(Unmeasured):
        judge_folder(tmp_path / "made-up")


def test_a_folder_without_counts_is_no_comparison(tmp_path: Path) -> None:
    with pytest.raises(ResultsError):
        judge_folder(tmp_path)


def test_the_verdict_comes_back_as_it_was_written(tmp_path: Path) -> None:
    verdict = build_verdict(build_plan(), build_counts(OVER))
    write_verdict(tmp_path, verdict)
    assert msgspec.json.decode((tmp_path / "regression.json").read_bytes(), type=Verdict) == verdict


def test_the_exit_code_stands_in_a_file_of_its_own(tmp_path: Path) -> None:
    write_verdict(tmp_path, build_verdict(build_plan(), build_counts(OVER)))
    assert (tmp_path / "exit-code").read_text() == "10\n"
    assert json.loads((tmp_path / "regression.json").read_bytes())["exit_code"] == 10


@pytest.mark.parametrize(
    ("changes", "strict", "kinds"),
    [
        (OVER, False, ["failure"]),
        ({0: 0.0}, False, []),
        ({0: 100.0}, False, ["skipped"]),
        ({0: 100.0}, True, ["failure"]),
    ],
)
def test_junit_has_a_case_for_each_metric(changes: dict[int, float], strict: bool, kinds: list[str]) -> None:
    root = ET.fromstring(render_junit(build_verdict(build_plan(strict=strict), build_counts(changes))))
    (suite,) = root
    (case,) = suite
    assert (case.get("classname"), case.get("name")) == ("rest", "calls")
    assert [child.tag for child in case] == kinds
    assert (suite.get("tests"), suite.get("failures")) == ("1", str(kinds.count("failure")))


@pytest.mark.parametrize(
    "verdict",
    [
        build_verdict(build_plan(), []),
        build_verdict(build_plan(thresholds={}, unmeasured={"grpc": "it does not run"}), []),
    ],
)
def test_junit_of_what_could_not_be_compared_has_an_error(verdict: object) -> None:
    root = ET.fromstring(render_junit(verdict))  # type: ignore[arg-type]
    assert [case.find("error") is not None for case in root.iter("testcase")] == [True]


def test_the_summary_begins_with_its_marker_and_fits_into_a_comment() -> None:
    left_out = tuple(
        LeftOut(cell=CELL, metric=f"metric-{number}", word=Word.NOT_MEASURED, why="w" * 100) for number in range(150)
    )
    text = render_summary(build_verdict(build_plan(left_out=left_out), build_counts(OVER)))
    assert text.startswith(MARKER)
    assert len(text) < 60_000


def test_the_summary_has_no_markup_from_outside() -> None:
    plan = build_plan(announcements=("<script>|",), unmeasured={"grpc": "<b>|"})
    text = render_summary(build_verdict(plan, build_counts({0: 0.0})))
    assert "<script>" not in text
    assert "<b>" not in text

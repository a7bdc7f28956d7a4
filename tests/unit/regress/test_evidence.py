"""The tables of docs/regression.md are those of the kept counts, and the judge finds in these what was put there."""

import re
from pathlib import Path

import pytest

from bench.paths import ROOT
from bench.regress.evidence import KINDS, add_comparison, read_comparisons, render_tables
from bench.regress.judge import Word
from bench.regress.outputs import write_counts
from bench.regress.thresholds import FILE, parse_gates
from tests.unit.regress.counts import build_counts, build_plan

PAGE = ROOT / "docs" / "regression.md"


@pytest.mark.reference
def test_the_page_has_the_tables_of_the_kept_counts() -> None:
    shown = dict(re.findall(r"<!-- (\w+) -->\n(.*?)<!-- end -->", PAGE.read_text("utf-8"), re.DOTALL))
    assert shown == render_tables()


@pytest.mark.reference
def test_nothing_is_found_where_nothing_was_changed() -> None:
    gates = parse_gates((ROOT / FILE).read_text("utf-8"), "this checkout")
    words = {finding.word for one in read_comparisons() if one.kind == "aa" for finding in one.judge(gates)}
    assert words == {Word.PASS}


def test_a_kept_comparison_comes_back_as_it_was_counted(tmp_path: Path) -> None:
    counts = {name: build_counts({0: 1 / 3}, cell=name) for name in ("rest", "grpc")}
    for name, kind in (("rest", "aa"), ("grpc", "injected")):
        write_counts(tmp_path / "runs" / name, build_plan(id=name), counts[name])
        add_comparison(kind, f"a change, of {name}", tmp_path / "runs" / name, tmp_path / "kept")
    first, second = read_comparisons(tmp_path / "kept")
    assert (first.id, first.kind, first.what, first.observations) == ("rest", "aa", "a change, of rest", counts["rest"])
    assert (second.id, second.kind, second.observations) == ("grpc", "injected", counts["grpc"])
    assert first.kind in KINDS

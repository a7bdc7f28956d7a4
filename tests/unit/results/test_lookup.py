"""Tests how runs are found by id, by name and by path."""

from pathlib import Path

import pytest

from bench.errors import UsageError
from bench.paths import REFERENCE
from bench.results.lookup import find_run_folder, find_two_runs
from tests.unit.builders import build_run


def test_a_run_is_found_by_its_id_before_one_that_is_kept(tmp_path: Path) -> None:
    assert find_run_folder("default", tmp_path) == REFERENCE / "default"
    own = build_run(tmp_path, rounds=1).path.rename(tmp_path / "default")
    assert find_run_folder("default", tmp_path) == own
    assert find_run_folder(str(own), tmp_path / "elsewhere") == own


def test_a_kept_run_is_none_to_go_on_with(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as raised:
        find_run_folder("default", tmp_path, is_kept=False)
    assert raised.value.code == "unknown-run"
    assert str(tmp_path) in str(raised.value)


def test_a_misspelt_run_gets_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="'default'") as raised:
        find_run_folder("defualt", tmp_path)
    assert raised.value.code == "unknown-run"


@pytest.mark.parametrize(("a", "b", "word"), [("", "latest", "A="), ("default", "", "B=")])
def test_a_comparison_needs_two_runs(tmp_path: Path, a: str, b: str, word: str) -> None:
    with pytest.raises(UsageError, match=word) as raised:
        find_two_runs(a, b, tmp_path)
    assert raised.value.code == "missing-run"

"""Tests that wrong arguments give one sentence and an exit code, and how runs are named."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from bench.cli.app import USAGE, app
from bench.errors import UsageError
from bench.results.lookup import REFERENCE, find_run_folder
from tests.unit.builders import build_run


@pytest.mark.parametrize(
    ("command", "known"),
    [("pros", "RUN"), ("advise", "SIZE"), ("compare", "A"), ("report", "RUN")],
)
@pytest.mark.parametrize("word", ["ROUNDZ=3", "default"])
def test_a_word_that_a_command_does_not_know_is_refused_in_a_sentence(command: str, known: str, word: str) -> None:
    done = CliRunner().invoke(app, [command, word])
    assert (done.exit_code, len(done.stderr.splitlines())) == (USAGE, 1)
    if "=" in word:
        assert "no setting 'ROUNDZ'; " in done.stderr
        assert known in done.stderr
    else:
        assert done.stderr.startswith(f"'default' is no setting; give KEY=VALUE, for instance {known}=")


def test_a_run_is_named_by_its_id_before_it_is_one_that_is_kept(tmp_path: Path) -> None:
    assert find_run_folder("default", tmp_path) == REFERENCE / "default"
    own = build_run(tmp_path, rounds=1).path.rename(tmp_path / "default")
    assert find_run_folder("default", tmp_path) == own
    assert find_run_folder(str(own), tmp_path / "elsewhere") == own


def test_a_run_that_is_kept_is_none_to_go_on_with(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^there is no run default; give the id .* in \S+, or latest$"):
        find_run_folder("default", tmp_path, is_kept=False)
    done = CliRunner().invoke(app, ["run", "RESUME=default", "--results", str(tmp_path)])
    assert done.exit_code == USAGE

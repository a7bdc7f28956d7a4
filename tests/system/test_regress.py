"""`fourways regress` on real trees: a commit with itself, one with a defect, and one that cannot be run."""

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.errors import ExitCode
from bench.paths import ROOT
from bench.provision.cleanup import RUN_PREFIX
from bench.regress.tools import find_call_counter, find_instruction_counter
from tests.system.command_line import CommandLine, find_code, wait_until

pytestmark = pytest.mark.slow

PAYMENT = "shop/payments.py"


@pytest.fixture
def house(tmp_path: Path) -> Iterator[CommandLine]:
    """A command line without a broker; kills the processes that a failed test left."""
    made = CommandLine(tmp_path, {})
    yield made
    for process in made.processes():
        process.kill()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A clone of the working tree as it is, with one commit, and `.venv` of this checkout."""
    place = tmp_path / "checkout"
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        check=True,
        capture_output=True,
    )
    for name in os.fsdecode(listed.stdout).split("\0"):
        if name and not name.startswith(("results/", "tests/", "docs/")) and (ROOT / name).is_file():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, place / name)
    (place / ".venv").symlink_to((ROOT / ".venv").resolve())
    git(place, "init", "-q", "-b", "main")
    commit(place, "base")
    return place


def git(checkout: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    done = subprocess.run(
        ["git", "-C", str(checkout), *identity, *arguments], check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def commit(checkout: Path, message: str) -> str:
    git(checkout, "add", "-A")
    git(checkout, "commit", "-q", "--allow-empty", "-m", message)
    return git(checkout, "rev-parse", "HEAD")


def compare(house: CommandLine, checkout: Path, *words: str) -> tuple["subprocess.CompletedProcess[str]", Path]:
    """Runs `fourways regress` of that checkout; returns how it ended, and the folder that it kept."""
    program = [str(checkout / ".venv" / "bin" / "python"), "-m", "bench", "regress", "BUDGET=0"]
    house.env["PYTHONPATH"] = str(checkout)
    done = subprocess.run(
        [*program, *words, f"RESULTS={house.results}", f"STATE={house.home}"],
        cwd=checkout,
        env=house.env,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    return done, house.results / "regress" / "latest"


def words_of(folder: Path) -> dict[str, str]:
    """What was said of each metric of the one method."""
    verdict = json.loads((folder / "regression.json").read_bytes())
    return {finding["metric"]: finding["word"] for finding in verdict["findings"]}


def replace_text(path: Path, old: str, new: str) -> None:
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new), "utf-8")


def left_in(house: CommandLine) -> list[str]:
    return [path.name for path in house.home.glob(f"{RUN_PREFIX}*")]


@pytest.mark.parametrize("method", ["memory", "rest"])
def test_a_commit_takes_no_more_than_itself(house: CommandLine, checkout: Path, method: str) -> None:
    commit(checkout, "the same again")
    done, folder = compare(house, checkout, "BASE=HEAD~1", f"TRANSPORT={method}")
    assert done.returncode == ExitCode.OK, done.stdout + done.stderr
    assert (folder / "exit-code").read_text() == "0\n"
    said = words_of(folder)
    counted = {metric for metric, word in said.items() if word == "PASS"}
    assert {"handled_payment", "kept_objects", "kept_bytes"} <= counted
    assert ("instructions" in counted) == bool(find_instruction_counter().name)
    assert ("system_calls" in counted) == bool(find_call_counter().name)
    assert set(said.values()) <= {"PASS", "INCONCLUSIVE", "NOT MEASURED"}
    assert (house.processes(), left_in(house)) == ([], [])


def test_an_order_that_is_decided_otherwise_is_a_regression(house: CommandLine, checkout: Path) -> None:
    """In the working tree, which is not committed."""
    replace_text(checkout / PAYMENT, "if card == DECLINED_CARD:", "if card == DECLINED_CARD[1:]:")
    done, folder = compare(house, checkout, "BASE=HEAD", "TRANSPORT=memory")
    assert done.returncode == ExitCode.REGRESSION, done.stdout + done.stderr
    assert find_code(done.stderr) == "regression"
    assert words_of(folder)["orders lost"] == "FAIL"
    assert (house.processes(), left_in(house)) == ([], [])


def test_a_revision_that_cannot_be_run_is_not_compared(house: CommandLine, checkout: Path) -> None:
    good = git(checkout, "rev-parse", "HEAD")
    (checkout / "shop" / "factory.py").unlink()
    broken = commit(checkout, "without a part")
    for words in ((f"BASE={broken}", f"HEAD={good}"), (f"BASE={good}", f"HEAD={broken}")):
        git(checkout, "checkout", "-q", good)
        done, folder = compare(house, checkout, *words, "TRANSPORT=memory")
        assert done.returncode == ExitCode.UNMEASURED, done.stdout + done.stderr
        assert find_code(done.stderr) == "not-compared"
        assert "shop.factory" in done.stderr
        assert (folder / "exit-code").read_text() == "12\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_comparison_that_is_ended_leaves_nothing(house: CommandLine, checkout: Path, number: signal.Signals) -> None:
    program = [str(checkout / ".venv" / "bin" / "python"), "-m", "bench", "regress"]
    words = ["BASE=HEAD", "TRANSPORT=rest", "BUDGET=0", f"RESULTS={house.results}", f"STATE={house.home}"]
    house.env["PYTHONPATH"] = str(checkout)
    with subprocess.Popen(
        [*program, *words], cwd=checkout, env=house.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        wait_until(lambda: any("replay.py" in " ".join(one.cmdline()) for one in house.processes()))
        process.send_signal(number)
        process.communicate(timeout=60)
    if number is signal.SIGINT:
        assert process.returncode == ExitCode.STOPPED
    else:  # what a kill leaves, the next command sweeps
        assert (
            subprocess.run([program[0], "-m", "bench", "down", words[-1]], env=house.env, check=False).returncode == 0
        )
    assert (house.processes(), left_in(house)) == ([], [])
    assert len(git(checkout, "worktree", "list").splitlines()) == 1


@pytest.mark.parametrize(
    ("words", "code", "exit_code"),
    [
        ((), "no-base", ExitCode.USAGE),
        (("BASE=nowhere",), "unknown-revision", ExitCode.USAGE),
        (("BASE=HEAD", "TRANSPORT=rset"), "unknown-transport", ExitCode.USAGE),
        (("judge", "RUN=nowhere"), "unknown-run", ExitCode.USAGE),
        (("judge", "latest"), "unknown-run", ExitCode.USAGE),
        (("explain",), "no-setting", ExitCode.USAGE),
    ],
)
def test_what_cannot_be_compared_is_refused_before_anything_starts(
    house: CommandLine, words: tuple[str, ...], code: str, exit_code: ExitCode
) -> None:
    done = house.done(house.script("regress", *words))
    assert (done.returncode, find_code(done.stderr)) == (exit_code, code), done.stderr
    assert done.stdout == ""


def test_a_kept_comparison_is_judged_again(house: CommandLine, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "bench" / "regress" / "known", tmp_path / "known")
    done = house.done(house.script("regress", "judge", str(tmp_path / "known")))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "known" / "exit-code").read_text() == "0\n"
    counts = tmp_path / "known" / "counts.csv"
    counts.write_bytes(counts.read_bytes()[:-1])
    done = house.done(house.script("regress", "judge", str(tmp_path / "known")))
    assert (done.returncode, find_code(done.stderr)) == (ExitCode.UNMEASURED, "damaged-counts")


def test_the_self_test_passes(house: CommandLine) -> None:
    assert house.done(house.script("regress", "selftest")).returncode == 0

"""Tests that each test has the markers of what it needs, and that tests/tiers.py sees to it."""

import re
from pathlib import Path

import pytest

from bench.paths import REFERENCE, ROOT
from tests.tiers import READS_REFERENCE, STARTS_PROCESS, USES_BROKERS

pytest_plugins = ("pytester",)

TIERS = ("system", "contract", "plugin")
FILES = sorted(path for tier in TIERS for path in (ROOT / "tests" / tier).glob("test_*.py"))
"""All but the unit tests, which tests/tiers.py watches while they run."""

WORDS = {
    "broker": r"\b(servers: Mapping|start_kept_brokers|BenchCommandLine\b)",
    "browser": r"\bselenium\b",
}
"""By marker, what the text of a file has that needs it."""


def read_marks(path: Path) -> set[str]:
    return set(re.findall(r"pytest\.mark\.(\w+)", path.read_text("utf-8")))


def read_file_marks(path: Path) -> set[str]:
    """The marks of a file as a whole."""
    (marks,) = re.findall(r"^pytestmark = (.*?)$(?=\n\n|\Z)", path.read_text("utf-8"), re.MULTILINE | re.DOTALL) or [""]
    return set(re.findall(r"pytest\.mark\.(\w+)", marks))


def test_what_is_no_unit_test_is_slow_as_a_whole() -> None:
    assert {path.parent.name for path in FILES} == set(TIERS)
    assert [path.name for path in FILES if "slow" not in read_file_marks(path)] == []


@pytest.mark.parametrize("marker", WORDS)
def test_a_file_that_speaks_of_what_needs_a_marker_has_it(marker: str) -> None:
    speaking = [path for path in FILES if re.search(WORDS[marker], path.read_text("utf-8"))]
    assert speaking
    assert [path.name for path in speaking if marker not in read_marks(path)] == []


def test_every_marker_says_what_it_means(pytestconfig: pytest.Config) -> None:
    said = dict(line.split(": ", 1) for line in pytestconfig.getini("markers") if ": " in line)
    assert said.keys() >= {"slow", "broker", "browser", "reference", "nightly"}


def run_test(pytester: pytest.Pytester, body: str, mark: str) -> str:
    """Run a test of this body under tests/tiers.py, in a process like this one; return what pytest said."""
    decorated = f"@pytest.mark.{mark}\n" if mark else ""
    pytester.makepyfile(f"import subprocess, sys, pytest\n@pytest.fixture\ndef servers(): pass\n{decorated}{body}")
    config = "\n".join(f"    {name}: it" for name in ("slow", "broker", "browser", "reference", "nightly"))
    pytester.makeini(f"[pytest]\nasyncio_default_fixture_loop_scope = function\nmarkers =\n{config}")
    result = pytester.runpytest_inprocess("-p", "tests.tiers", "-p", "no:locust", "-p", "no:cacheprovider")
    return "\n".join(result.outlines + result.errlines)


@pytest.mark.slow
@pytest.mark.reference
@pytest.mark.parametrize(
    ("body", "said", "mark"),
    [
        ("def test_it(): subprocess.run([sys.executable, '-c', ''])", STARTS_PROCESS, "slow"),
        (f"def test_it(): open({str(REFERENCE / 'default' / 'trials.csv')!r}).close()", READS_REFERENCE, "reference"),
        ("def test_it(servers): pass", USES_BROKERS, "broker"),
    ],
    ids=["process", "reference", "brokers"],
)
def test_a_test_without_the_marker_of_what_it_does_fails(
    pytester: pytest.Pytester, body: str, said: str, mark: str
) -> None:
    assert said in run_test(pytester, body, "")
    assert "1 passed" in run_test(pytester, body, mark)

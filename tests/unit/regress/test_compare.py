"""Whose thresholds hold, and what a reader is told before the figures."""

from pathlib import Path

import pytest

from bench.errors import Unmeasured
from bench.regress.compare import announce_changes, find_gates
from bench.regress.judge import Threshold
from bench.regress.trees import resolve_revision
from tests.unit.regress.conftest import Git

pytestmark = pytest.mark.slow

STRICT = 'methods = ["rest"]\n[metrics.calls]\nshare = 0.01\n'
LOOSE = STRICT.replace("0.01", "0.9")


@pytest.fixture
def loosened(checkout: Path, git: Git) -> Path:
    """Three commits: one without thresholds, one with strict ones, and one with loose ones."""
    for text in (STRICT, LOOSE):
        (checkout / "regress.toml").write_text(text)
        git("add", "-A")
        git("commit", "-q", "-m", "thresholds")
    return checkout


def test_thresholds_that_were_loosened_do_not_hold(loosened: Path) -> None:
    gates, whose = find_gates(loosened, resolve_revision(loosened, "HEAD~1"))
    assert gates.thresholds("rest") == {"calls": Threshold(share=0.01)}
    assert "HEAD~1" in whose


def test_of_a_base_without_thresholds_those_of_the_checkout_hold(loosened: Path) -> None:
    gates, whose = find_gates(loosened, resolve_revision(loosened, "HEAD~2"))
    assert gates.thresholds("rest") == {"calls": Threshold(share=0.9)}
    assert "HEAD~2" not in whose


def test_a_base_whose_thresholds_cannot_be_read_is_not_compared(checkout: Path, git: Git) -> None:
    (checkout / "regress.toml").write_text("methods = [")
    git("add", "-A")
    git("commit", "-q", "-m", "damaged")
    with pytest.raises(Unmeasured):
        find_gates(checkout, resolve_revision(checkout, "HEAD"))


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("regress.toml", True),
        ("bench/regress/judge.py", True),
        ("requirements.lock", True),
        ("shop/payments.py", False),
    ],
)
def test_a_change_of_the_ruler_or_of_packages_is_announced(checkout: Path, git: Git, path: str, told: bool) -> None:
    (checkout / path).parent.mkdir(parents=True, exist_ok=True)
    (checkout / path).write_text("changed")
    git("add", "-A")
    git("commit", "-q", "-m", "a change")
    base, head = resolve_revision(checkout, "HEAD~1"), resolve_revision(checkout, "HEAD")
    said = announce_changes(checkout, base, head, "main")
    assert bool(said) is told
    assert all(path in one for one in said)

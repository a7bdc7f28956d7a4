"""A repository made for a test."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Git = Callable[..., str]


@pytest.fixture
def git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Git:
    """Runs git in a fresh repository with two commits: `kept` is one, then two."""
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    checkout = tmp_path / "checkout"
    checkout.mkdir()

    def run(*arguments: str) -> str:
        identity = ("-c", "user.name=t", "-c", "user.email=t@example.org")
        done = subprocess.run(
            ["git", "-C", str(checkout), *identity, *arguments], check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    run("init", "-q", "-b", "main")
    (checkout / ".gitignore").write_text("ignored\n")
    (checkout / "results").mkdir()
    (checkout / "results" / "large").write_text("runs\n")
    for content in ("one", "two"):
        (checkout / "kept").write_text(content)
        run("add", "-A")
        run("commit", "-q", "-m", content)
    return run


@pytest.fixture
def checkout(tmp_path: Path, git: Git) -> Path:
    return tmp_path / "checkout"

"""Extracts the trees of two revisions into folders of their own.

A tree is a plain folder, as `git archive` has it, and no worktree: git keeps no book of it, so that after a kill the
sweep of a run's folder (bench/provision/cleanup.py) removes all there is of it.
"""

import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.errors import OperationFailed, Unmeasured, UsageError

LEFT_OUT = "results"
"""Of a tree: kept runs, which are large, and which no arm reads."""


@dataclass(frozen=True, slots=True)
class Revision:
    """One side of a comparison."""

    asked: str
    """As it was typed; empty for the working tree."""
    commit: str
    """Of the working tree, the commit that it was made from."""
    tree: str
    """The hash of what is in it."""
    dirty: bool = False
    """Whether it holds what is not committed."""

    @property
    def name(self) -> str:
        """As a sentence names it."""
        if not self.asked:
            return f"the working tree on {self.commit[:10]}" if self.dirty else self.commit[:10]
        return self.asked[:10] if self.commit.startswith(self.asked) else f"{self.asked} ({self.commit[:10]})"


def resolve_revision(checkout: Path, asked: str) -> Revision:
    """Finds a commit by what was typed. Raises UsageError for none, Unmeasured where the clone is too shallow."""
    commit = _try_git(checkout, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{asked}^{{commit}}")
    if not commit:
        if _try_git(checkout, "rev-parse", "--is-shallow-repository") == "true":
            raise Unmeasured(
                f"this clone is shallow and has no {asked!r}; type `git fetch --unshallow`, or let CI fetch all of it",
                code="shallow-clone",
            )
        raise UsageError(f"git knows no revision {asked!r}; give a commit, a tag or a branch", code="unknown-revision")
    return Revision(asked, commit, _git(checkout, "rev-parse", f"{commit}^{{tree}}"))


def snapshot_working_tree(checkout: Path) -> Revision:
    """Writes the working tree as it is now to git's store, with what git does not follow yet, and without what it
    ignores. Nothing of the checkout changes. Raises OperationFailed."""
    commit = _git(checkout, "rev-parse", "HEAD^{commit}")
    with tempfile.TemporaryDirectory(prefix="fourways-") as folder:
        index = Path(folder) / "index"
        own = Path(_git(checkout, "rev-parse", "--path-format=absolute", "--git-path", "index"))
        if own.is_file():
            shutil.copyfile(own, index)  # or git would read every file anew
        around = {"GIT_INDEX_FILE": str(index)}
        _git(checkout, "add", "--all", "--", ".", around=around)
        tree = _git(checkout, "write-tree", around=around)
    return Revision("", commit, tree, dirty=tree != _git(checkout, "rev-parse", f"{commit}^{{tree}}"))


def extract_tree(checkout: Path, revision: Revision, folder: Path) -> Path:
    """Extracts a revision into ``folder``, which is made; returns it. Raises OperationFailed and OSError."""
    folder.mkdir(parents=True)
    archive = folder.with_suffix(".tar")
    try:
        _git(
            checkout,
            "archive",
            "--format=tar",
            f"--output={archive}",
            revision.tree,
            "--",
            ".",
            f":(exclude){LEFT_OUT}",
        )
        with tarfile.open(archive) as file:
            # Git wrote it, so that it would be sound without a filter too, which 3.11.2 has not.
            safely: dict[str, Any] = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
            file.extractall(folder, **safely)
    finally:
        archive.unlink(missing_ok=True)
    return folder


def list_changes(checkout: Path, base: Revision, head: Revision, *paths: str) -> list[str]:
    """Returns the files below ``paths`` that differ, sorted. Raises OperationFailed."""
    return _git(checkout, "diff-tree", "-r", "--name-only", base.tree, head.tree, "--", *paths).splitlines()


def read_file(checkout: Path, revision: Revision, path: str) -> str | None:
    """Returns the text of a file as it is in a revision; None where there is none."""
    if not _try_git(checkout, "ls-tree", revision.tree, "--", path):
        return None
    return _git(checkout, "show", f"{revision.tree}:{path}")


def _try_git(checkout: Path, *arguments: str) -> str:
    """What git answers; nothing where it refuses. Raises OperationFailed where this is no repository."""
    try:
        return _git(checkout, *arguments)
    except OperationFailed as error:
        if error.code == "no-git":
            raise
        return ""


def _git(checkout: Path, *arguments: str, around: Mapping[str, str] | None = None) -> str:
    """What git answers. Raises OperationFailed."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        done = subprocess.run(
            ["git", "-C", str(checkout), *arguments],
            env={**inherited, **(around or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="surrogateescape",
            check=False,
        )
    except OSError as error:
        raise OperationFailed(f"git cannot be run: {error.strerror}; install it", code="no-git") from error
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        code = "no-git" if "not a git repository" in said or "dubious ownership" in said else "git-failed"
        raise OperationFailed(f"git {arguments[0]} in {checkout} failed: {said}", code=code)
    return done.stdout.rstrip("\n")

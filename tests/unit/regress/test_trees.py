"""The trees of two revisions, in repositories made for the test."""

from pathlib import Path

import pytest

from bench.errors import OperationFailed, Unmeasured, UsageError
from bench.regress.trees import extract_tree, list_changes, read_file, resolve_revision, snapshot_working_tree
from tests.unit.regress.conftest import Git

pytestmark = pytest.mark.slow


def test_a_tree_is_as_the_revision_has_it_without_kept_runs(checkout: Path, tmp_path: Path) -> None:
    tree = extract_tree(checkout, resolve_revision(checkout, "HEAD~1"), tmp_path / "run" / "base")
    assert (tree / "kept").read_text() == "one"
    assert {path.name for path in tree.iterdir()} == {"kept", ".gitignore"}
    assert {path.name for path in tree.parent.iterdir()} == {"base"}


def test_git_keeps_no_book_of_a_tree(checkout: Path, tmp_path: Path, git: Git) -> None:
    extract_tree(checkout, resolve_revision(checkout, "main"), tmp_path / "base")
    assert len(git("worktree", "list").splitlines()) == 1


def test_the_snapshot_has_what_is_not_committed_and_nothing_that_is_ignored(checkout: Path, tmp_path: Path) -> None:
    (checkout / "kept").write_text("three")
    (checkout / "fresh").write_text("new")
    (checkout / "ignored").write_text("not to be seen")
    revision = snapshot_working_tree(checkout)
    tree = extract_tree(checkout, revision, tmp_path / "head")
    assert (tree / "kept").read_text() == "three"
    assert (tree / "fresh").read_text() == "new"
    assert not (tree / "ignored").exists()
    assert revision.dirty


def test_a_snapshot_changes_nothing_of_the_checkout(checkout: Path, git: Git) -> None:
    (checkout / "kept").write_text("three")
    (checkout / "fresh").write_text("new")
    before = git("status", "--porcelain"), git("stash", "list"), git("diff", "--cached")
    snapshot_working_tree(checkout)
    assert (git("status", "--porcelain"), git("stash", "list"), git("diff", "--cached")) == before


def test_a_clean_working_tree_is_its_commit(checkout: Path) -> None:
    revision, commit = snapshot_working_tree(checkout), resolve_revision(checkout, "HEAD")
    assert (revision.tree, revision.commit, revision.dirty) == (commit.tree, commit.commit, False)


def test_a_file_is_read_as_the_revision_has_it(checkout: Path) -> None:
    base = resolve_revision(checkout, "main~1")
    assert read_file(checkout, base, "kept") == "one"
    assert read_file(checkout, base, "missing") is None


def test_changes_are_listed_below_the_paths_that_are_named(checkout: Path) -> None:
    base, head = resolve_revision(checkout, "main~1"), resolve_revision(checkout, "main")
    assert list_changes(checkout, base, head, "kept") == ["kept"]
    assert list_changes(checkout, base, head, "results") == []


@pytest.mark.parametrize("asked", ["nowhere", "--help", "main:kept", ""])
def test_a_revision_that_there_is_not_is_refused(checkout: Path, asked: str) -> None:
    with pytest.raises(UsageError) as refused:
        resolve_revision(checkout, asked or " ")
    assert refused.value.code == "unknown-revision"


def test_a_shallow_clone_is_told_as_one(checkout: Path, tmp_path: Path, git: Git) -> None:
    shallow = tmp_path / "shallow"
    git("clone", "-q", "--depth", "1", f"file://{checkout}", str(shallow))
    commit = git("rev-parse", "HEAD~1")
    with pytest.raises(Unmeasured) as refused:
        resolve_revision(shallow, commit)
    assert refused.value.code == "shallow-clone"


def test_a_folder_without_git_is_told_as_one(tmp_path: Path) -> None:
    with pytest.raises(OperationFailed) as refused:
        resolve_revision(tmp_path, "main")
    assert refused.value.code == "no-git"

"""Which Python an arm runs with: ours where its packages are ours."""

import sys
from pathlib import Path

import pytest

from bench.errors import OperationFailed, Unmeasured
from bench.regress import environments
from bench.regress.environments import hash_packages, provide_python

PROJECT = '[project]\ndependencies = ["uvloop"]\nrequires-python = ">=3.11"\n'


def build_tree(folder: Path, *, lock: str = "uvloop==1", project: str = PROJECT) -> Path:
    folder.mkdir()
    (folder / "requirements.lock").write_text(lock)
    (folder / "pyproject.toml").write_text(project)
    return folder


@pytest.mark.parametrize(
    ("changes", "same"),
    [
        ({}, True),
        ({"project": PROJECT + '[tool.importlinter]\nroot_packages = ["shop"]\n'}, True),
        ({"lock": "uvloop==2"}, False),
        ({"project": PROJECT.replace("uvloop", "uvicorn")}, False),
    ],
)
def test_packages_are_the_same_where_lock_and_dependencies_are(
    tmp_path: Path, changes: dict[str, str], same: bool
) -> None:
    one, other = build_tree(tmp_path / "one"), build_tree(tmp_path / "other", **changes)
    assert (hash_packages(one) == hash_packages(other)) is same


@pytest.mark.parametrize("missing", ["requirements.lock", "pyproject.toml"])
def test_a_tree_without_a_lock_is_not_compared(tmp_path: Path, missing: str) -> None:
    tree = build_tree(tmp_path / "base")
    (tree / missing).unlink()
    with pytest.raises(Unmeasured):
        hash_packages(tree)


async def test_an_arm_with_our_packages_runs_with_our_python(tmp_path: Path) -> None:
    ours, arm = build_tree(tmp_path / "checkout"), build_tree(tmp_path / "head")
    assert await provide_python(arm, checkout=ours, home=tmp_path, say=print) == Path(sys.executable)


async def test_an_arm_with_other_packages_gets_an_environment_for_its_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled: list[tuple[Path, Path]] = []

    async def fill(place: Path, python: Path, *, lock_file: Path, **more: object) -> Path:
        filled.append((place, lock_file))
        return place / "bin" / "python"

    monkeypatch.setattr(environments, "fill_environment", fill)
    ours, arm = build_tree(tmp_path / "checkout"), build_tree(tmp_path / "head", lock="uvloop==2")
    python = await provide_python(arm, checkout=ours, home=tmp_path, say=print)
    place = tmp_path / "regress" / "envs" / hash_packages(arm)
    assert filled == [(place, arm / "requirements.lock")]
    assert python == place / "bin" / "python"


async def test_packages_that_cannot_be_installed_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*given: object, **more: object) -> Path:
        raise OperationFailed("no network", code="no-environment")

    monkeypatch.setattr(environments, "fill_environment", fail)
    ours, arm = build_tree(tmp_path / "checkout"), build_tree(tmp_path / "head", lock="uvloop==2")
    with pytest.raises(Unmeasured) as refused:
        await provide_python(arm, checkout=ours, home=tmp_path, say=print)
    assert refused.value.code == "no-environment"

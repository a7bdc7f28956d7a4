"""Provides the Python packages that an arm runs with: those of this checkout where they are the same."""

import hashlib
import sys
import tomllib
from pathlib import Path

from bench.errors import OperationFailed, Unmeasured
from bench.provision.base import Say
from bench.provision.interpreters import fill_environment
from bench.provision.pythons import find_base_executable


def hash_packages(tree: Path) -> str:
    """Returns a hash of all that decides the packages of a tree: its lock, what it depends on, and this Python.

    Raises Unmeasured where the tree has no lock.
    """
    try:
        lock = (tree / "requirements.lock").read_bytes()
        project = tomllib.loads((tree / "pyproject.toml").read_text("utf-8"))["project"]
    except (OSError, ValueError, KeyError) as error:
        raise Unmeasured(
            f"{tree.name} has no requirements.lock or no readable pyproject.toml, so its packages are not known; "
            "compare a later revision",
            code="no-lock",
        ) from error
    named = (project.get("dependencies", []), project.get("requires-python", ""))
    made_of = hashlib.sha256(lock)
    made_of.update(repr((named, sys.version, str(find_base_executable()))).encode())
    return made_of.hexdigest()[:12]


async def provide_python(tree: Path, *, checkout: Path, home: Path, say: Say) -> Path:
    """Returns the Python that an arm's processes run with. Raises Unmeasured.

    It is ours where the tree has the packages of this checkout. Else it is that of an environment in
    ``home``/regress/envs, one for each content, which is made where it is missing.
    """
    wanted = hash_packages(tree)
    if wanted == hash_packages(checkout):
        return Path(sys.executable)
    try:
        return await fill_environment(
            home.resolve() / "regress" / "envs" / wanted,
            Path(find_base_executable()),
            lock_file=tree / "requirements.lock",
            checkout=None,
            name=f"the lock of {tree.name}",
            say=say,
        )
    except OperationFailed as error:
        raise Unmeasured(
            f"the packages of {tree.name} cannot be installed: {error}; compare revisions with one lock",
            code="no-environment",
        ) from error

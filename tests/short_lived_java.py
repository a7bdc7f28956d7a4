"""Lets Java compile with its first compiler alone: brokers of tests live for seconds. A pytest plugin.

Kafka's start takes 2.9 s of CPU so, and 5.1 s with both compilers (measured on two busy cores). Where nothing is timed,
the second compiler only costs.
"""

import os
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

OPTION = "-XX:TieredStopAtLevel=1"
_PREFIX = "fourways-java-"
_FOLDER = pytest.StashKey[TemporaryDirectory[str]]()


def find_real_java() -> str | None:
    """Returns the path of the machine's own `java`; None without one."""
    folders = os.environ["PATH"].split(os.pathsep)
    return shutil.which("java", path=os.pathsep.join(f for f in folders if not Path(f).name.startswith(_PREFIX)))


def pytest_configure(config: pytest.Config) -> None:
    """Put a `java` with the option first in PATH; the workers of pytest-xdist inherit it."""
    java = find_real_java()
    if java is None or hasattr(config, "workerinput"):
        return
    folder = config.stash[_FOLDER] = TemporaryDirectory(prefix=_PREFIX)
    script = Path(folder.name, "java")
    script.write_text(f'#!/bin/sh\nexec "{java}" {OPTION} "$@"\n', "utf-8")
    script.chmod(0o755)
    os.environ["PATH"] = f"{folder.name}{os.pathsep}{os.environ['PATH']}"


def pytest_unconfigure(config: pytest.Config) -> None:
    if config.stash.get(_FOLDER, None) is not None:
        config.stash[_FOLDER].cleanup()

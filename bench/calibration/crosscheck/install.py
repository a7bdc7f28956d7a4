"""Installs the tools that the crosscheck compares with: vegeta, ghz and RabbitMQ's PerfTest."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from bench.errors import StartFailed, UsageError

POM_FILE = Path(__file__).with_name("perftest-pom.xml")
GO_TOOLS = ("github.com/tsenart/vegeta/v12@v12.13.0", "github.com/bojand/ghz/cmd/ghz@v0.93.0")


def install_tools(home: Path) -> Path:
    """Install what is missing below ``home`` with Go and Maven, and return the folder.

    Raises UsageError when Go is missing, StartFailed when a tool cannot be installed.
    """
    folder = (home / "crosscheck").absolute()
    ready = folder / ".ready"
    if ready.exists() and ready.stat().st_mtime >= POM_FILE.stat().st_mtime:
        return folder
    if shutil.which("go") is None:
        raise UsageError("crosscheck needs Go for vegeta and ghz: install it and try again", code="no-go")
    print("setup: vegeta, ghz and PerfTest (two minutes)", file=sys.stderr, flush=True)
    folder.mkdir(parents=True, exist_ok=True)
    for tool in GO_TOOLS:
        _run(["go", "install", tool], {"GOBIN": str(folder)})
    jars = ["dependency:copy-dependencies", f"-DoutputDirectory={folder / 'perftest'}"]
    _run(["mvn", "-q", "-B", "-f", str(POM_FILE), *jars], {})
    ready.touch()
    return folder


def _run(command: list[str], env: dict[str, str]) -> None:
    try:
        subprocess.run(command, env={**os.environ, **env}, check=True, capture_output=True, text=True, encoding="utf-8")
    except FileNotFoundError as error:
        raise StartFailed(f"crosscheck needs {command[0]}: install it and try again", code="tool-missing") from error
    except subprocess.CalledProcessError as error:
        said = (error.stderr or error.stdout or "it said nothing").strip().splitlines()[-1]
        raise StartFailed(f"{command[0]} could not install a tool: {said}", code="tool-not-installed") from error

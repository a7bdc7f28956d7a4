"""Tests a checkout whose path has spaces and letters beyond ASCII, in the plainest locale."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.paths import REFERENCE, ROOT, STATE
from bench.provision import kafka, rabbitmq
from bench.provision.brokers import URL_VARIABLES
from tests.system.command_line import SHORT_RUN, keep_last

pytestmark = pytest.mark.slow

CODE = ("bench", "transports", "shop", "scenarios")
Fourways = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("of") / "a Ü 語 b"
    for name in CODE:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(REFERENCE / "default", folder / REFERENCE.relative_to(ROOT) / "default")
    shutil.copy(ROOT / "pyproject.toml", folder)
    shutil.copy(ROOT / "requirements.lock", folder)
    (folder / ".fourways").mkdir()
    for program in ("rabbitmq", "kafka"):
        (folder / ".fourways" / program).symlink_to(STATE / program)
    return folder


@pytest.fixture
def fourways(checkout: Path) -> Fourways:
    """Runs the code of that checkout."""
    ours = ("LC_", "LANG", "PYTHON", *URL_VARIABLES.values())
    around = {name: value for name, value in os.environ.items() if not name.startswith(ours)}

    def run(*words: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "bench", *words],
            cwd=checkout,
            env=around | {"LC_ALL": "C", "PYTHONPATH": str(checkout)},
            capture_output=True,
            encoding="utf-8",
            timeout=180,
            check=False,
        )

    return run


@pytest.mark.reference
def test_a_kept_run_is_shown(fourways: Fourways) -> None:
    done = fourways("show", "RUN=default")
    assert (done.returncode, done.stderr) == (0, "")
    assert "rest" in done.stdout


@pytest.mark.parametrize(
    "transport",
    ["memory", "rest", "grpc", *(pytest.param(name, marks=pytest.mark.broker) for name in ("broker", "events"))],
)
def test_a_method_is_measured_there(fourways: Fourways, checkout: Path, transport: str) -> None:
    missing = {"broker": rabbitmq.unavailable_reason(STATE), "events": kafka.unavailable_reason(STATE)}
    if why := missing.get(transport):
        pytest.skip(why)
    drawn = ["REPORT=yes"] if transport == "memory" else []
    done = fourways("bench", *keep_last([f"TRANSPORT={transport}", *SHORT_RUN, *drawn]))
    assert done.returncode in (0, 7), done.stdout + done.stderr
    manifest = json.loads((checkout / "results" / "latest" / "manifest.json").read_text("utf-8"))
    assert manifest["cells"][0]["transport"] == transport
    assert (checkout / "results" / "latest" / "report.html").is_file() == (transport == "memory")
    assert list((checkout / ".fourways").glob("run-*")) == []


def test_a_run_that_is_not_there_is_named_with_its_letters(fourways: Fourways, checkout: Path) -> None:
    done = fourways("report", "RUN=größer")
    assert done.returncode == 2
    assert "'größer'" in done.stderr
    assert str(checkout) in done.stderr

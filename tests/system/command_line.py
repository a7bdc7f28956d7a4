"""Fourways as a person has it: commands, run in a folder of their own."""

import contextlib
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import psutil

from bench.cli.app import DOUBTFUL
from bench.paths import ROOT
from bench.provision import VARIABLES
from bench.provision.process import MARK
from bench.results.store import Run

PATIENCE_S = 60
SHORT = ("ROUNDS=1", "DURATION=1", "WARM_UP=0.5", "WARM_UP_MAX=0", "BROKER_WARM_UP=0", "RATE=50", "DEADLINE=5")


class House:
    """Results and state below ``folder``, with the jars that set-up fetched; brokers at ``urls``, else its own."""

    def __init__(self, folder: Path, urls: Mapping[str, str]) -> None:
        self.results = folder / "results"
        self.home = folder / "home"
        self.home.mkdir()
        for kept in ("kafka", "toxiproxy"):
            (self.home / kept).symlink_to(ROOT / ".fourways" / kept)
        # Without what `make test` hands on to the makes below it.
        ours = {*VARIABLES.values(), "MAKEFLAGS", "MFLAGS", "MAKELEVEL"}
        self.env = {name: value for name, value in os.environ.items() if name not in ours}
        self.env |= {VARIABLES[name]: url for name, url in urls.items()}

    def python(self, module: str, *arguments: str) -> list[str]:
        return [sys.executable, "-m", module, *arguments]

    def make(self, *words: str) -> list[str]:
        return ["make", *words, f"RESULTS={self.results}", f"STATE={self.home}"]

    def done(self, command: Sequence[str]) -> "subprocess.CompletedProcess[str]":
        """Once it has ended."""
        return subprocess.run(command, cwd=ROOT, env=self.env, capture_output=True, text=True, timeout=180, check=False)

    @contextlib.contextmanager
    def started(self, command: Sequence[str]) -> "Iterator[subprocess.Popen[str]]":
        """While it runs, as a terminal's foreground group of its own."""
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()

    def latest(self) -> Run:
        return Run.open(self.results / "latest")

    def processes(self, name: str = "") -> list[psutil.Process]:
        """Everything that was started with this home and is still there, and whose name begins so."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.environ().get(MARK, "").startswith(str(self.home)) and process.name().startswith(name):
                    found.append(process)
        return found

    def programs(self, module: str) -> list[psutil.Process]:
        """Those that run this module and are still there."""
        found = []
        for process in self.processes("python"):
            with contextlib.suppress(psutil.Error):
                if module in process.cmdline():
                    found.append(process)
        return found

    def left(self) -> list[object]:
        """What is there that should have gone with a run: processes and folders."""
        return [*self.processes(), *self.runs()]

    def runs(self) -> list[str]:
        """Folders that a run has while it lasts."""
        return [path.name for path in self.home.glob("run-*")]


class Bench(House):
    """`python -m bench run …` in a folder of its own."""

    def command(self, *settings: str) -> list[str]:
        return self.python("bench", "run", f"--results={self.results}", f"--home={self.home}", *settings)

    def run(self, *settings: str) -> "subprocess.CompletedProcess[str]":
        return self.done(self.command(*settings))

    def running(self, *settings: str) -> "contextlib.AbstractContextManager[subprocess.Popen[str]]":
        return self.started(self.command(*settings))

    def load_processes(self) -> list[psutil.Process]:
        """Those that send orders, once they run as such."""
        return self.programs("bench.load.locust.worker")

    def trials(self) -> int:
        try:
            return len(self.latest().trials())
        except Exception:  # noqa: BLE001 - not there yet, whatever the reason
            return 0


def went_through(done: "subprocess.CompletedProcess[str]") -> bool:
    """If a `bench` went its whole way, itself or by make; that short trials are doubtful is the machine's doing."""
    return done.returncode in (0, DOUBTFUL) or f"Error {DOUBTFUL}\n" in done.stderr


def until(condition: Callable[[], object]) -> None:
    """Wait for a condition that only another process can bring about."""
    give_up = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < give_up, "it did not come"
        time.sleep(0.05)


def answer(url: str, form: bytes | None = None) -> bytes:
    """The body at this URL, posted to if there is a form; empty while nobody listens."""
    try:
        with urllib.request.urlopen(url, form, timeout=PATIENCE_S) as response:
            body: bytes = response.read()
            return body
    except ConnectionError:
        return b""
    except urllib.error.URLError as error:
        if isinstance(error.reason, ConnectionError):
            return b""
        raise

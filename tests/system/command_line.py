"""Runs Fourways commands in a temporary folder, as a user would."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import psutil

from bench.cli.commands import Command, find_command
from bench.errors import ExitCode
from bench.paths import ROOT, STATE
from bench.provision.brokers import URL_VARIABLES
from bench.provision.process import MARK_VARIABLE
from bench.results.store import RunFolder

TIMEOUT_S = 60
SHORT_RUN = (
    "ROUNDS=1",
    "DURATION=1",
    "WARM_UP=0.5",
    "WARM_UP_MAX=0",
    "BROKER_WARM_UP=0",
    "RATE=50",
    "DEADLINE=5",
    "REPORT=no",
)


NO_ENGINE = dict.fromkeys(("DOCKER_HOST", "CONTAINER_HOST"), "unix:///nowhere")
"""Hides Docker and Podman: the processes that tests look for are those of native brokers."""


def keep_last(words: Sequence[str]) -> list[str]:
    """Returns the words without settings that a later word gives again."""
    return list({word.partition("=")[0]: word for word in words}.values())


class CommandLine:
    """Results and state below ``folder``, with what set-up downloaded; brokers at ``urls``, or its own, natively."""

    def __init__(self, folder: Path, urls: Mapping[str, str]) -> None:
        self.results = folder / "results"
        self.home = folder / "home"
        self.home.mkdir()
        for kept in ("kafka", "rabbitmq", "rabbitmq.failed", "toxiproxy"):
            (self.home / kept).symlink_to(STATE / kept)
        # Without what `make test` hands on to the makes below it.
        ours = {*URL_VARIABLES.values(), "MAKEFLAGS", "MFLAGS", "MAKELEVEL"}
        self.env = {name: value for name, value in os.environ.items() if name not in ours}
        self.env |= NO_ENGINE
        self.env |= {URL_VARIABLES[name]: url for name, url in urls.items()}

    def fourways(self, *words: str) -> list[str]:
        """Returns a command line of `fourways` with these words, and with the folders that its command takes.

        Of a setting that is given twice the later one counts, as in `*SHORT_RUN, "RATE=3"`.
        """
        command = find_command(words[: 2 if words[0] == "harness" else 1])
        assert command is not None, words
        return [sys.executable, "-m", "bench", *keep_last([*words, *self._folders(command)])]

    def make(self, target: str, *words: str) -> list[str]:
        command = find_command((target,)) or find_command(("harness", target))
        return ["make", target, *words, *(self._folders(command) if command else ())]

    def script(self, *words: str) -> list[str]:
        """Returns the same command line as fourways(), begun by the script of the checkout."""
        return ["./fourways", *self.fourways(*words)[3:]]

    def _folders(self, command: Command) -> list[str]:
        places = {"RESULTS": self.results, "STATE": self.home}
        return [f"{name}={place}" for name, place in places.items() if name in command.settings]

    def done(self, command: Sequence[str]) -> "subprocess.CompletedProcess[str]":
        """Runs the command to its end and returns its exit code and output."""
        return subprocess.run(command, cwd=ROOT, env=self.env, capture_output=True, text=True, timeout=180, check=False)

    @contextlib.contextmanager
    def started(self, command: Sequence[str]) -> "Iterator[subprocess.Popen[str]]":
        """Runs the command in a process group of its own while the context lasts, then kills it."""
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

    def open_latest_run(self) -> RunFolder:
        return RunFolder.open(self.results / "latest")

    def processes(self, name: str = "") -> list[psutil.Process]:
        """Returns the processes started with this state folder that still run, and whose name begins with ``name``."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.environ().get(MARK_VARIABLE, "").startswith(str(self.home)) and process.name().startswith(
                    name
                ):
                    found.append(process)
        return found

    def find_module_processes(self, module: str) -> list[psutil.Process]:
        """Returns the Python processes that run this module."""
        found = []
        for process in self.processes("python"):
            with contextlib.suppress(psutil.Error):
                if module in process.cmdline():
                    found.append(process)
        return found

    def left(self) -> list[object]:
        """Returns the processes and folders that a finished run should not have left."""
        return [*self.processes(), *self.runs()]

    def runs(self) -> list[str]:
        """Returns the temporary folders of runs."""
        return [path.name for path in self.home.glob("run-*")]


class BenchCommandLine(CommandLine):
    """Runs `fourways bench …` in a folder of its own."""

    def command(self, *settings: str) -> list[str]:
        return self.fourways("bench", *settings)

    def run(self, *settings: str) -> "subprocess.CompletedProcess[str]":
        return self.done(self.command(*settings))

    def running(self, *settings: str) -> "contextlib.AbstractContextManager[subprocess.Popen[str]]":
        return self.started(self.command(*settings))

    def find_load_processes(self) -> list[psutil.Process]:
        """Returns the load processes, once they have started."""
        return self.find_module_processes("bench.load.locust.worker")

    def trials(self) -> int:
        try:
            return len(self.open_latest_run().trials())
        except Exception:  # noqa: BLE001 - not there yet, whatever the reason
            return 0


def is_completed(done: "subprocess.CompletedProcess[str]") -> bool:
    """Returns whether a benchmark ran to its end; doubts that short trials cause are accepted."""
    return done.returncode in (ExitCode.OK, ExitCode.DOUBTFUL) or f"Error {ExitCode.DOUBTFUL:d}\n" in done.stderr


def find_code(said: str) -> str:
    """Returns the code of the refusal that ``said`` ends with; make adds a line of its own. Empty: there is none."""
    lines = [line for line in said.strip().splitlines() if not line.startswith("make")]
    found = re.search(r" \[([a-z0-9-]+)\]$", lines[-1]) if lines else None
    return found[1] if found else ""


def how_refused(done: "subprocess.CompletedProcess[str]") -> tuple[int, str]:
    """Returns the exit code and the code of a command that was refused in one sentence."""
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    return done.returncode, find_code(done.stderr)


def wait_until(condition: Callable[[], object]) -> None:
    """Waits until ``condition()`` is true; fails after TIMEOUT_S."""
    give_up = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < give_up, "it did not come"
        time.sleep(0.05)


def fetch_body(url: str, form: bytes | None = None) -> bytes:
    """Returns the body at this URL, by POST if there is a form; empty if nobody listens."""
    try:
        with urllib.request.urlopen(url, form, timeout=TIMEOUT_S) as response:
            body: bytes = response.read()
            return body
    except ConnectionError:
        return b""
    except urllib.error.URLError as error:
        if isinstance(error.reason, ConnectionError):
            return b""
        raise

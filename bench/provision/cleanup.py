"""The ledger: one folder per run, by which the next run cleans up after one that was killed.

A run holds a lock on its folder for as long as it lives; the kernel gives it up however the run ends. A folder
whose lock is free belongs to nobody any more, unless `make up` marked it as kept. Runs that use what is kept share a
lock on that, and `make down` refuses while one of them lives.
"""

import fcntl
import json
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO

from bench.provision import compose
from bench.provision.base import Broker, Say
from bench.provision.process import MARK, end, end_below, marked

OWNER = "owner"
"""The file in a run's folder that the run keeps locked."""
USERS = "users"
"""The file in the folder of kept brokers that whoever uses them keeps locked, shared with other users."""


@dataclass
class Run:
    """A run's folder and what stands in its ledger."""

    folder: Path
    kept: bool = False
    projects: list[compose.Project] = field(default_factory=list)
    brokers: list[Broker] = field(default_factory=list)
    lock: IO[str] | None = None

    def save(self) -> None:
        """Write the ledger, whole or not at all."""
        noted = {
            "kept": self.kept,
            "projects": [asdict(project) for project in self.projects],
            "brokers": [asdict(broker) for broker in self.brokers],
        }
        fresh = self.folder / "ledger.new"
        fresh.write_text(json.dumps(noted))
        fresh.replace(self.folder / "ledger.json")

    def clear(self) -> int:
        """End what the run started, remove its folder, and say how many processes there were. Blocks."""
        ended = end_below(self.folder)
        for project in self.projects:
            compose.down(project)
        shutil.rmtree(self.folder, ignore_errors=True)
        return ended

    def close(self) -> None:
        """The run is over: keep what is to be kept, clear everything else. Blocks."""
        if self.kept:
            self.save()
        else:
            self.clear()
        if self.lock is not None:
            self.lock.close()


def open_run(home: Path) -> Run:
    """A folder for this run, locked until it is closed. Raises OSError when it cannot be made."""
    with locked(home / "lock"):
        run = Run(home / f"run-{secrets.token_hex(4)}")
        run.folder.mkdir()
        run.lock = try_lock(run.folder / OWNER)
        run.save()
        return run


def load(folder: Path) -> Run:
    """The ledger of a folder. One that is missing or unreadable is an empty one."""
    try:
        noted = json.loads((folder / "ledger.json").read_text())
        return Run(
            folder=folder,
            kept=noted["kept"],
            projects=[compose.Project(**{**p, "command": tuple(p["command"])}) for p in noted["projects"]],
            brokers=[Broker(**{**b, "pids": tuple(b["pids"])}) for b in noted["brokers"]],
        )
    except (OSError, ValueError, KeyError, TypeError):
        return Run(folder=folder)


def place(home: Path) -> Path:
    """The one name of this folder, however it was reached; marks are compared by name."""
    home.mkdir(parents=True, exist_ok=True)
    return home.resolve()


def try_lock(path: Path, *, shared: bool = False) -> IO[str] | None:
    """The lock, or None when somebody's lock excludes it or its folder has just been removed."""
    try:
        file = path.open("w+")
    except OSError:
        return None
    try:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError:
        file.close()
        return None
    return file


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Wait for a lock, and hold it."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def kept(home: Path) -> list[Run]:
    """What `make up` started and `make down` has not stopped."""
    return [run for run in map(load, sorted(home.glob("run-*"))) if run.kept]


def leftovers(home: Path) -> list[Path]:
    """The folders of runs that were killed."""
    found = []
    for folder in sorted(home.glob("run-*")):
        run = load(folder)
        if run.kept and (run.projects or marked(folder)):
            continue
        if (lock := try_lock(folder / OWNER)) is not None:
            lock.close()
            found.append(folder)
    return found


def sweep(home: Path, say: Say) -> None:
    """End what an earlier run, killed with -9, left running, and remove its folder. Blocks for some seconds if so."""
    home = place(home)
    with locked(home / "lock"):
        for folder in leftovers(home):
            ended = load(folder).clear()
            say(f"cleaned up after a run that was killed: {ended} processes ended, {folder.name} removed")
        # Started in the instant in which their run was killed and swept.
        strays = []
        for process in marked(home):
            with suppress(OSError, KeyError):
                if not Path(process.environ()[MARK]).exists():
                    strays.append(process)
        end(strays)

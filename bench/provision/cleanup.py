"""Records what each run started, so that the next can clean up after one that was killed.

Every run has a folder with a ledger, and holds a lock on it while it lives; the kernel releases the lock however the
run ends. A folder whose lock is free belongs to a run that was killed, unless `make up` marked it as kept. Runs that
use kept brokers share a lock on them, and `make down` refuses while one of these runs lives.
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

import psutil

from bench.provision import compose, postgres
from bench.provision.base import Broker, Say
from bench.provision.process import MARK_VARIABLE, find_marked_processes, stop_processes, stop_processes_below

RUN_PREFIX = "run-"
"""With it the name of a run's folder begins."""
OWNER_LOCK = "owner"
"""The file in a run's folder that the run keeps locked."""
USERS_LOCK = "users"
"""The file in the folder of kept brokers that whoever uses them keeps locked, shared with other users."""


@dataclass
class RunLedger:
    """The ledger of a run: its folder, and the containers and brokers that it started."""

    folder: Path
    kept: bool = False
    projects: list[compose.ComposeProject] = field(default_factory=list)
    brokers: list[Broker] = field(default_factory=list)
    lock: IO[str] | None = None

    def save(self) -> None:
        """Write the ledger to the run's folder, all or nothing. Raises OSError."""
        noted = {
            "kept": self.kept,
            "projects": [asdict(project) for project in self.projects],
            "brokers": [asdict(broker) for broker in self.brokers],
        }
        fresh = self.folder / "ledger.new"
        fresh.write_text(json.dumps(noted), "utf-8")
        fresh.replace(self.folder / "ledger.json")

    def clear(self) -> int:
        """Stop what the run started, remove its folder, and return the number of processes stopped. Blocks."""
        ended = stop_processes_below(self.folder)
        for project in self.projects:
            compose.remove_project(project)
        for folder in (self.folder, postgres.outside_folder(self.folder)):
            shutil.rmtree(folder, ignore_errors=True)
        return ended

    def close(self) -> None:
        """End the run: save the ledger if its brokers are kept, else stop everything. Releases the lock. Blocks."""
        if self.kept:
            self.save()
        else:
            self.clear()
        if self.lock is not None:
            self.lock.close()


def open_ledger(home: Path) -> RunLedger:
    """Create a folder with an empty ledger, locked until it is closed, and return the ledger. Raises OSError."""
    with hold_lock(home / "lock"):
        run = RunLedger(home / f"{RUN_PREFIX}{secrets.token_hex(4)}")
        run.folder.mkdir()
        run.lock = try_lock(run.folder / OWNER_LOCK)
        run.save()
        return run


def load_ledger(folder: Path) -> RunLedger:
    """Read and return the ledger of a folder; an empty one when it is missing or cannot be read."""
    try:
        noted = json.loads((folder / "ledger.json").read_text("utf-8"))
        return RunLedger(
            folder=folder,
            kept=noted["kept"],
            projects=[compose.ComposeProject(**{**p, "command": tuple(p["command"])}) for p in noted["projects"]],
            brokers=[Broker(**{**b, "pids": tuple(b["pids"])}) for b in noted["brokers"]],
        )
    except (OSError, ValueError, KeyError, TypeError):
        return RunLedger(folder=folder)


def resolve_home(home: Path) -> Path:
    """Create the folder if needed, and return its resolved path: process marks are compared by path. Raises OSError."""
    home.mkdir(parents=True, exist_ok=True)
    return home.resolve()


def try_lock(path: Path, *, shared: bool = False) -> IO[str] | None:
    """Return the locked file, or None when another lock excludes it or its folder has just been removed."""
    try:
        file = path.open("w+", encoding="utf-8")
    except OSError:
        return None
    try:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError:
        file.close()
        return None
    return file


@contextmanager
def hold_lock(path: Path) -> Iterator[None]:
    """Context manager: wait for an exclusive lock on this file, and hold it."""
    with path.open("w", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def find_kept_ledgers(home: Path) -> list[RunLedger]:
    """Return the ledgers of brokers that `make up` started and `make down` has not stopped."""
    return [run for run in map(load_ledger, sorted(home.glob(f"{RUN_PREFIX}*"))) if run.kept]


def find_leftover_folders(home: Path) -> list[Path]:
    """Return the folders of runs that were killed."""
    found = []
    for folder in sorted(home.glob(f"{RUN_PREFIX}*")):
        run = load_ledger(folder)
        if run.kept and (run.projects or find_marked_processes(folder)):
            continue
        if (lock := try_lock(folder / OWNER_LOCK)) is not None:
            lock.close()
            found.append(folder)
    return found


def find_other_runs(pid: int) -> list[Path]:
    """Return the folders of runs on this machine, of any checkout, whose living processes do not descend from ``pid``.

    Kept brokers are no run. Processes of other accounts are not seen, but by root.
    """
    found = set()
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            mark = process.environ().get(MARK_VARIABLE)
            if mark and process.pid != pid and pid not in {parent.pid for parent in process.parents()}:
                path = Path(mark)
                found |= {folder for folder in (path, *path.parents) if folder.name.startswith(RUN_PREFIX)}
    return sorted(folder for folder in found if folder.is_dir() and not load_ledger(folder).kept)


def remove_orphans(home: Path, say: Say) -> None:
    """Stop what a run killed with SIGKILL left running, and remove its folder. Blocks, if so for seconds."""
    home = resolve_home(home)
    with hold_lock(home / "lock"):
        for folder in find_leftover_folders(home):
            ended = load_ledger(folder).clear()
            say(f"cleaned up after a run that was killed: {ended} processes ended, {folder.name} removed")
        # Started in the instant in which their run was killed and swept.
        strays = []
        for process in find_marked_processes(home):
            with suppress(OSError, KeyError):
                if not Path(process.environ()[MARK_VARIABLE]).exists():
                    strays.append(process)
        stop_processes(strays)

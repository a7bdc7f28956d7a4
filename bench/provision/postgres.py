"""Starts a native PostgreSQL server for a run, and creates databases on it for each trial."""

import asyncio
import os
import pwd
import re
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import psutil

from bench.errors import StartFailed
from bench.provision.base import Broker
from bench.provision.ports import LOOPBACK, find_free_ports
from bench.provision.process import finish_despite_cancellation, spawn, stop_processes, wait_until_answering
from shop.store import StoreUnavailable
from stores.urls import name_database

NAME = "postgres"
URL_VARIABLE = "POSTGRES_URL"
PACKAGE = "postgresql"
NOT_INSTALLED = (
    f"PostgreSQL is not installed: type `sudo apt-get install {PACKAGE}`, "
    f"or give a server with {URL_VARIABLE}=postgresql://user:password@host:5432/postgres"
)
PROGRAM_FOLDERS = Path("/usr/lib/postgresql")
"""Where Debian keeps the programs of each version, out of the path."""
ACCOUNTS = ("postgres", "nobody")
"""PostgreSQL refuses to run as root: it runs as the first of these that the machine has."""
SUPERUSER = "fourways"
SETTINGS = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    # A database lives for one trial; a worker that comes and goes would be taken for another program.
    "autovacuum": "off",
}
_INITDB_TIMEOUT_S = 60.0
_START_TIMEOUT_S = 30.0
_VERSION_TIMEOUT_S = 10.0


def find_programs() -> Path | None:
    """Return the folder of initdb and postgres, of the newest version there is; None if they are not installed."""
    numbered = [folder for folder in PROGRAM_FOLDERS.glob("*/bin") if folder.parent.name.isdigit()]
    folders = sorted(numbered, key=lambda folder: int(folder.parent.name), reverse=True)
    if found := shutil.which("initdb"):
        folders.append(Path(found).resolve().parent)
    return next((one for one in folders if (one / "initdb").exists() and (one / "postgres").exists()), None)


def read_installed_version() -> str:
    """Return the version that would be started, such as 15.18; "" when there is none, or it does not say."""
    programs = find_programs()
    if programs is None:
        return ""
    with suppress(OSError, subprocess.TimeoutExpired):
        asked = [str(programs / "postgres"), "--version"]
        said = subprocess.run(
            asked, capture_output=True, text=True, encoding="utf-8", check=False, timeout=_VERSION_TIMEOUT_S
        ).stdout
        if (found := re.search(r"\(PostgreSQL\) (\S+)", said)) is not None:
            return found[1]
    return ""


def unavailable_reason() -> str | None:
    """Return why PostgreSQL cannot be started on this machine and what to type, in one sentence; None when it can."""
    if find_programs() is None:
        return NOT_INSTALLED
    if os.geteuid() == 0 and find_account() is None:
        return f"PostgreSQL does not run as root, and there is no account {' or '.join(ACCOUNTS)}: run as another user"
    return None


def find_account() -> str | None:
    """Return the account without rights as which a server of root's runs; None if the machine has none."""
    return next((name for name in ACCOUNTS if name in {entry.pw_name for entry in pwd.getpwall()}), None)


def outside_folder(run_folder: Path) -> Path:
    """Return where a run's server keeps its data when its account cannot reach the run's own folder."""
    return Path(tempfile.gettempdir()) / f"fourways-{run_folder.name}-{NAME}"


async def start(folder: Path) -> Broker:
    """Start a PostgreSQL server with its data in ``folder``, on a free port of 127.0.0.1.

    Returns it once it answers. Raises StartFailed; the caller then stops the processes that the folder marks.
    """
    if (why := unavailable_reason()) is not None:
        raise StartFailed(why, code="postgres-missing")
    programs = find_programs()
    assert programs is not None
    user = find_account() if os.geteuid() == 0 else None
    home, password = folder, secrets.token_urlsafe(24)
    try:
        if user is not None and not _is_reachable(folder):
            home = outside_folder(folder.parent)
            home.mkdir(mode=0o755)
        data, secret = home / "data", home / "password"
        data.mkdir(mode=0o700)
        secret.touch(mode=0o600)
        secret.write_text(password, "utf-8")
        if user is not None:
            for path in (data, secret):
                shutil.chown(path, user)
        await _create_cluster(programs, data, secret, folder, user)
        secret.unlink()
    except OSError as error:
        raise StartFailed(f"PostgreSQL's data folder cannot be made: {error}", code="postgres-data-folder") from error
    (port,) = find_free_ports(1)
    options = [word for key, value in {**SETTINGS, "port": port}.items() for word in ("-c", f"{key}={value}")]
    log = folder / "server.log"
    process = spawn([str(programs / "postgres"), "-D", str(data), *options], folder=folder, log=log, user=user)
    url = f"postgresql://{SUPERUSER}:{password}@{LOOPBACK}:{port}/postgres"
    try:
        version = await wait_until_answering(process, lambda: probe_version(url), deadline_s=_START_TIMEOUT_S)
    except StartFailed as error:
        raise StartFailed(f"{error}{_read_complaint(log)}", code=error.code) from error
    return Broker(NAME, url, "native", version, (process.pid,))


async def probe_version(url: str) -> str | None:
    """Return the server's version, "" if it does not say; None when it does not answer, or takes no password."""
    from stores import admin  # noqa: PLC0415 - its library is loaded where a database is asked for

    return await asyncio.to_thread(admin.read_version, url)


async def explain_refusal(url: str) -> str:
    """Return why nobody gets into the server at ``url``; empty when one does."""
    from stores import admin  # noqa: PLC0415 - as above

    return await asyncio.to_thread(admin.explain_refusal, url)


@asynccontextmanager
async def provide_databases(server: Broker, trial: str, services: Sequence[str]) -> AsyncIterator[Mapping[str, str]]:
    """Context manager: an empty database for each service, by service its URL; dropped on exit.

    Raises StartFailed with the server's own words, such as a full disk.
    """
    from stores import admin  # noqa: PLC0415 - as above

    names = {service: f"{trial}-{service}" for service in services}
    try:
        await finish_despite_cancellation(asyncio.to_thread(admin.create_databases, server.url, names.values()))
        yield {service: name_database(server.url, name) for service, name in names.items()}
    except StoreUnavailable as error:
        raise StartFailed(str(error), code="database-not-created") from error
    finally:
        with suppress(StoreUnavailable):  # they go with a server that is gone
            await finish_despite_cancellation(asyncio.to_thread(admin.drop_databases, server.url, names.values()))


async def _create_cluster(programs: Path, data: Path, secret: Path, folder: Path, user: str | None) -> None:
    """Run initdb. Raises StartFailed with its last words."""
    log = folder / "initdb.log"
    command = (
        *(str(programs / "initdb"), "-D", str(data), "-U", SUPERUSER, "--pwfile", str(secret)),
        *("--auth-host", "scram-sha-256", "--auth-local", "reject", "-E", "UTF8", "--locale", "C"),
        *("--no-sync", "--no-instructions"),
    )
    process = spawn(command, folder=folder, log=log, user=user)
    try:
        code = await asyncio.to_thread(process.wait, _INITDB_TIMEOUT_S)
    except BaseException:
        with suppress(psutil.NoSuchProcess):
            await finish_despite_cancellation(asyncio.to_thread(stop_processes, [psutil.Process(process.pid)]))
        raise
    if code:
        raise StartFailed(f"initdb failed{_read_complaint(log)}", code="initdb-failed")


def _read_complaint(log: Path) -> str:
    """The last error in a log, behind a colon; empty if there is none."""
    text = log.read_text("utf-8", errors="replace")
    lines = [line for line in text.splitlines() if "FATAL" in line or "error:" in line]
    return f": {lines[-1].partition('FATAL:')[2].strip() or lines[-1].strip()}" if lines else ""


def _is_reachable(folder: Path) -> bool:
    """Whether every account may go through to this folder."""
    return all(path.stat().st_mode & 0o001 for path in (folder, *folder.parents))

"""Provides brokers: given by URL, kept by `make up`, in a container, or started natively."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path

import psutil

from bench.errors import InUse, StartFailed
from bench.provision import cleanup, compose, container, kafka, postgres, rabbitmq
from bench.provision.base import PLAIN, Broker, Say, Security, Unavailable
from bench.provision.cleanup import RunLedger
from bench.provision.process import (
    MARK_VARIABLE,
    finish_despite_cancellation,
    has_ended,
    stop_processes_below,
    wait_until_answering,
)
from transports.errors import SettingError
from transports.security import MTLS, NONE, TLS

BROKER_NAMES = ("rabbitmq", "kafka")
SERVER_NAMES = (*BROKER_NAMES, postgres.NAME)
"""What is provided in the same way: brokers, and the server of the services' databases."""
URL_VARIABLES = {"rabbitmq": "RABBITMQ_URL", "kafka": "KAFKA_BOOTSTRAP", postgres.NAME: postgres.URL_VARIABLE}


@asynccontextmanager
async def provide_brokers(
    names: Iterable[str], *, given: Mapping[str, str], home: Path, say: Say, security: Security = PLAIN
) -> AsyncIterator[dict[str, Broker | Unavailable]]:
    """Context manager: the brokers of these names, started concurrently, at all levels of ``security``.

    Yields a Broker or an Unavailable by name; a broker that cannot be had is an Unavailable, never an exception. What
    was started here is stopped on exit, also when cancelled; what was given or kept keeps running. Raises ValueError
    for a name that is no broker.
    """
    wanted = _validate_names(names)
    home = cleanup.resolve_home(home)
    await asyncio.to_thread(cleanup.remove_orphans, home, say)
    async with find_existing_brokers(wanted, given, home, say, security) as found:
        absent = [name for name in wanted if name not in found]
        if not absent:
            yield {name: found[name] for name in wanted}
            return
        run = cleanup.open_ledger(home)
        try:
            found.update(await _start_all(absent, run, home, say, security))
            yield {name: found[name] for name in wanted}
        finally:
            await finish_despite_cancellation(asyncio.to_thread(run.close))


async def start_kept_brokers(names: Iterable[str], *, home: Path, say: Say) -> dict[str, Broker | Unavailable]:
    """Start these brokers and leave them running until ``stop_kept_brokers``; those already running stay as they are.

    Returns a Broker or an Unavailable by name. Raises ValueError for a name that is no broker.
    """
    wanted = _validate_names(names)
    home = cleanup.resolve_home(home)
    async with _lock_up_and_down(home):
        await asyncio.to_thread(cleanup.remove_orphans, home, say)
        async with find_existing_brokers(wanted, {}, home, say) as found:
            for name in found:
                say(f"{name} is up already")
            if absent := [name for name in wanted if name not in found]:
                run = cleanup.open_ledger(home)
                try:
                    started = await _start_all(absent, run, home, say, PLAIN)
                    run.brokers = [broker for broker in started.values() if isinstance(broker, Broker)]
                    run.kept = bool(run.brokers)
                finally:
                    await finish_despite_cancellation(asyncio.to_thread(run.close))
                found.update(started)
            return {name: found[name] for name in wanted}


async def stop_kept_brokers(*, home: Path, say: Say) -> None:
    """Stop the brokers that ``start_kept_brokers`` started, and clean up after killed runs.

    Says so when there is nothing to stop. Raises InUse, with nothing stopped, while a run uses any of them.
    """
    home = cleanup.resolve_home(home)
    async with _lock_up_and_down(home):
        runs = cleanup.find_kept_ledgers(home)
        with _lock_unused(runs):
            for run in runs:
                await finish_despite_cancellation(asyncio.to_thread(run.clear))
                say(f"stopped {_join_names(run.brokers)}")
        if not runs:
            say("no broker is kept: nothing to stop")
        await finish_despite_cancellation(asyncio.to_thread(cleanup.remove_orphans, home, say))


def is_broker_running(broker: Broker) -> bool:
    """Return whether the server's own process still runs; True for a server whose process cannot be seen from here."""
    if not broker.pids:
        return True
    try:
        return not has_ended(psutil.Process(broker.pids[0]))
    except psutil.NoSuchProcess:
        return False


@asynccontextmanager
async def find_existing_brokers(
    names: Iterable[str], given: Mapping[str, str], home: Path, say: Say, security: Security = PLAIN
) -> AsyncIterator[dict[str, Broker | Unavailable]]:
    """Context manager: the brokers that need no start, which are given by URL or kept by `make up`, by name.

    Yields a Broker or an Unavailable for each of them. While the context lasts, ``stop_kept_brokers`` refuses to stop
    the kept ones.
    """
    found: dict[str, Broker | Unavailable] = {}
    kept = {
        broker.name: (broker, run.folder / cleanup.USERS_LOCK)
        for run in cleanup.find_kept_ledgers(home)
        for broker in run.brokers
    }
    with ExitStack() as uses:
        for name in names:
            if url := given.get(name):
                found[name] = await _check_given_broker(name, url, security)
            elif name in kept and security != PLAIN:
                say(f"the {name} kept by `make up` has no TLS, so another is started")
            elif name in kept:
                broker, users = kept[name]
                # Locked before it is asked, so that what has answered stays.
                if (lock := cleanup.try_lock(users, shared=True)) is None:
                    continue  # `down` is stopping it
                uses.enter_context(lock)
                if await probe_version(name, broker.url) is not None:
                    found[name] = replace(broker, provided_by="kept")
                else:
                    lock.close()
                    say(f"the {name} kept by `make up` does not answer, so another is started: type `make down`")
        yield found


async def _check_given_broker(name: str, url: str, security: Security) -> Broker | Unavailable:
    """It has to be as secure as was asked, at every level."""
    version = None
    for level in security.levels:
        version = await probe_version(name, url, level, security.keys)
        if version is None:
            why = await postgres.explain_refusal(url) if name == postgres.NAME else ""
            return Unavailable(
                name, _format_unreachable(name, url, why) if level == NONE else _format_insecure(name, url, level)
            )
        if level == MTLS and await probe_version(name, url, TLS, security.keys) is not None:
            return Unavailable(name, f"{_format_insecure(name, url, level)} (it asks for no certificate)")
    further = dict.fromkeys(security.levels[1:], url)
    first = security.levels[0]
    runtime = await _probe_runtime(name, url, first, security.keys)
    return Broker(
        name, url, "given", version or "", security=first, keys=security.keys, further=further, runtime=runtime
    )


@contextmanager
def _lock_unused(runs: Iterable[RunLedger]) -> Iterator[None]:
    """Nobody uses what these runs keep, and nobody begins to. Raises InUse."""
    with ExitStack() as locks:
        used: list[Broker] = []
        for run in runs:
            if (lock := cleanup.try_lock(run.folder / cleanup.USERS_LOCK)) is None:
                used += run.brokers
            else:
                locks.enter_context(lock)
        if used:
            verb = "is" if len(used) == 1 else "are"
            raise InUse(
                f"{_join_names(used)} {verb} in use by a run; end it first (Ctrl-C), then type `make down` again",
                code="in-use",
            )
        yield


def _join_names(some: Iterable[Broker]) -> str:
    return " and ".join(broker.name for broker in some)


async def _start_all(
    names: list[str], run: RunLedger, home: Path, say: Say, security: Security
) -> dict[str, Broker | Unavailable]:
    """Start all of them at once, in containers if an engine answers and natively otherwise."""
    command = await compose.find_engine()
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_start_one(name, run, home, say, command, security)) for name in names]
    return {name: task.result() for name, task in zip(names, tasks, strict=True)}


async def _start_one(
    name: str, run: RunLedger, home: Path, say: Say, command: tuple[str, ...] | None, security: Security
) -> Broker | Unavailable:
    if command is not None:
        try:
            return await _start_in_container(name, run, command, say, security)
        except (StartFailed, SettingError, OSError) as error:
            say(f"{error}; trying without containers")
    why = postgres.unavailable_reason() if name == postgres.NAME else _find_broker_reason(name, home)
    if why is not None:
        return Unavailable(name, why)
    folder = run.folder / name
    folder.mkdir()
    say(f"starting {name} (a few seconds)")
    try:
        if name == postgres.NAME:
            return await postgres.start(folder)
        if name == "rabbitmq":
            return await rabbitmq.start(folder, security, home=home)
        return await kafka.start(folder, security, home=home)
    except (StartFailed, SettingError, OSError) as error:
        await finish_despite_cancellation(asyncio.to_thread(stop_processes_below, folder))
        return Unavailable(name, f"{name} could not be started: {error}; {_keep_server_log(folder, home)}")


def _find_broker_reason(name: str, home: Path) -> str | None:
    return rabbitmq.unavailable_reason(home) if name == "rabbitmq" else kafka.unavailable_reason(home)


async def _start_in_container(
    name: str, run: RunLedger, command: tuple[str, ...], say: Say, security: Security
) -> Broker:
    """Start one in a container. Raises StartFailed."""
    made = (
        container.build_plain_config(name)
        if security == PLAIN
        else container.build_secured_config(name, run.folder / f"{name}-told", security)
    )
    # The engine's client has the run's mark, or it would go on starting a container after its run was killed.
    variables = {**made.variables, MARK_VARIABLE: str(run.folder)}
    project = compose.ComposeProject(command, f"fourways-{run.folder.name}-{name}", str(made.file), variables)
    run.projects.append(project)
    run.save()  # before anything can be left behind
    say(f"starting {name} with {' '.join(command)} (the first time it fetches an image)")
    (first, url), *others = made.urls.items()
    try:
        await compose.start_service(project, name)
        version = await wait_until_answering(
            None, lambda: probe_version(name, url, first, security.keys), deadline_s=90
        )
        if made.once_ready:
            await compose.run_in_container(project, name, *made.once_ready)
    except StartFailed:
        await finish_despite_cancellation(
            asyncio.to_thread(compose.remove_project, project)
        )  # or it would run on beside the one that takes its place
        raise
    made.delete_secrets()
    return Broker(
        name,
        url,
        "compose",
        version or compose.read_image_version(name),
        security=first,
        keys=security.keys,
        further=dict(others),
        runtime=await _probe_runtime(name, url, first, security.keys),
    )


@asynccontextmanager
async def _lock_up_and_down(home: Path) -> AsyncIterator[None]:
    """One `make up` or `make down` at a time. Raises OSError where nobody can write."""
    (home / "up.lock").touch()
    while True:
        if (lock := cleanup.try_lock(home / "up.lock")) is not None:
            break
        await asyncio.sleep(0.1)
    with lock:
        yield


async def probe_version(name: str, url: str, security: str = NONE, keys: str = "") -> str | None:
    """Return the version of the server at ``url``, "" if it does not say; None when it does not answer so."""
    if name == postgres.NAME:
        return await postgres.probe_version(url)
    if name == "rabbitmq":
        return await rabbitmq.probe_version(url, security=security, keys=keys)
    return "" if await kafka.is_reachable(url, security=security, keys=keys) else None


async def _probe_runtime(name: str, url: str, security: str, keys: str) -> str:
    return await rabbitmq.probe_runtime(url, security=security, keys=keys) if name == "rabbitmq" else ""


def _format_insecure(name: str, url: str, level: str) -> str:
    variable = URL_VARIABLES[name]
    scheme = ", with amqps:// in front," if name == "rabbitmq" else ""
    return (
        f"no {name} answers at {variable}={_hide_password(url)} as SECURITY={level} asks: "
        f"give one that does{scheme} and its "
        f"keys with KEYS=, or unset {variable} to have one started"
    )


def _format_unreachable(name: str, url: str, why: str) -> str:
    variable = URL_VARIABLES[name]
    said = f" ({why})" if why else ""
    return (
        f"no {name} answers at {variable}={_hide_password(url)}{said}: start it, correct {variable}, or unset it to "
        "have one started"
    )


def _hide_password(url: str) -> str:
    return re.sub(r":[^:/@]*@", ":***@", url)


def _keep_server_log(folder: Path, home: Path) -> str:
    """Keep the server's log where the run's end does not remove it, and say where."""
    kept = home / f"last-failure-{folder.name}.log"
    with kept.open("wb") as out:
        for log in sorted(folder.glob("**/*.log"), key=lambda path: path.stat().st_mtime):
            out.write(log.read_bytes()[-20_000:])
    return f"its last words are in {kept}"


def _validate_names(names: Iterable[str]) -> list[str]:
    wanted = list(dict.fromkeys(names))
    if strange := [name for name in wanted if name not in SERVER_NAMES]:
        raise ValueError(f"{strange[0]} is not a server: the servers are {' and '.join(SERVER_NAMES)}")
    return wanted

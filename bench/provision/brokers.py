"""Who provides which broker: given by URL, kept by `make up`, a container engine, or started here; up and down."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path

import psutil

from bench.errors import InUse, StartFailed
from bench.provision import cleanup as ledger
from bench.provision import compose, kafka, rabbitmq
from bench.provision import container as contained
from bench.provision.base import PLAIN, Broker, Say, Security, Unavailable
from bench.provision.cleanup import Run
from bench.provision.process import end_below, finish, gone, ready
from transports.errors import SettingError
from transports.security import MTLS, NONE, TLS

NAMES = ("rabbitmq", "kafka")
VARIABLES = {"rabbitmq": "RABBITMQ_URL", "kafka": "KAFKA_BOOTSTRAP"}


@asynccontextmanager
async def brokers(
    names: Iterable[str], *, given: Mapping[str, str], home: Path, say: Say, security: Security = PLAIN
) -> AsyncIterator[dict[str, Broker | Unavailable]]:
    """The brokers of these names, all started at once, for as long as the context lasts, at all levels of ``security``.

    A broker that cannot be had is an Unavailable, never an exception. What was started here is stopped on the
    way out, also when cancelled; what was given or kept stays. Raises ValueError for a name that is no broker.
    """
    wanted = _known(names)
    home = ledger.place(home)
    await asyncio.to_thread(ledger.sweep, home, say)
    async with standing(wanted, given, home, say, security) as found:
        absent = [name for name in wanted if name not in found]
        if not absent:
            yield {name: found[name] for name in wanted}
            return
        run = ledger.open_run(home)
        try:
            found.update(await _start(absent, run, home, say, security))
            yield {name: found[name] for name in wanted}
        finally:
            await finish(asyncio.to_thread(run.close))


async def up(names: Iterable[str], *, home: Path, say: Say) -> dict[str, Broker | Unavailable]:
    """Start these brokers and leave them running until `down`; those that are up already stay as they are."""
    wanted = _known(names)
    home = ledger.place(home)
    async with _only_one(home):
        await asyncio.to_thread(ledger.sweep, home, say)
        async with standing(wanted, {}, home, say) as found:
            for name in found:
                say(f"{name} is up already")
            if absent := [name for name in wanted if name not in found]:
                run = ledger.open_run(home)
                try:
                    started = await _start(absent, run, home, say, PLAIN)
                    run.brokers = [broker for broker in started.values() if isinstance(broker, Broker)]
                    run.kept = bool(run.brokers)
                finally:
                    await finish(asyncio.to_thread(run.close))
                found.update(started)
            return {name: found[name] for name in wanted}


async def down(*, home: Path, say: Say) -> None:
    """Stop what `up` started, and clean up after runs that were killed. Says so when there is nothing to stop.

    Raises InUse, with nothing stopped, while a run uses any of it.
    """
    home = ledger.place(home)
    async with _only_one(home):
        runs = ledger.kept(home)
        with _unused(runs):
            for run in runs:
                await finish(asyncio.to_thread(run.clear))
                say(f"stopped {_listed(run.brokers)}")
        if not runs:
            say("no broker is kept: nothing to stop")
        await finish(asyncio.to_thread(ledger.sweep, home, say))


def alive(broker: Broker) -> bool:
    """Whether the server's own process still runs; true for one that cannot be seen from here."""
    if not broker.pids:
        return True
    try:
        return not gone(psutil.Process(broker.pids[0]))
    except psutil.NoSuchProcess:
        return False


@asynccontextmanager
async def standing(
    names: Iterable[str], given: Mapping[str, str], home: Path, say: Say, security: Security = PLAIN
) -> AsyncIterator[dict[str, Broker | Unavailable]]:
    """Those that are there without our doing: given by URL, and kept by `make up`.

    While the context lasts `down` refuses to stop the kept ones.
    """
    found: dict[str, Broker | Unavailable] = {}
    kept = {broker.name: (broker, run.folder / ledger.USERS) for run in ledger.kept(home) for broker in run.brokers}
    with ExitStack() as uses:
        for name in names:
            if url := given.get(name):
                found[name] = await _given(name, url, security)
            elif name in kept and security != PLAIN:
                say(f"the {name} kept by `make up` has no TLS, so another is started")
            elif name in kept:
                broker, users = kept[name]
                # Locked before it is asked, so that what has answered stays.
                if (lock := ledger.try_lock(users, shared=True)) is None:
                    continue  # `down` is stopping it
                uses.enter_context(lock)
                if await version_at(name, broker.url) is not None:
                    found[name] = replace(broker, provided_by="kept")
                else:
                    lock.close()
                    say(f"the {name} kept by `make up` does not answer, so another is started: type `make down`")
        yield found


async def _given(name: str, url: str, security: Security) -> Broker | Unavailable:
    """It has to be as secure as was asked, at every level."""
    version = None
    for level in security.levels:
        version = await version_at(name, url, level, security.keys)
        if version is None:
            return Unavailable(name, _silent(name, url) if level == NONE else _lacking(name, url, level))
        if level == MTLS and await version_at(name, url, TLS, security.keys) is not None:
            return Unavailable(name, f"{_lacking(name, url, level)} (it asks for no certificate)")
    further = dict.fromkeys(security.levels[1:], url)
    return Broker(name, url, "given", version or "", security=security.levels[0], keys=security.keys, further=further)


@contextmanager
def _unused(runs: Iterable[Run]) -> Iterator[None]:
    """Nobody uses what these runs keep, and nobody begins to. Raises InUse."""
    with ExitStack() as locks:
        used: list[Broker] = []
        for run in runs:
            if (lock := ledger.try_lock(run.folder / ledger.USERS)) is None:
                used += run.brokers
            else:
                locks.enter_context(lock)
        if used:
            verb = "is" if len(used) == 1 else "are"
            raise InUse(
                f"{_listed(used)} {verb} in use by a run; end it first (Ctrl-C), then type `make down` again",
                code="in-use",
            )
        yield


def _listed(some: Iterable[Broker]) -> str:
    return " and ".join(broker.name for broker in some)


async def _start(
    names: list[str], run: Run, home: Path, say: Say, security: Security
) -> dict[str, Broker | Unavailable]:
    """Start all of them at once, in containers if an engine answers and natively otherwise."""
    command = await compose.engine()
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_start_one(name, run, home, say, command, security)) for name in names]
    return {name: task.result() for name, task in zip(names, tasks, strict=True)}


async def _start_one(
    name: str, run: Run, home: Path, say: Say, command: tuple[str, ...] | None, security: Security
) -> Broker | Unavailable:
    if command is not None:
        try:
            return await _contain(name, run, command, say, security)
        except (StartFailed, SettingError, OSError) as error:
            say(f"{error}; trying without containers")
    if (why := rabbitmq.missing() if name == "rabbitmq" else kafka.missing(home)) is not None:
        return Unavailable(name, why)
    folder = run.folder / name
    folder.mkdir()
    say(f"starting {name} (a few seconds)")
    try:
        if name == "rabbitmq":
            return await rabbitmq.start(folder, security)
        return await kafka.start(folder, security, home=home)
    except (StartFailed, SettingError, OSError) as error:
        await finish(asyncio.to_thread(end_below, folder))
        return Unavailable(name, f"{name} could not be started: {error}; {_last_words(folder, home)}")


async def _contain(name: str, run: Run, command: tuple[str, ...], say: Say, security: Security) -> Broker:
    """Start one in a container. Raises StartFailed."""
    made = (
        contained.plain(name) if security == PLAIN else contained.secured(name, run.folder / f"{name}-told", security)
    )
    project = compose.Project(command, f"fourways-{run.folder.name}-{name}", str(made.file), made.variables)
    run.projects.append(project)
    run.save()  # before anything can be left behind
    say(f"starting {name} with {' '.join(command)} (the first time it fetches an image)")
    (first, url), *others = made.urls.items()
    try:
        await compose.up(project, name)
        version = await ready(None, lambda: version_at(name, url, first, security.keys), deadline_s=90)
        if made.once_ready:
            await compose.run_in(project, name, *made.once_ready)
    except StartFailed:
        await finish(asyncio.to_thread(compose.down, project))  # or it would run on beside the one that takes its place
        raise
    made.forget()
    return Broker(
        name,
        url,
        "compose",
        version or compose.image_version(name),
        security=first,
        keys=security.keys,
        further=dict(others),
    )


@asynccontextmanager
async def _only_one(home: Path) -> AsyncIterator[None]:
    """One `make up` or `make down` at a time. Raises OSError where nobody can write."""
    (home / "up.lock").open("a").close()
    while True:
        if (lock := ledger.try_lock(home / "up.lock")) is not None:
            break
        await asyncio.sleep(0.1)
    with lock:
        yield


async def version_at(name: str, url: str, security: str = NONE, keys: str = "") -> str | None:
    """The version of the server there, "" if it does not say; None when there is no answer at this level."""
    if name == "rabbitmq":
        return await rabbitmq.version_of(url, security=security, keys=keys)
    return "" if await kafka.answers(url, security=security, keys=keys) else None


def _lacking(name: str, url: str, level: str) -> str:
    variable = VARIABLES[name]
    scheme = ", with amqps:// in front," if name == "rabbitmq" else ""
    return (
        f"no {name} answers at {variable}={_shown(url)} as SECURITY={level} asks: give one that does{scheme} and its "
        f"keys with KEYS=, or unset {variable} to have one started"
    )


def _silent(name: str, url: str) -> str:
    variable = VARIABLES[name]
    return (
        f"no {name} answers at {variable}={_shown(url)}: start it, correct {variable}, or unset it to have one started"
    )


def _shown(url: str) -> str:
    return re.sub(r":[^:/@]*@", ":***@", url)


def _last_words(folder: Path, home: Path) -> str:
    """Keep the server's log where the run's end does not remove it, and say where."""
    kept = home / f"last-failure-{folder.name}.log"
    with kept.open("wb") as out:
        for log in sorted(folder.glob("**/*.log"), key=lambda path: path.stat().st_mtime):
            out.write(log.read_bytes()[-20_000:])
    return f"its last words are in {kept}"


def _known(names: Iterable[str]) -> list[str]:
    wanted = list(dict.fromkeys(names))
    if strange := [name for name in wanted if name not in NAMES]:
        raise ValueError(f"{strange[0]} is not a broker: the brokers are {' and '.join(NAMES)}")
    return wanted

"""Kills a native broker, and restarts it with the same command and data."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from bench.errors import StartFailed
from bench.provision.base import Broker
from bench.provision.brokers import probe_version
from bench.provision.process import (
    MARK_VARIABLE,
    finish_despite_cancellation,
    has_ended,
    spawn,
    stop_processes,
    wait_until_answering,
)
from bench.provision.rabbitmq import elect_missing_leaders, start_mtls_listener

START_TIMEOUT_S = 120.0


@dataclass(frozen=True, slots=True)
class LaunchSpec:
    """The command, environment and folder with which a server was started, read from its process."""

    command: tuple[str, ...]
    env: Mapping[str, str]
    folder: Path

    @classmethod
    def of(cls, broker: Broker) -> "LaunchSpec":
        """Read how a broker was started. Raises StartFailed when its process cannot be seen from here, or has ended."""
        try:
            server = psutil.Process(broker.pids[0])
            env = server.environ()
            return cls(tuple(server.cmdline()), env, Path(env[MARK_VARIABLE]))
        except (IndexError, KeyError, psutil.Error) as error:
            raise StartFailed(
                f"{broker.name} is no process that was started here, so that it is not killed", code="broker-not-ours"
            ) from error


async def kill_server(broker: Broker) -> None:
    """Kill the broker's server with SIGKILL, as a crash would; return when it has ended."""
    with suppress(psutil.NoSuchProcess):
        server = psutil.Process(broker.pids[0])
        server.kill()
        await finish_despite_cancellation(asyncio.to_thread(server.wait))


async def restart_server(broker: Broker, recipe: LaunchSpec, *, quorum: bool) -> Broker:
    """Restart a broker at the same address; return it, ready, with its new process ids.

    With ``quorum``, RabbitMQ is ready when all quorum queues have leaders, not when its port is open. Raises
    StartFailed, and leaves no process behind then.
    """
    process = spawn(recipe.command, folder=recipe.folder, log=recipe.folder / "server.log", env=recipe.env)

    async def answers() -> str | None:
        version = await probe_version(broker.name, broker.url, broker.security, broker.keys)
        if (
            version is not None
            and quorum
            and broker.name == "rabbitmq"
            and not await elect_missing_leaders(recipe.folder)
        ):
            return None
        return version

    try:
        await wait_until_answering(process, answers, deadline_s=START_TIMEOUT_S)
    except BaseException:
        with suppress(psutil.NoSuchProcess):
            await finish_despite_cancellation(asyncio.to_thread(stop_processes, [psutil.Process(process.pid)]))
        raise
    if broker.name == "rabbitmq":
        await start_mtls_listener(recipe.folder)
    beside = [pid for pid in broker.pids[1:] if _is_running(pid)]
    children = [child.pid for child in psutil.Process(process.pid).children()]
    return replace(broker, pids=(process.pid, *beside, *children))


def _is_running(pid: int) -> bool:
    with suppress(psutil.NoSuchProcess):
        return not has_ended(psutil.Process(pid))
    return False

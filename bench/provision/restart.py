"""A broker whose server is killed, and started again as it was, with what is on its disk."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from bench.errors import StartFailed
from bench.provision.base import Broker
from bench.provision.brokers import version_at
from bench.provision.process import MARK, end, finish, gone, ready, spawn
from bench.provision.rabbitmq import elected, listen_further

START_S = 120.0


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a server was started, read from its process."""

    command: tuple[str, ...]
    env: Mapping[str, str]
    folder: Path

    @classmethod
    def of(cls, broker: Broker) -> "Recipe":
        """Raises StartFailed when its process cannot be seen from here, or has ended."""
        try:
            server = psutil.Process(broker.pids[0])
            env = server.environ()
            return cls(tuple(server.cmdline()), env, Path(env[MARK]))
        except (IndexError, KeyError, psutil.Error) as error:
            raise StartFailed(
                f"{broker.name} is no process that was started here, so that it is not killed", code="broker-not-ours"
            ) from error


async def kill(broker: Broker) -> None:
    """End its server as a crash does; returns when it has ended."""
    with suppress(psutil.NoSuchProcess):
        server = psutil.Process(broker.pids[0])
        server.kill()
        await finish(asyncio.to_thread(server.wait))


async def start_again(broker: Broker, recipe: Recipe, *, quorum: bool) -> Broker:
    """The same broker, ready, at the same address and with another process. Raises StartFailed; nothing is left then.

    ``quorum``: RabbitMQ is ready when its quorum queues have leaders, and not when its port is open.
    """
    process = spawn(recipe.command, folder=recipe.folder, log=recipe.folder / "server.log", env=recipe.env)

    async def answers() -> str | None:
        version = await version_at(broker.name, broker.url, broker.security, broker.keys)
        if version is not None and quorum and broker.name == "rabbitmq" and not await elected(recipe.folder):
            return None
        return version

    try:
        await ready(process, answers, deadline_s=START_S)
    except BaseException:
        with suppress(psutil.NoSuchProcess):
            await finish(asyncio.to_thread(end, [psutil.Process(process.pid)]))
        raise
    if broker.name == "rabbitmq":
        await listen_further(recipe.folder)
    beside = [pid for pid in broker.pids[1:] if _lives(pid)]
    children = [child.pid for child in psutil.Process(process.pid).children()]
    return replace(broker, pids=(process.pid, *beside, *children))


def _lives(pid: int) -> bool:
    with suppress(psutil.NoSuchProcess):
        return not gone(psutil.Process(pid))
    return False

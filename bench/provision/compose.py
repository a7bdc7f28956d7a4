"""A container engine, if one answers, with compose.yaml or compose.secure.yaml."""

import asyncio
import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from bench.errors import StartFailed
from bench.paths import COMPOSE

FILE = COMPOSE
SECURE = FILE.with_name("compose.secure.yaml")

# What answers for the engine, and what then reads compose.yaml.
ENGINES = (
    (("docker", "info"), ("docker", "compose")),
    (("docker", "info"), ("docker-compose",)),
    (("podman", "info"), ("podman", "compose")),
)


@dataclass(frozen=True, slots=True)
class Project:
    """Containers started together under a name of their own, by which they are ended together."""

    command: tuple[str, ...]
    name: str
    file: str = str(FILE)
    variables: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Of the file: ports and paths. The engine wants them whenever it reads the file."""

    def line(self, *arguments: str) -> tuple[str, ...]:
        return (*self.command, "-p", self.name, "-f", self.file, *arguments)

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, **self.variables}


async def engine() -> tuple[str, ...] | None:
    """The compose command of the first engine that answers, if one does."""
    if not FILE.exists():
        return None
    for info, command in ENGINES:
        if shutil.which(info[0]) and shutil.which(command[0]):
            asked = await _call(info, timeout_s=5) or await _call((*command, "version"), timeout_s=5)
            if asked is None:
                return command
    return None


async def up(project: Project, service: str) -> None:
    """Start one service. Raises StartFailed with the engine's own words."""
    trouble = await _call(project.line("up", "-d", service), env=project.environment, timeout_s=300)
    if trouble is not None:
        raise StartFailed(f"the container engine could not start {service}: {trouble}", code="container-not-started")


async def run_in(project: Project, service: str, *command: str) -> None:
    """Run a command in a service's container. Raises StartFailed with its last line when it fails."""
    trouble = await _call(project.line("exec", "-T", service, *command), env=project.environment, timeout_s=60)
    if trouble is not None:
        raise StartFailed(
            f"{command[0]} failed in the container of {service}: {trouble}", code="container-command-failed"
        )


def down(project: Project) -> None:
    """Remove the project's containers and volumes. Blocks; silent when there are none."""
    line = project.line("down", "-v", "--timeout", "5")
    with suppress(OSError, subprocess.TimeoutExpired):
        subprocess.run(line, env=project.environment, capture_output=True, timeout=60, check=False)


def image_version(service: str) -> str:
    """The version that compose.yaml names for a service."""
    found = re.search(rf"image: \S*{service}:(\d[\w.]*)", FILE.read_text())
    return found[1] if found else ""


async def _call(command: Sequence[str], *, timeout_s: float, env: Mapping[str, str] | None = None) -> str | None:
    """None when the command succeeds, else the last line of what it said."""
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        return str(error.strerror)
    try:
        async with asyncio.timeout(timeout_s):
            said, _ = await process.communicate()
    except TimeoutError:
        return f"no answer from `{' '.join(command[:2])}` within {timeout_s:.0f} s"
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode == 0:
        return None
    lines = said.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else f"exit code {process.returncode}"

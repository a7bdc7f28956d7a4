"""Runs containers with Docker or Podman Compose, if a container engine answers."""

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

COMPOSE_FILE = COMPOSE
SECURE_COMPOSE_FILE = COMPOSE_FILE.with_name("compose.secure.yaml")

# What answers for the engine, and what then reads compose.yaml.
ENGINES = (
    (("docker", "info"), ("docker", "compose")),
    (("docker", "info"), ("docker-compose",)),
    (("podman", "info"), ("podman", "compose")),
)


@dataclass(frozen=True, slots=True)
class ComposeProject:
    """Containers started together as one Compose project, by whose name they are removed together."""

    command: tuple[str, ...]
    name: str
    file: str = str(COMPOSE_FILE)
    variables: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Of the file: ports and paths. The engine wants them whenever it reads the file."""

    def line(self, *arguments: str) -> tuple[str, ...]:
        return (*self.command, "-p", self.name, "-f", self.file, *arguments)

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, **self.variables}


async def find_engine() -> tuple[str, ...] | None:
    """Return the compose command of the first container engine that answers; None if none does."""
    if not COMPOSE_FILE.exists():
        return None
    for info, command in ENGINES:
        if shutil.which(info[0]) and shutil.which(command[0]):
            asked = await _run_command(info, timeout_s=5) or await _run_command((*command, "version"), timeout_s=5)
            if asked is None:
                return command
    return None


async def start_service(project: ComposeProject, service: str) -> None:
    """Start one service of the project. Raises StartFailed with the engine's own message."""
    trouble = await _run_command(project.line("up", "-d", service), env=project.environment, timeout_s=300)
    if trouble is not None:
        raise StartFailed(f"the container engine could not start {service}: {trouble}", code="container-not-started")


async def run_in_container(project: ComposeProject, service: str, *command: str) -> None:
    """Run a command in a service's container. Raises StartFailed with the last line of output when it fails."""
    trouble = await _run_command(project.line("exec", "-T", service, *command), env=project.environment, timeout_s=60)
    if trouble is not None:
        raise StartFailed(
            f"{command[0]} failed in the container of {service}: {trouble}", code="container-command-failed"
        )


def remove_project(project: ComposeProject) -> None:
    """Remove the project's containers and volumes. Blocks; does nothing when there are none."""
    line = project.line("down", "-v", "--timeout", "5")
    with suppress(OSError, subprocess.TimeoutExpired):
        subprocess.run(line, env=project.environment, capture_output=True, timeout=60, check=False)


def read_image_version(service: str) -> str:
    """Return the image version that compose.yaml names for a service, "" if it names none."""
    found = re.search(rf"image: \S*{service}:(\d[\w.]*)", COMPOSE_FILE.read_text("utf-8"))
    return found[1] if found else ""


async def _run_command(command: Sequence[str], *, timeout_s: float, env: Mapping[str, str] | None = None) -> str | None:
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

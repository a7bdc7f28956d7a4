"""A network that can be cut and slowed: Toxiproxy, which carries what comes to FAR on to 127.0.0.1."""

import argparse
import asyncio
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import psutil

from bench.errors import StartFailed
from bench.provision.base import FAR, Say
from bench.provision.ports import LOOPBACK, free_ports
from bench.provision.process import end, finish, ready, spawn

VERSION = "2.12.0"
_PACKAGE = f"github.com/Shopify/toxiproxy/v2/cmd/server@v{VERSION}"
_NO_GO = "a network that can be cut needs Toxiproxy, and Go to build it: install Go and try again"
START_S = 10.0


def far(address: str) -> str:
    """The same port at FAR."""
    return f"{FAR}:{address.rpartition(':')[2]}"


def program(home: Path) -> Path:
    """Where set-up puts it."""
    return home / "toxiproxy" / VERSION / "server"


async def missing(home: Path, say: Say) -> str | None:
    """One sentence when it cannot be had; it is built when it is not there."""
    if program(home).exists():
        return None
    if (go := shutil.which("go")) is None:
        return _NO_GO
    say("building Toxiproxy with Go (once, half a minute)")
    building = await asyncio.create_subprocess_exec(
        *(go, "install", _PACKAGE),
        env={**os.environ, "GOBIN": str(program(home).parent.resolve())},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        said, _ = await building.communicate()
    except asyncio.CancelledError:
        building.kill()
        await finish(building.wait())
        raise
    if building.returncode == 0:
        return None
    lines = [line for line in said.decode(errors="replace").splitlines() if line.strip()] or ["it said nothing"]
    return f"Go could not build Toxiproxy: {lines[-1][:300]}; try again when that is mended"


class Network:
    """The way from FAR to some addresses, all of it cut or slowed together."""

    def __init__(self, pid: int, api: httpx.AsyncClient) -> None:
        self._pid = pid
        self._api = api
        self._names: list[str] = []

    async def carry(self, address: str) -> None:
        """From now on to this host:port from the same port of FAR. Raises StartFailed."""
        name = f"to-{address}"
        await self._asked("POST", "/proxies", {"name": name, "listen": far(address), "upstream": address})
        self._names.append(name)

    @asynccontextmanager
    async def cut(self) -> AsyncIterator[None]:
        """Nothing comes through; connections stay, and what was sent arrives afterwards, as TCP has it.

        By stopping Toxiproxy: its own ways lose what was sent, and then close the connections.
        """
        os.kill(self._pid, signal.SIGSTOP)
        try:
            yield
        finally:
            with suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGCONT)

    @asynccontextmanager
    async def slowed(self, delay_ms: int) -> AsyncIterator[None]:
        """Everything takes so much longer, each way. Raises StartFailed."""
        try:
            for name in self._names:
                for stream in ("upstream", "downstream"):
                    toxic = {"type": "latency", "stream": stream, "attributes": {"latency": delay_ms}}
                    await self._asked("POST", f"/proxies/{name}/toxics", toxic)
            yield
        finally:
            await finish(self._asked("POST", "/reset", None))

    async def _asked(self, method: str, path: str, content: Any) -> None:
        try:
            answer = await self._api.request(method, path, json=content)
            answer.raise_for_status()
        except httpx.HTTPStatusError as error:
            raise StartFailed(
                f"Toxiproxy refused {path}: {error.response.text.strip()}", code="proxy-refused"
            ) from error
        except httpx.HTTPError as error:
            raise StartFailed(
                f"Toxiproxy does not answer: {error or type(error).__name__}", code="proxy-silent"
            ) from error


@asynccontextmanager
async def network(addresses: Sequence[str], *, home: Path, folder: Path, log: Path) -> AsyncIterator[Network]:
    """Toxiproxy, for as long as the context lasts, on the way to each of these. Raises StartFailed.

    ``folder`` marks its process as the run's own.
    """
    (port,) = free_ports(1)
    command = [str(program(home).resolve()), "-host", LOOPBACK, "-port", str(port)]
    process = spawn(command, folder=folder, log=log)
    try:
        async with httpx.AsyncClient(base_url=f"http://{LOOPBACK}:{port}", trust_env=False) as api:

            async def answers() -> bool | None:
                with suppress(httpx.HTTPError):
                    return (await api.get("/version")).is_success or None
                return None

            await ready(process, answers, deadline_s=START_S)
            made = Network(process.pid, api)
            for address in addresses:
                await made.carry(address)
            yield made
    finally:
        await finish(asyncio.to_thread(_end, process.pid))


def _end(pid: int) -> None:
    with suppress(psutil.NoSuchProcess):
        end([psutil.Process(pid)])


if __name__ == "__main__":  # `make test` builds it before several tests at once would
    parser = argparse.ArgumentParser(prog="python -m bench.provision.toxiproxy", description=__doc__)
    parser.add_argument("home", type=Path)
    if why := asyncio.run(missing(parser.parse_args().home, print)):
        print(why, file=sys.stderr)

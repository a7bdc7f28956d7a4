"""Runs Toxiproxy between clients and servers, to cut or delay their network traffic.

It forwards connections to PROXY_HOST on to the same port of 127.0.0.1.
"""

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import psutil

from bench.errors import StartFailed
from bench.provision.base import PROXY_HOST, Say
from bench.provision.ports import LOOPBACK, find_free_ports
from bench.provision.process import finish_despite_cancellation, spawn, stop_processes, wait_until_answering

VERSION = "2.12.0"
_PACKAGE = f"github.com/Shopify/toxiproxy/v2/cmd/server@v{VERSION}"
_NO_GO = "a network that can be cut needs Toxiproxy, and Go to build it: install Go and try again"
START_TIMEOUT_S = 10.0


def proxied_address(address: str) -> str:
    """Return the proxy's address for a host:port: the same port at PROXY_HOST."""
    return f"{PROXY_HOST}:{address.rpartition(':')[2]}"


def binary_path(home: Path) -> Path:
    """Return the path where set-up installs Toxiproxy's server."""
    return home / "toxiproxy" / VERSION / "server"


async def ensure_installed(home: Path, say: Say) -> str | None:
    """Build Toxiproxy with Go if it is missing; return why it cannot be had, or None when it is there."""
    if binary_path(home).exists():
        return None
    if (go := shutil.which("go")) is None:
        return _NO_GO
    say("building Toxiproxy with Go (once, half a minute)")
    building = await asyncio.create_subprocess_exec(
        *(go, "install", _PACKAGE),
        env={**os.environ, "GOBIN": str(binary_path(home).parent.resolve())},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        said, _ = await building.communicate()
    except asyncio.CancelledError:
        building.kill()
        await finish_despite_cancellation(building.wait())
        raise
    if building.returncode == 0:
        return None
    lines = [line for line in said.decode(errors="replace").splitlines() if line.strip()] or ["it said nothing"]
    return f"Go could not build Toxiproxy: {lines[-1][:300]}; try again when that is mended"


class ProxyNetwork:
    """The proxied connections to some addresses, all cut or delayed together."""

    def __init__(self, pid: int, api: httpx.AsyncClient) -> None:
        self._pid = pid
        self._api = api
        self._names: list[str] = []

    async def forward_to(self, address: str) -> None:
        """Forward connections from the same port of PROXY_HOST to this host:port. Raises StartFailed."""
        name = f"to-{address}"
        await self._asked("POST", "/proxies", {"name": name, "listen": proxied_address(address), "upstream": address})
        self._names.append(name)

    @asynccontextmanager
    async def cut_traffic(self) -> AsyncIterator[None]:
        """Context manager: stop all traffic; connections stay open, and what was sent arrives afterwards.

        It suspends Toxiproxy, whose own toxics would lose what was sent and then close the connections.
        """
        os.kill(self._pid, signal.SIGSTOP)
        try:
            yield
        finally:
            with suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGCONT)

    @asynccontextmanager
    async def delay_traffic(self, delay_ms: int) -> AsyncIterator[None]:
        """Context manager: delay all traffic by ``delay_ms`` milliseconds in each direction. Raises StartFailed."""
        try:
            for name in self._names:
                for stream in ("upstream", "downstream"):
                    toxic = {"type": "latency", "stream": stream, "attributes": {"latency": delay_ms}}
                    await self._asked("POST", f"/proxies/{name}/toxics", toxic)
            yield
        finally:
            await finish_despite_cancellation(self._asked("POST", "/reset", None))

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
async def run_proxy(addresses: Sequence[str], *, home: Path, folder: Path, log: Path) -> AsyncIterator[ProxyNetwork]:
    """Context manager: run Toxiproxy in front of these addresses. Raises StartFailed.

    ``folder`` marks its process as the run's own; its output goes to ``log``.
    """
    (port,) = find_free_ports(1)
    command = [str(binary_path(home).resolve()), "-host", LOOPBACK, "-port", str(port)]
    process = spawn(command, folder=folder, log=log)
    try:
        async with httpx.AsyncClient(base_url=f"http://{LOOPBACK}:{port}", trust_env=False) as api:

            async def answers() -> bool | None:
                with suppress(httpx.HTTPError):
                    return (await api.get("/version")).is_success or None
                return None

            await wait_until_answering(process, answers, deadline_s=START_TIMEOUT_S)
            made = ProxyNetwork(process.pid, api)
            for address in addresses:
                await made.forward_to(address)
            yield made
    finally:
        await finish_despite_cancellation(asyncio.to_thread(_stop_process, process.pid))


def _stop_process(pid: int) -> None:
    with suppress(psutil.NoSuchProcess):
        stop_processes([psutil.Process(pid)])

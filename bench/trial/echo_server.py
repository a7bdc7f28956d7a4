"""A server that sends back what it gets, started as the services are; and what a new connection to it takes."""

import asyncio
import signal
import sys
from time import monotonic_ns

import msgspec
import uvloop

from bench.errors import StartFailed
from bench.provision.service_main import NodeSpec, standard_input
from bench.trial.tls_probe import by_way_of, entrance, overheard
from shop.workflow import FRONT
from transports.base import Setting
from transports.security import BUYER, client_context, server_context

PROGRAM = "bench.trial.echo_server"
LINE = b"x" * 1023 + b"\n"
"""A KiB: what passes is to show the connection, and not the bytes."""


async def pair(setting: Setting) -> tuple[int, int]:
    """Nanoseconds from before the connection to the first line's return, and for the next line.

    Raises StartFailed when the server does not answer.
    """
    try:
        async with asyncio.timeout(setting.deadline_s):
            return await _lines(setting)
    except (EOFError, OSError) as error:
        raise StartFailed(
            f"the bare echo does not answer: {error or type(error).__name__}", code="echo-silent"
        ) from error


async def _lines(setting: Setting) -> tuple[int, int]:
    host, _, port = setting.addresses_of(FRONT)[0].rpartition(":")
    began_ns = monotonic_ns()
    reader, writer = await asyncio.open_connection(host, int(port), ssl=client_context(setting, BUYER))
    try:
        await _line(reader, writer)
        first_ns = monotonic_ns()
        await _line(reader, writer)
        return first_ns - began_ns, monotonic_ns() - first_ns
    finally:
        writer.close()
        await writer.wait_closed()


async def agreed(setting: Setting) -> str:
    """The suite, read from what the server says as it passes by; empty where there is no TLS."""
    async with overheard(entrance(setting)) as ear:
        await pair(by_way_of(ear, setting))
        return "" if ear.negotiated is None else ear.negotiated.cipher


async def _line(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(LINE)
    await reader.readexactly(len(LINE))


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while line := await reader.readline():
        writer.write(line)
    writer.close()


async def _serve() -> None:
    told = await standard_input()
    spec = msgspec.json.decode(await told.readline(), type=NodeSpec)
    host, _, port = spec.setting.own_address(spec.service).rpartition(":")
    context = server_context(spec.setting, spec.service)
    async with await asyncio.start_server(_echo, host, int(port), ssl=context):
        print('{"ready": {}}', flush=True)
        await told.read()


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for who started us
    sys.exit(uvloop.run(_serve()))

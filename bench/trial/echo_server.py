"""An echo server, started like a service, that measures what a bare new connection costs."""

import asyncio
import signal
import sys
from time import monotonic_ns

import msgspec
import uvloop

from bench.errors import StartFailed
from bench.provision.service_main import ServiceSpec, open_standard_input
from bench.trial.tls_probe import find_entry_address, open_tls_tap, route_through_tap
from shop.workflow import ENTRY_SERVICE
from transports.base import Setting
from transports.security import BUYER, build_client_context, build_server_context

PROGRAM = "bench.trial.echo_server"
ECHO_LINE = b"x" * 1023 + b"\n"
"""A line of a KiB, so small that the connection is measured and not the bytes."""


async def measure_echo(setting: Setting) -> tuple[int, int]:
    """Measures a new connection to the echo server.

    Returns nanoseconds from before the connection to the first line's return, and for the next line.

    Raises StartFailed when the server does not answer.
    """
    try:
        async with asyncio.timeout(setting.deadline_s):
            return await _time_two_lines(setting)
    except (EOFError, OSError) as error:
        raise StartFailed(
            f"the bare echo does not answer: {error or type(error).__name__}", code="echo-silent"
        ) from error


async def _time_two_lines(setting: Setting) -> tuple[int, int]:
    host, _, port = setting.addresses_of(ENTRY_SERVICE)[0].rpartition(":")
    began_ns = monotonic_ns()
    reader, writer = await asyncio.open_connection(host, int(port), ssl=build_client_context(setting, BUYER))
    try:
        await _exchange_line(reader, writer)
        first_ns = monotonic_ns()
        await _exchange_line(reader, writer)
        return first_ns - began_ns, monotonic_ns() - first_ns
    finally:
        writer.close()
        await writer.wait_closed()


async def find_cipher_suite(setting: Setting) -> str:
    """Returns the negotiated cipher suite, read from the ServerHello; empty where there is no TLS."""
    async with open_tls_tap(find_entry_address(setting)) as ear:
        await measure_echo(route_through_tap(ear, setting))
        return "" if ear.negotiated is None else ear.negotiated.cipher


async def _exchange_line(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(ECHO_LINE)
    await reader.readexactly(len(ECHO_LINE))


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while line := await reader.readline():
        writer.write(line)
    writer.close()


async def _serve() -> None:
    told = await open_standard_input()
    spec = msgspec.json.decode(await told.readline(), type=ServiceSpec)
    host, _, port = spec.setting.own_address(spec.service).rpartition(":")
    context = build_server_context(spec.setting, spec.service)
    async with await asyncio.start_server(_echo, host, int(port), ssl=context):
        print('{"ready": {}}', flush=True)
        await told.read()


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that started this one
    sys.exit(uvloop.run(_serve()))

"""Runs one service process: builds a service, its store and a transport, and serves.

bench.provision.services starts it. The first JSON line on standard input says which service to run; each further line
is a request, answered by one JSON line on standard output:

    {"service": "payment", "transport": "rest", "setting": {…}, "folder": null,
     "version": 1}                                                                  -> {"ready": {…}, "version": 1}
    "audit"                                                                         -> {"audit": {…}}
    "stamps"                                                                        -> {"stamps": [[…], …]}
    "clock"                                                                         -> {"clock": 123456789}
    "stop", or the end of the input                                                 -> the process ends

The version is that of this protocol. A conductor and a service of two revisions may meet, in a comparison of both.
"""

import asyncio
import gc
import signal
import sys
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import msgspec
import uvloop

from shop.factory import open_service
from shop.service import Service
from shop.store import StoreUnavailable
from transports.base import Setting
from transports.errors import SettingError, TransportError
from transports.log_handler import set_up_log
from transports.loop_lag import choose_spacing_ns, sample_loop_lag
from transports.registry import load_transport

STOP_SIGNALS = (signal.SIGTERM, signal.SIGHUP)
PROTOCOL_VERSION = 1
"""Of what is said over standard input and output: it rises when either side would not understand the other."""


class ServiceSpec(msgspec.Struct, frozen=True, kw_only=True):
    """The service that a process runs, its transport and its settings."""

    service: str
    transport: str
    setting: Setting
    folder: str | None
    """Of the SQLite files; None: the state is in memory, or in ``database``."""
    database: str = ""
    """URL of the service's own database on a server; empty: none."""
    version: int = PROTOCOL_VERSION
    """Of the protocol; those who say none are from before it had one, and speak version 1."""


class UnknownProtocol(Exception):
    """The other side speaks a version of the protocol that is not known here. ``str(error)`` is a sentence."""


def check_protocol(message: Mapping[str, Any], who: str) -> None:
    """Raises UnknownProtocol where ``message`` of the other side, called ``who``, is of another version than ours."""
    if (theirs := message.get("version", 1)) != PROTOCOL_VERSION:
        raise UnknownProtocol(
            f"{who} speaks version {theirs} of the protocol of service processes, and this side version "
            f"{PROTOCOL_VERSION}; run both from one revision"
        )


def read_spec(line: bytes) -> ServiceSpec:
    """Return what the first line asks for. Raises UnknownProtocol."""
    check_protocol(msgspec.json.decode(line, type=dict), "the conductor")
    return msgspec.json.decode(line, type=ServiceSpec)


def build_audit(service: Service) -> dict[str, Any]:
    """Return the service's audit: tallies by message kind, its balance, redeliveries, refusals, bytes of its store."""
    return {
        "tallies": msgspec.to_builtins(dict(service.audit())),
        "balance": dict(service.balance()),
        "repeated": service.repeated,
        "conflicts": service.conflicts,
        "store_refusals": service.store_refusals,
        "store_bytes": service.store.size_bytes(),
    }


async def run_service() -> int:
    """Run the service until it is stopped; return the exit code."""
    requests = await open_standard_input()
    first = await requests.readline()
    if not first:  # stopped before it was told what to be
        return 0
    code = 0
    try:
        spec = read_spec(first)
    except UnknownProtocol as error:
        _write_answer({"error": str(error)})
        return 1
    try:
        await _answer_requests(spec, requests)
    except* (TransportError, SettingError, StoreUnavailable) as errors:
        _write_answer({"error": f"the {spec.service} service: {_join_messages(errors)}"})
        code = 1
    return code


async def _answer_requests(spec: ServiceSpec, requests: asyncio.StreamReader) -> None:
    transport = load_transport(spec.transport, spec.setting.product)(spec.setting)
    service = _open_service(spec)
    try:
        async with transport.serve(service) as serving, AsyncExitStack() as stack:
            if every := spec.setting.trace_every:
                serving.trace.watch(stack.enter_context(sample_loop_lag(choose_spacing_ns(every))))
            # What is loaded by now stays: the collector need not look at it again and again.
            gc.collect()
            gc.freeze()
            _write_answer({"ready": dict(transport.facts()), "version": PROTOCOL_VERSION})
            async for line in requests:
                match msgspec.json.decode(line):
                    case "audit":
                        _write_answer({"audit": build_audit(service) | {"serving": serving.counts()}})
                    case "stamps":
                        _write_answer({"stamps": serving.trace.stamps})
                    case "clock":
                        _write_answer({"clock": time.monotonic_ns()})
                    case _:
                        break
    finally:
        service.store.close()


def _open_service(spec: ServiceSpec) -> Service:
    """Open the service over its store. Raises StoreUnavailable."""
    durability, store = spec.setting.durability, None
    if spec.database:
        from stores.postgres import PostgresStore  # noqa: PLC0415 - 6 MiB in every service that has no use for it

        store = PostgresStore(spec.database, durability)
    folder = None if spec.folder is None else Path(spec.folder)
    return open_service(
        spec.service, store=store, folder=folder, durability=durability, deadline_s=spec.setting.deadline_s
    )


async def open_standard_input() -> asyncio.StreamReader:
    """Return a reader of standard input, on which a stop signal acts as the end of the input."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, reader.feed_eof)
    return reader


def _write_answer(content: dict[str, Any]) -> None:
    sys.stdout.write(msgspec.json.encode(content).decode() + "\n")
    sys.stdout.flush()


def _join_messages(errors: BaseExceptionGroup[Exception]) -> str:
    return "; ".join(str(error) for error in errors.exceptions)


def main() -> None:
    """Run the service that standard input names, and exit with its code."""
    set_up_log()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the conductor, which then stops us in order
    sys.exit(uvloop.run(run_service()))


if __name__ == "__main__":
    main()

"""One service process: the composition root that joins a service, its store and a transport.

Started by bench.provision.services. One JSON line on standard input says what to be; afterwards each line is a
request, answered by one JSON line on standard output:

    {"service": "payment", "transport": "rest", "setting": {…}, "folder": null}     -> {"ready": {…}}
    "audit"                                                                         -> {"audit": {…}}
    "stamps"                                                                        -> {"stamps": [[…], …]}
    "clock"                                                                         -> {"clock": 123456789}
    "stop", or the end of the input                                                 -> the process ends
"""

import asyncio
import gc
import logging
import signal
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import uvloop

from shop.factory import open_service
from shop.service import Service
from transports.base import Setting
from transports.errors import SettingError, TransportError
from transports.registry import named

STOP_SIGNALS = (signal.SIGTERM, signal.SIGHUP)


class NodeSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What a service process is told to be."""

    service: str
    transport: str
    setting: Setting
    folder: str | None
    """Of the SQLite files; None: the state is in memory."""


def audit_of(service: Service) -> dict[str, Any]:
    """The service's own books: by fact its tally, its balance, and how often it was asked again."""
    return {
        "tallies": msgspec.to_builtins(dict(service.audit())),
        "balance": dict(service.balance()),
        "repeated": service.repeated,
    }


async def serve() -> int:
    """The exit code."""
    requests = await standard_input()
    first = await requests.readline()
    if not first:  # stopped before it was told what to be
        return 0
    spec = msgspec.json.decode(first, type=NodeSpec)
    code = 0
    try:
        await _serve(spec, requests)
    except* (TransportError, SettingError) as errors:
        _answer({"error": f"the {spec.service} service: {_sentences(errors)}"})
        code = 1
    return code


async def _serve(spec: NodeSpec, requests: asyncio.StreamReader) -> None:
    transport = named(spec.transport, spec.setting.product)(spec.setting)
    folder = None if spec.folder is None else Path(spec.folder)
    service = open_service(spec.service, folder=folder, durability=spec.setting.durability)
    try:
        async with transport.serve(service) as serving:
            # What is loaded by now stays: the collector need not look at it again and again.
            gc.collect()
            gc.freeze()
            _answer({"ready": dict(transport.facts())})
            async for line in requests:
                match msgspec.json.decode(line):
                    case "audit":
                        _answer({"audit": audit_of(service) | {"serving": serving.counts()}})
                    case "stamps":
                        _answer({"stamps": serving.trace.stamps})
                    case "clock":
                        _answer({"clock": time.monotonic_ns()})
                    case _:
                        break
    finally:
        service.store.close()


async def standard_input() -> asyncio.StreamReader:
    """Lines until end of file; a signal to stop is an end of file too."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, reader.feed_eof)
    return reader


def _answer(content: dict[str, Any]) -> None:
    sys.stdout.write(msgspec.json.encode(content).decode() + "\n")
    sys.stdout.flush()


def _sentences(errors: BaseExceptionGroup[Exception]) -> str:
    return "; ".join(str(error) for error in errors.exceptions)


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the conductor, which then stops us in order
    sys.exit(uvloop.run(serve()))

"""Runs one process of a bare chain, started and stopped as a service process is."""

import gc
import signal
import sys

import msgspec
import uvloop

from bench.provision.service_main import ServiceSpec, open_standard_input
from bench.yardstick import import_bare_chain


async def serve() -> None:
    """Serves until standard input closes. Raises what the library raises when it cannot start; the log gets it."""
    told = await open_standard_input()
    spec = msgspec.json.decode(await told.readline(), type=ServiceSpec)
    async with import_bare_chain(spec.transport).serve(spec.service, spec.setting):
        gc.collect()  # as bench.provision.service_main does
        gc.freeze()
        print('{"ready": {}}', flush=True)
        await told.read()


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for who started us
    sys.exit(uvloop.run(serve()))

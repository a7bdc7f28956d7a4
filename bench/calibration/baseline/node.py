"""One process of a bare chain, as bare as bench.provision.service_main is full; told what to be and stopped in the same way."""

import gc
import signal
import sys

import msgspec
import uvloop

from bench.calibration.baseline.bare import bare
from bench.provision.service_main import NodeSpec, standard_input


async def serve() -> None:
    """Raises what the library raises when it cannot start; the log gets it."""
    told = await standard_input()
    spec = msgspec.json.decode(await told.readline(), type=NodeSpec)
    async with bare(spec.transport).serve(spec.service, spec.setting):
        gc.collect()  # as bench.provision.service_main does
        gc.freeze()
        print('{"ready": {}}', flush=True)
        await told.read()


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for who started us
    sys.exit(uvloop.run(serve()))

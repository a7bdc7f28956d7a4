"""One process of a bare chain. Started by bench.floor.chain, and as bare as a service process is full.

One JSON line on standard input says what to be; ``ready`` on standard output; the end of the input, or a signal to
stop, ends the process.
"""

import asyncio
import gc
import signal
import sys

import msgspec
import uvloop

from bench.floor.bare import bare
from bench.node import STOP_SIGNALS
from transports.base import Setting


class BareSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What a process of a bare chain is told to be."""

    service: str
    transport: str
    setting: Setting


async def serve() -> None:
    loop = asyncio.get_running_loop()
    told = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(told), sys.stdin)
    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, told.feed_eof)
    spec = msgspec.json.decode(await told.readline(), type=BareSpec)
    async with bare(spec.transport).serve(spec.service, spec.setting):
        gc.collect()  # as bench.node does
        gc.freeze()
        print("ready", flush=True)
        await told.read()


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for who started us
    uvloop.run(serve())

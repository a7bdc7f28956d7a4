"""Orders before the first that counts: whether all services are there, and how one speaks with them."""

import asyncio
import itertools

from bench.errors import StartFailed
from bench.load.workload.orders import probe
from bench.trial.tls_probe import Negotiated, by_way_of, entrance, overheard
from transports.base import Setting, Transport
from transports.errors import TransportError
from transports.security import NONE

PROBE_S = 10.0
PROBE_AGAIN_S = 3.0
PROBE_PAUSE_S = 0.1


async def probed(transport: Transport) -> None:
    """An order through the whole chain and back; another when it fails or is lost. Raises StartFailed if none comes."""
    why = ""
    try:
        async with transport.connect() as client, asyncio.timeout(PROBE_S):
            for number in itertools.count():
                try:
                    async with asyncio.timeout(PROBE_AGAIN_S):
                        await (await client.submit(probe(f"ready-{number}"))).finished
                        return
                except TransportError as error:
                    why = f": {error}"
                    await asyncio.sleep(PROBE_PAUSE_S)
                except TimeoutError:
                    why = ""
    except TimeoutError as error:
        raise StartFailed(f"no probe order came back within {PROBE_S:g} s{why}", code="not-ready-in-time") from error


async def met(setting: Setting, transport: Transport) -> Negotiated | None:
    """What a buyer and the first whom he meets agree on, by an order that is overheard; None where there is no TLS.

    Raises StartFailed.
    """
    if setting.security == NONE:
        return None
    async with overheard(entrance(setting)) as ear:
        await probed(type(transport)(by_way_of(ear, setting)))
        return ear.negotiated

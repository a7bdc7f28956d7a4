"""Waits until the services answer a probe order, and reads the negotiated TLS suite."""

import asyncio
import itertools

from bench.errors import StartFailed
from bench.load.workload.orders import build_probe_order
from bench.trial.tls_probe import NegotiatedTls, find_entry_address, open_tls_tap, route_through_tap
from transports.base import Setting, Transport
from transports.errors import TransportError
from transports.security import NONE

PROBE_S = 10.0
PROBE_AGAIN_S = 3.0
PROBE_PAUSE_S = 0.1


async def wait_until_ready(transport: Transport) -> None:
    """Sends probe orders through the whole chain until one comes back; another when one fails or is lost.

    Raises StartFailed if none comes back in time.
    """
    why = ""
    try:
        async with transport.connect() as client, asyncio.timeout(PROBE_S):
            for number in itertools.count():
                try:
                    async with asyncio.timeout(PROBE_AGAIN_S):
                        await (await client.submit(build_probe_order(f"ready-{number}"))).finished
                        return
                except TransportError as error:
                    why = f": {error}"
                    await asyncio.sleep(PROBE_PAUSE_S)
                except TimeoutError:
                    why = ""
    except TimeoutError as error:
        raise StartFailed(f"no probe order came back within {PROBE_S:g} s{why}", code="not-ready-in-time") from error


async def read_negotiated_tls(setting: Setting, transport: Transport) -> NegotiatedTls | None:
    """Returns the TLS version and cipher that a buyer and the first server negotiate; None where there is no TLS.

    It sends a probe order through a tap. Raises StartFailed.
    """
    if setting.security == NONE:
        return None
    async with open_tls_tap(find_entry_address(setting)) as ear:
        await wait_until_ready(type(transport)(route_through_tap(ear, setting)))
        return ear.negotiated

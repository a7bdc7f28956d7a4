"""`make web`: the services of one transport, and Locust's own page to drive load at them."""

import asyncio
from collections.abc import Collection
from contextlib import AsyncExitStack

from bench.errors import MissingServer, UsageError
from bench.load.locust.control import check_free, master, worker
from bench.load.protocol import Watch
from bench.profile.matrix import cells
from bench.profile.schema import Profile
from bench.provision import Broker, Unavailable
from bench.provision.base import Say
from bench.provision.cleanup import open_run
from bench.provision.process import belonging_to, finish
from bench.runner.credentials import secured
from bench.runner.environment import House, Progress, provide
from bench.trial.trial import Stage, remove_quietly, serving, setting_of, spec_of
from transports.security import NONE


def fields(profile: Profile, given: Collection[str]) -> dict[str, str]:
    """Options of Locust's master for those flags that have a field on its page."""
    known = {
        "RATE": ("--users", str(max(1, round(profile.rates_per_s[0])))),
        "PAYLOAD": ("--payload-bytes", str(profile.payload_bytes)),
        "ARRIVALS": ("--arrivals", profile.arrivals),
    }
    return dict(known[flag] for flag in known if flag in given)


async def serve(profile: Profile, house: House, port: int, say: Say, given: Collection[str] = ()) -> None:
    """Until cancelled. Flags that were ``given`` stand in the page's fields, in the place of what the scenario says.

    Raises UsageError, MissingServer, LoadError or StartFailed when it cannot begin.
    """
    if len(profile.transports) != 1:
        raise UsageError(
            "`make web` drives one transport; say which, for instance TRANSPORT=rest", code="one-transport"
        )
    if profile.trace is not None:
        raise UsageError(
            "on Locust's page users are the rate, and a trace has a rate of its own; leave ARRIVALS and TRACE out",
            code="replay-on-page",
        )
    check_free(port)  # before anything is started
    cell = cells(profile)[0]
    async with AsyncExitStack() as stack:
        security = await secured(stack, profile, house.home, house.keys)
        shared = await provide(stack, profile, house, Progress(say=say), security)
        missing = [server.why for server in shared.values() if isinstance(server, Unavailable)]
        if missing:
            raise MissingServer("; ".join(missing), code="missing-server")
        ledger = open_run(house.home)
        stack.push_async_callback(lambda: finish(asyncio.to_thread(ledger.close)))
        logs = ledger.folder / "logs"
        logs.mkdir()
        env = belonging_to(ledger.folder)
        setup = Stage(
            run_id="web-0000",
            profile=profile,
            brokers={name: server for name, server in shared.items() if isinstance(server, Broker)},
            folder=ledger.folder,
            logs=logs,
            keys=security.keys,
        )
        setting = setting_of(setup, cell, f"fw-web-{ledger.folder.name.removeprefix('run-')}")
        transport = cell.kind(setting)
        stack.push_async_callback(remove_quietly, transport)
        await transport.prepare()
        say(f"starting the four services over {cell.name}")
        await stack.enter_async_context(serving(setup, cell, setting, transport))
        spec = spec_of(setup, cell, setting, 0, Watch(), duration_s=None)
        locust = await stack.enter_async_context(
            master(
                folder=ledger.folder,
                log=logs / "locust.log",
                web_port=port,
                trial=spec,
                fields=fields(profile, given),
                env=env,
            )
        )
        await stack.enter_async_context(worker(locust, log=logs / "worker.log", env=env))
        say(f"Locust's page: {locust.web_url}   (edit scenarios/order.py to change the load; Ctrl-C ends everything)")
        scheme = "http" if profile.security == NONE else "https"
        for name, address in setting.addresses.items() if not transport.traits.needs else ():
            say(f"  {name:9}{scheme}://{address}/docs" if cell.transport == "rest" else f"  {name:9}{address}")
        await asyncio.Event().wait()

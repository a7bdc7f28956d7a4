"""Runs `make web`: the services of one transport, and Locust's page to load them."""

import asyncio
from collections.abc import Collection
from contextlib import AsyncExitStack

from bench.errors import MissingServer, UsageError
from bench.load.locust.control import check_port_free, start_master, start_worker
from bench.load.protocol import ResourceWatch
from bench.profile.matrix import expand_cells
from bench.profile.schema import Profile
from bench.provision.base import Broker, Say, Unavailable
from bench.provision.cleanup import open_ledger
from bench.provision.process import build_mark_environment, finish_despite_cancellation
from bench.runner.credentials import prepare_credentials
from bench.runner.environment import Progress, RunPaths, provide_servers
from bench.runner.pythons import list_programs, provide_pythons
from bench.trial.context import TrialContext
from bench.trial.trial import build_setting, build_trial_spec, remove_quietly, run_ready_services
from transports.security import NONE


def build_page_options(profile: Profile, given: Collection[str]) -> dict[str, str]:
    """Returns options of Locust's master for those settings that have a field on its page."""
    known = {
        "RATE": ("--users", str(max(1, round(profile.rates_per_s[0])))),
        "PAYLOAD": ("--payload-bytes", str(profile.payload_bytes)),
        "ARRIVALS": ("--arrivals", profile.arrivals),
    }
    return dict(known[flag] for flag in known if flag in given)


def check_web_profile(profile: Profile) -> None:
    """Raises UsageError for a profile that Locust's page cannot drive."""
    if len(profile.transports) != 1:
        raise UsageError(
            "`make web` drives one transport; say which, for instance TRANSPORT=rest", code="one-transport"
        )
    if profile.slice_s:
        raise UsageError(
            "`make web` has one load, which goes on until you stop it; leave SLICE out", code="web-in-slices"
        )
    if profile.replay is not None:
        raise UsageError(
            "on Locust's page users are the rate, and a replay has a rate of its own; leave ARRIVALS and REPLAY out",
            code="replay-on-page",
        )


async def serve_page(profile: Profile, paths: RunPaths, port: int, say: Say, given: Collection[str] = ()) -> None:
    """Serves Locust's page until cancelled. Settings that were ``given`` fill the page's fields, not the scenario's.

    Raises UsageError, MissingServer, LoadError or StartFailed when it cannot begin.
    """
    check_web_profile(profile)
    check_port_free(port)  # before anything is started
    cell = expand_cells(profile)[0]
    async with AsyncExitStack() as stack:
        pythons = await provide_pythons([cell], paths, say, all_needed=True)
        security = await prepare_credentials(stack, profile, paths.home, paths.keys)
        shared = await provide_servers(stack, profile, paths, Progress(say=say), security)
        missing = [server.why for server in shared.values() if isinstance(server, Unavailable)]
        if missing:
            raise MissingServer("; ".join(missing), code="missing-server")
        ledger = open_ledger(paths.home)
        stack.push_async_callback(lambda: finish_despite_cancellation(asyncio.to_thread(ledger.close)))
        logs = ledger.folder / "logs"
        logs.mkdir()
        env = build_mark_environment(ledger.folder)
        setup = TrialContext(
            run_id="web-0000",
            brokers={name: server for name, server in shared.items() if isinstance(server, Broker)},
            folder=ledger.folder,
            logs=logs,
            keys=security.keys,
            pythons=list_programs(pythons),
        )
        setting = build_setting(setup, cell, f"fw-web-{ledger.folder.name.removeprefix('run-')}")
        transport = cell.kind(setting)
        stack.push_async_callback(remove_quietly, transport)
        await transport.prepare()
        say(f"starting the four services over {cell.name}")
        await stack.enter_async_context(run_ready_services(setup, cell, setting, transport))
        spec = build_trial_spec(setup, cell, setting, 0, ResourceWatch(), duration_s=None)
        locust = await stack.enter_async_context(
            start_master(
                folder=ledger.folder,
                log=logs / "locust.log",
                web_port=port,
                trial=spec,
                fields=build_page_options(profile, given),
                env=env,
            )
        )
        await stack.enter_async_context(start_worker(locust, log=logs / "worker.log", env=env))
        say(f"Locust's page: {locust.web_url}   (edit scenarios/order.py to change the load; Ctrl-C ends everything)")
        scheme = "http" if profile.security == NONE else "https"
        for name, address in setting.addresses.items() if not transport.traits.needs else ():
            say(f"  {name:9}{scheme}://{address}/docs" if cell.transport == "rest" else f"  {name:9}{address}")
        await asyncio.Event().wait()

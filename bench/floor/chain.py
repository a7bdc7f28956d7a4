"""The four processes of a bare chain, from start to stop."""

import asyncio
import contextlib
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from bench.floor.node import BareSpec
from bench.provision.base import StartFailed
from bench.provision.process import MARK, finish
from bench.provision.services import START_S, STOP_S
from shop.workflow import SERVICES
from transports.base import Setting


@asynccontextmanager
async def chain(transport: str, setting: Setting, *, folder: Path) -> AsyncIterator[tuple[int, ...]]:
    """The pids of the four, ready. ``folder`` marks them as the run's own. Raises StartFailed with a sentence."""
    log = folder / f"{setting.trial}.log"
    processes: list[Process] = []
    try:
        for _ in SERVICES:
            processes.append(await _spawn(folder, log))
        async with asyncio.timeout(START_S):
            ready = await asyncio.gather(
                *(
                    _told(process, BareSpec(service=name, transport=transport, setting=setting))
                    for name, process in zip(SERVICES, processes, strict=True)
                )
            )
        if not all(ready):
            last = (log.read_text().splitlines() or ["nothing was said"])[-1]
            raise StartFailed(f"the bare {transport} chain did not start: {last}")
        yield tuple(process.pid for process in processes)
    except TimeoutError as error:
        raise StartFailed(f"the bare {transport} chain was not ready within {START_S:g} s") from error
    finally:
        await finish(_stop(processes))


async def _spawn(folder: Path, log: Path) -> Process:
    with log.open("ab") as errors:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "bench.floor.node",
            stdin=PIPE,
            stdout=PIPE,
            stderr=errors,
            start_new_session=True,
            env={**os.environ, MARK: str(folder)},
        )


async def _told(process: Process, spec: BareSpec) -> bool:
    """Whether it said that it is ready."""
    assert process.stdin is not None and process.stdout is not None
    with contextlib.suppress(ConnectionError):
        process.stdin.write(msgspec.json.encode(spec) + b"\n")
        await process.stdin.drain()
    return await process.stdout.readline() == b"ready\n"


async def _stop(processes: list[Process]) -> None:
    """The end of its input is the request to stop; whoever does not is killed."""
    for process in processes:
        assert process.stdin is not None
        with contextlib.suppress(OSError):
            process.stdin.close()
    _, late = (
        await asyncio.wait([asyncio.create_task(p.wait()) for p in processes], timeout=STOP_S)
        if processes
        else (
            set(),
            set(),
        )
    )
    for process in processes:
        if late and process.returncode is None:
            process.kill()
            await process.wait()

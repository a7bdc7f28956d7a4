"""Plays one set of a duel: two revisions alive side by side, whose orders take turns one by one."""

import asyncio
import contextlib
import json
import os
import random
import shutil
import socket
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.errors import StartFailed, Unmeasured
from bench.load import resources
from bench.provision.ports import find_free_ports
from bench.provision.process import MARK_VARIABLE, finish_despite_cancellation
from bench.provision.services import ServiceProcess, run_services, stop_process
from bench.regress.replay import build_setting
from bench.regress.replays import ArmTree
from shop.workflow import SERVICES
from transports.base import Setting, Transport

WARM_S, TURNS_S, LOAD_S = 1.5, 4.0, 16.0
ENOUGH_PAIRS, MOST_TURNS_S = 30, 20.0
"""Turns go on until there are so many pairs, or so long."""
WARM_IN_FLIGHT = 4
ANSWER_TIMEOUT_S = 100.0
"""More than the longest turns and two orders that do not end."""
MAX_BACKGROUND_CORES = 0.25
"""Beyond it a set is void: four such sets gave -33 to +16 % between equal revisions."""
_PROGRAM = Path(__file__).with_name("duel_load.py")
_MAX_LINE_BYTES = 2**24


@dataclass(frozen=True, slots=True, kw_only=True)
class DuelMethod:
    """What is duelled over, with the servers that both arms share."""

    name: str
    kind: type[Transport]
    servers: Mapping[str, str] = field(default_factory=dict)
    broker_pids: Sequence[int] = ()
    sees_broker: bool = True
    """Whether the processes of its broker are known; else their CPU cannot be told from that of other programs."""
    load_per_s: float = 0.0
    """Of both arms together, for a set that has load; 0: it has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmOutcome:
    """What one arm of a set brought."""

    turns: Mapping[str, Any]
    load: Mapping[str, Any] | None
    cpu_us: Mapping[str, float]
    """Of the turns, by service."""
    audits: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class DuelSet:
    """A set: the outcomes of both arms, and how much of the machine other programs took."""

    base: ArmOutcome
    head: ArmOutcome
    background_cores: float
    sees_background: bool
    took_s: float

    @property
    def is_void(self) -> bool:
        """Whether other programs disturbed it."""
        return self.sees_background and self.background_cores > MAX_BACKGROUND_CORES


async def play_set(
    arms: tuple[ArmTree, ArmTree], method: DuelMethod, *, name: str, seed: int, orders: Path, folder: Path, logs: Path
) -> DuelSet:
    """Plays a set of BASE and HEAD, in this order in ``arms``, with fresh processes.

    ``name`` is unique on the brokers. ``orders`` is the file of ``replays.write_orders``. Raises Unmeasured when an arm
    does not start, or dies.
    """
    began_s = time.monotonic()
    try:
        async with AsyncExitStack() as stack:
            ends = socket.socketpair()
            for end in ends:
                stack.callback(end.close)
            ports = find_free_ports(2 * len(SERVICES))
            sides = [
                _Side(
                    arm,
                    method,
                    place,
                    trial=f"{name}{'bh'[place]}",
                    seed=seed,
                    orders=orders,
                    folder=folder,
                    logs=logs,
                    end=ends[place],
                    ports=ports[place::2],
                )
                for place, arm in enumerate(arms)
            ]
            # Which arm starts first must not always be the same.
            in_order = random.Random(f"{seed}:start").sample(sides, 2)
            for side in in_order:
                await stack.enter_async_context(side.prepared())
            for end in ends:  # so that each arm hears when the other has gone
                end.close()
            # Both to their end, or the stack would be closed before one of them is on it.
            started = await asyncio.gather(*(side.start(stack) for side in in_order), return_exceptions=True)
            for failed in started:
                if isinstance(failed, BaseException):
                    raise failed
            return await _play(sides, method, seed, began_s)
    except StartFailed as error:
        raise Unmeasured(f"{method.name}: {error}", code="arm-failed") from error


async def _play(sides: Sequence["_Side"], method: DuelMethod, seed: int, began_s: float) -> DuelSet:
    await asyncio.gather(*(side.ask({"step": "connect"}) for side in sides))
    warm = {"step": "warm", "seconds": WARM_S, "in_flight": WARM_IN_FLIGHT}
    await asyncio.gather(*(side.ask(warm) for side in sides))
    pids = [pid for side in sides for pid in (*side.pids.values(), side.load_pid)]
    everyone = (*pids, os.getpid(), *method.broker_pids)
    machine, before = resources.read_machine_times(), resources.read_snapshot(everyone)
    turn = {"step": "turns", "seconds": TURNS_S, "pairs": ENOUGH_PAIRS, "most_s": MOST_TURNS_S, "seed": seed}
    turns = await asyncio.gather(*(side.ask(turn) for side in sides))
    after, machine_after = resources.read_snapshot(everyone), resources.read_machine_times()
    if gone := before.processes.keys() - after.processes.keys():
        raise Unmeasured(f"{method.name}: {len(gone)} processes ended in a set; read its logs", code="arm-failed")
    loads: Sequence[Mapping[str, Any] | None] = [None, None]
    if method.load_per_s:
        plans = plan_load(method.load_per_s, LOAD_S, seed)
        start_ns = time.monotonic_ns() + 200_000_000
        loads = await asyncio.gather(
            *(
                side.ask({"step": "load", "start_ns": start_ns, "offsets_us": plan}, LOAD_S + ANSWER_TIMEOUT_S)
                for side, plan in zip(sides, plans, strict=True)
            )
        )
    audits = [await side.audit() for side in sides]
    used_ns = sum(now.cpu_ns - before.processes[pid].cpu_ns for pid, now in after.processes.items())
    lasted_s = (machine_after.at_ns - machine.at_ns) / 1e9
    outcomes = [
        ArmOutcome(
            turns=turn,
            load=load,
            cpu_us={
                service: (after.processes[pid].cpu_ns - before.processes[pid].cpu_ns) / 1000
                for service, pid in side.pids.items()
            },
            audits=audit,
        )
        for side, turn, load, audit in zip(sides, turns, loads, audits, strict=True)
    ]
    return DuelSet(
        base=outcomes[0],
        head=outcomes[1],
        sees_background=method.sees_broker,
        background_cores=(machine_after.busy_s - machine.busy_s - used_ns / 1e9) / lasted_s,
        took_s=time.monotonic() - began_s,
    )


def plan_load(rate_per_s: float, seconds: float, seed: int) -> tuple[list[float], list[float]]:
    """Plans Poisson arrivals and deals them out, in pairs in random order; returns each arm's instants in us."""
    dice = random.Random(f"{seed}:load")
    arrivals_us: list[float] = []
    at_s = dice.expovariate(rate_per_s)
    while at_s < seconds:
        arrivals_us.append(at_s * 1e6)
        at_s += dice.expovariate(rate_per_s)
    plans: tuple[list[float], list[float]] = ([], [])
    for first, second in zip(arrivals_us[::2], arrivals_us[1::2], strict=False):
        place = dice.randrange(2)
        plans[place].append(first)
        plans[1 - place].append(second)
    return plans


class _Side:
    """One arm of a set while it lives: its services and its load process."""

    def __init__(
        self,
        arm: ArmTree,
        method: DuelMethod,
        place: int,
        *,
        trial: str,
        seed: int,
        orders: Path,
        folder: Path,
        logs: Path,
        end: socket.socket,
        ports: Sequence[int],
    ) -> None:
        self._arm = arm
        self._method = method
        self._place = place
        self._leads = (place + seed) % 2 == 0
        self._trial = trial
        self._orders = orders
        self._folder = folder
        self._logs = logs
        self._end = end
        self._ports = ports
        self._environment = {"PYTHONPATH": str(arm.tree), "PYTHONHASHSEED": str(seed % 2**32)}
        self._process: Process | None = None
        self._services: Mapping[str, ServiceProcess] = {}

    @property
    def pids(self) -> dict[str, int]:
        """Process ids of the services."""
        return {name: service.pid for name, service in self._services.items()}

    @property
    def load_pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def _asked(self) -> dict[str, Any]:
        return {
            "tree": str(self._arm.tree),
            "method": self._method.name,
            "trial": self._trial,
            "addresses": [f"127.0.0.1:{port}" for port in self._ports],
            "servers": dict(self._method.servers),
            "orders": str(self._orders),
            "prefix": self._trial,
            "leads": self._leads,
            "other": self._end.fileno(),
            "broker_pids": list(self._method.broker_pids),
        }

    @asynccontextmanager
    async def prepared(self) -> AsyncIterator[None]:
        """Runs the load process, which has prepared queues and topics on enter and removes them on exit."""
        self._logs.mkdir(parents=True, exist_ok=True)
        with (self._logs / f"load-{self._trial}.log").open("ab") as errors:
            self._process = await asyncio.create_subprocess_exec(
                str(self._arm.python),
                "-P",
                str(_PROGRAM),
                stdin=PIPE,
                stdout=PIPE,
                stderr=errors,
                limit=_MAX_LINE_BYTES,
                cwd=self._arm.tree,
                pass_fds=(self._end.fileno(),),
                start_new_session=True,
                env={**os.environ, **self._environment, MARK_VARIABLE: str(self._folder)},
            )
        try:
            await self.ask(self._asked)
            yield
        finally:
            await finish_despite_cancellation(stop_process(self._process))

    async def start(self, stack: AsyncExitStack) -> None:
        """Starts the services, each over a file of its own. Raises StartFailed."""
        store_folder = self._folder / self._trial
        store_folder.mkdir()
        stack.callback(shutil.rmtree, store_folder, ignore_errors=True)
        setting: Setting = build_setting(self._method.kind, self._asked)
        self._services = await stack.enter_async_context(
            run_services(
                self._method.name,
                setting,
                folder=self._folder,
                logs=self._logs,
                store_folder=store_folder,
                python=self._arm.python,
                cwd=self._arm.tree,
                env=self._environment,
            )
        )

    async def ask(self, step: Mapping[str, Any], timeout_s: float = ANSWER_TIMEOUT_S) -> Mapping[str, Any]:
        """Sends a step to the load process and returns its answer. Raises StartFailed when it ends or is silent."""
        assert self._process is not None and self._process.stdin is not None and self._process.stdout is not None
        line = b""
        with contextlib.suppress(ConnectionError):
            if self._process.stdin.is_closing():  # to write would be a RuntimeError on uvloop
                raise ConnectionError
            self._process.stdin.write(json.dumps(step).encode() + b"\n")
            await self._process.stdin.drain()
            try:
                line = await asyncio.wait_for(self._process.stdout.readline(), timeout_s)
            except TimeoutError as error:
                raise StartFailed(
                    f"the load process of {self._describe()} did not answer within {timeout_s:g} s; read its log",
                    code="load-silent",
                ) from error
        if not line:
            raise StartFailed(f"the load process of {self._describe()} has ended; read its log", code="load-ended")
        try:
            answer: dict[str, Any] = json.loads(line)
        except ValueError as error:
            raise StartFailed(
                f"the load process of {self._describe()} gave no whole answer; read its log", code="load-garbled"
            ) from error
        return answer

    async def audit(self) -> dict[str, Any]:
        """Returns the audit of each service. Raises StartFailed."""
        return {name: await service.audit() for name, service in self._services.items()}

    def _describe(self) -> str:
        return "HEAD" if self._place else "BASE"

"""Runs a replay in the tree of an arm, under the program that counts, and reads what it counted."""

import asyncio
import base64
import dataclasses
import json
import os
import secrets
import signal
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.errors import Unmeasured
from bench.load.workload.orders import Workload
from bench.provision.ports import find_free_ports
from bench.provision.process import INHERITED_VARIABLES, build_mark_environment, finish_despite_cancellation
from bench.regress.instruments import CALLGRIND, STRACE
from bench.regress.judge import ARMS, INTEGRITY, Arm
from bench.regress.tools import parse_callgrind, parse_strace
from shop.workflow import SERVICES

WARM_UP, PIECES, ORDERS_EACH = 100, 5, 40
ORDERS = PIECES * ORDERS_EACH
PAYLOAD_BYTES = 1024
SEED = 1
PROGRAM = Path(__file__).with_name("replay.py")
LIMIT_S = 900.0
"""Of a replay; the longest was seen to take a tenth."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmTree:
    """Where an arm's code lies, and the Python with its packages."""

    arm: Arm
    tree: Path
    python: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplaySpec:
    """What is replayed, and under which program."""

    method: str
    servers: Mapping[str, str]
    tool: str
    """callgrind, tracepoint, strace, or empty: nothing but what the replay counts by itself."""
    hash_seed: int


def write_orders(path: Path) -> None:
    """Writes the orders of all replays, with the outcome that is planned for each."""
    workload = Workload(prefix="count", seed=SEED, payload_bytes=PAYLOAD_BYTES)
    listed = []
    for number in range(WARM_UP + 2 * ORDERS + ORDERS_EACH):
        order = workload.order(number).order
        listed.append(
            {
                "order_id": order.order_id,
                "user_id": order.user_id,
                "card": order.card,
                "address": order.address,
                "lines": [dataclasses.asdict(line) for line in order.lines],
                "document": base64.b64encode(order.document).decode(),
                "expected": workload.expected(number),
            }
        )
    path.write_text(json.dumps(listed), "utf-8")


async def run_replay(arm: ArmTree, spec: ReplaySpec, orders: Path, folder: Path) -> dict[str, list[float]]:
    """Runs a replay; returns its counts per order by metric, and the metrics of integrity.

    ``folder`` is the run's own, and marks the process. Raises Unmeasured where the arm cannot be run so.
    """
    place = folder / f"{arm.arm}-{secrets.token_hex(4)}"
    place.mkdir()
    asked = {
        "tree": str(arm.tree),
        "method": spec.method,
        "orders": str(orders),
        "servers": dict(spec.servers),
        "trial": f"fw-count-{secrets.token_hex(4)}",  # as long in both arms, or bytes would differ
        "addresses": [f"127.0.0.1:{port}" for port in find_free_ports(len(SERVICES))],
        "warm_up": WARM_UP,
        "pieces": PIECES,
        "orders_each": ORDERS_EACH,
        "tool": spec.tool,
        "cpus": _choose_cpus(arm.arm, spec.tool),
        "marker": str(place / "marker"),
    }
    (place / "asked.json").write_text(json.dumps(asked), "utf-8")
    program = (str(arm.python), "-P", str(PROGRAM), str(place / "asked.json"), str(place / "answer.json"))
    said = await _run([*_wrap(spec.tool, place), *program], arm, spec, folder)
    try:
        answer: dict[str, Any] = json.loads((place / "answer.json").read_text("utf-8"))
        counts: dict[str, list[float]] = answer["counts"]
        _read_tool(spec.tool, place, counts)
    except (OSError, ValueError) as error:
        why = said or str(error)
        raise Unmeasured(f"the replay of {spec.method} does not run in {arm.arm}: {why}", code="no-replay") from error
    if spec.tool == CALLGRIND and (lost := answer["unfinished"] + answer["unexpected"]):
        raise Unmeasured(
            f"{lost:.0f} orders of {spec.method} were lost in {arm.arm} in callgrind: {answer['trouble']}",
            code="no-replay",
        )
    return counts | ({} if spec.tool == CALLGRIND else {name: [float(answer[name])] for name in INTEGRITY})


def _choose_cpus(arm: Arm, tool: str) -> list[int]:
    """The CPUs of a replay: one for each arm, or its threads would wake one another otherwise when others are busy.

    In callgrind one thread runs at a time anyway.
    """
    here = sorted(os.sched_getaffinity(0))
    return here if tool == CALLGRIND else [here[0] if arm == ARMS[0] else here[-1]]


def _wrap(tool: str, place: Path) -> Sequence[str]:
    """The command of the program that counts."""
    if tool == CALLGRIND:
        out = f"--callgrind-out-file={place}/callgrind"
        return ("valgrind", "--tool=callgrind", "--quiet", "--instr-atstart=no", "--dump-line=no", out)
    if tool == STRACE:
        return ("strace", "-f", "-qq", "-o", f"{place}/strace", "--")
    return ()


def _read_tool(tool: str, place: Path, counts: dict[str, list[float]]) -> None:
    """Adds what the program counted. Raises OSError and ValueError."""
    if tool == CALLGRIND:
        dumps = [(place / f"callgrind.{number}").read_text("utf-8", "replace") for number in range(1, PIECES + 1)]
        counts["instructions"] = [parse_callgrind(dump) / ORDERS_EACH for dump in dumps]
    elif tool == STRACE:
        text = (place / "strace").read_text("utf-8", "replace")
        counts["system_calls"] = [calls / ORDERS_EACH for calls in parse_strace(text, f"{place}/marker")]


async def _run(command: Sequence[str], arm: ArmTree, spec: ReplaySpec, folder: Path) -> str:
    """Runs the command to its end; returns the last line of its errors, for the case that it has no answer."""
    kept = {name: os.environ[name] for name in INHERITED_VARIABLES if name in os.environ}
    around = {
        **kept,
        **build_mark_environment(folder),
        "PYTHONPATH": str(arm.tree),
        "PYTHONHASHSEED": str(spec.hash_seed),
        "PYTHONNOUSERSITE": "1",
    }
    process = await asyncio.create_subprocess_exec(
        *command, cwd=arm.tree, env=around, stdin=DEVNULL, stdout=DEVNULL, stderr=PIPE, start_new_session=True
    )
    try:
        _, errors = await asyncio.wait_for(process.communicate(), LIMIT_S)
    except TimeoutError:
        return f"it did not end within {LIMIT_S:.0f} s"
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await finish_despite_cancellation(process.wait())
    lines = [line for line in errors.decode(errors="replace").splitlines() if line.strip()]
    said = lines[-1].strip()[:300] if lines else f"it ended with {process.returncode} and said nothing"
    return "".join(letter if letter.isprintable() else " " for letter in said)

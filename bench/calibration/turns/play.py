"""Starts all arms, and plays slices of every arm in turns.

    python -m bench.calibration.turns.play ARMS.json SLICES SECONDS NAME FILE.csv

ARMS.json has an arm for each name, the base first: its method, and where they differ its options, servers, the broker's
process ids, and the checkout that it runs. Rows are appended to FILE.csv, the comparison's NAME in front.
"""

import asyncio
import csv
import json
import os
import random
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from bench.calibration.turns import arm as arm_program
from bench.paths import ROOT

COLUMNS = (
    "comparison",
    "slice",
    "arm",
    "base",
    "orders",
    "p50_us",
    "services_cpu_us",
    "broker_cpu_us",
    "driver_cpu_us",
)
WARM_UP_S = 5.0
ORDERS_PER_S = 150.0
MARGIN = 1.5
"""Of orders beyond those that the rate comes to: arrivals are random."""


@asynccontextmanager
async def start_arm(name: str, arm: dict[str, Any]) -> AsyncIterator[Process]:
    """Starts an arm in the checkout that it names, and ends it by the end of its input."""
    tree = str(arm.get("checkout", ROOT))
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(arm_program.__file__),
        json.dumps(arm),
        stdin=PIPE,
        stdout=PIPE,
        cwd=tree,
        env={**os.environ, "PYTHONPATH": tree},
    )
    assert process.stdin is not None and process.stdout is not None
    try:
        if not await process.stdout.readline():
            raise SystemExit(f"arm {name} did not start")
        yield process
    finally:
        process.stdin.close()
        await process.wait()


async def ask_slice(process: Process, seed: str, duration_s: float) -> dict[str, Any]:
    """Plays one slice; returns its row."""
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(json.dumps({"seed": seed, "duration_s": duration_s}).encode() + b"\n")
    line = await process.stdout.readline()
    if not line:
        raise SystemExit("an arm ended in the middle of a slice")
    row: dict[str, Any] = json.loads(line)
    return row


async def play(arms: dict[str, dict[str, Any]], slices: int, duration_s: float, name: str, file: Path) -> None:
    """Plays so many slices of every arm; all arms have the same plan in a turn, in an order shuffled anew."""
    async with AsyncExitStack() as stack:
        load = {
            "orders": int((WARM_UP_S + slices * duration_s) * ORDERS_PER_S * MARGIN),
            "orders_per_s": ORDERS_PER_S,
        }
        running = {arm: await stack.enter_async_context(start_arm(arm, what | load)) for arm, what in arms.items()}
        for process in running.values():
            await ask_slice(process, "warm-up", WARM_UP_S)
        with file.open("a", newline="", encoding="ascii") as out:
            writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
            if not out.tell():
                writer.writeheader()
            for number in range(slices):
                for arm in random.Random(number).sample(list(arms), len(arms)):
                    row = await ask_slice(running[arm], f"{number}", duration_s)
                    writer.writerow({"comparison": name, "slice": number, "arm": arm, "base": next(iter(arms)), **row})


if __name__ == "__main__":
    arms_file, slices, seconds, name, file = sys.argv[1:]
    asyncio.run(play(json.loads(Path(arms_file).read_text("utf-8")), int(slices), float(seconds), name, Path(file)))

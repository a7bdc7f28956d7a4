"""Reads the environment of a run: machine, library versions and git state.

Numbers from machines that differ here are not compared.
"""

import os
import platform
import statistics
import subprocess
import tempfile
import time
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

LIBRARIES = (
    "aio-pika",
    "aiohttp",
    "aiokafka",
    "confluent-kafka",
    "fastapi",
    "grpcio",
    "hdrhistogram",
    "httptools",
    "httpx",
    "httpx-aiohttp",
    "locust",
    "msgpack",
    "msgspec",
    "protobuf",
    "uvicorn",
    "uvloop",
)
_FSYNC_COUNT, _FSYNC_BYTES = 50, 4096


def read_machine(folder: Path) -> dict[str, Any]:
    """Return the hardware, the kernel, and the cost of an fsync on the disk that holds ``folder``.

    What cannot be read is None. Takes 50 fsyncs: some 10 ms on a server's disk, 0.2 s on a laptop's.
    """
    return {
        "cpu_model": _read_cpu_model(),
        "cores": os.cpu_count(),
        "cores_usable": len(os.sched_getaffinity(0)),
        "memory_mib": psutil.virtual_memory().total // 2**20,
        "system": platform.system(),
        "kernel": platform.release(),
        "architecture": platform.machine(),
        "congestion_control": _read_first_line(Path("/proc/sys/net/ipv4/tcp_congestion_control")),
        "clock_source": _read_first_line(Path("/sys/devices/system/clocksource/clocksource0/current_clocksource")),
        "load_1m": round(os.getloadavg()[0], 2),
        "fsync_us": measure_fsync_us(folder),
    }


def describe_machine(found: Mapping[str, Any]) -> str:
    """Describe what ``read_machine`` returned, as a manifest holds it: "2 cores (AMD EPYC)"."""
    cores = found.get("cores_usable", found.get("cores"))
    if cores is None:
        return "a machine that was not noted"
    return f"{cores} {'core' if cores == 1 else 'cores'} ({found.get('cpu_model') or 'of an unknown kind'})"


def read_versions() -> dict[str, str]:
    """Return the installed versions of Python and of the libraries that carry or measure, by name."""
    found = {"python": platform.python_version()}
    for library in LIBRARIES:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            continue
    return found


def read_git_state(folder: Path) -> dict[str, Any]:
    """Return the commit checked out at ``folder``, and whether the working tree differs; None where there is no git."""
    commit = _run_git(folder, "rev-parse", "HEAD")
    changes = _run_git(folder, "status", "--porcelain")
    return {"commit": commit, "dirty": None if commit is None or changes is None else bool(changes)}


def measure_fsync_us(folder: Path) -> int | None:
    """Return the median time of 50 fsyncs, each after a 4 KiB append, in microseconds; None where one cannot write."""
    block = bytes(_FSYNC_BYTES)
    times_ns = []
    try:
        with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
            for _ in range(_FSYNC_COUNT):
                file.write(block)
                begin_ns = time.perf_counter_ns()
                os.fsync(file.fileno())
                times_ns.append(time.perf_counter_ns() - begin_ns)
    except OSError:
        return None
    return round(statistics.median(times_ns) / 1000)


def _read_cpu_model() -> str | None:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor() or None
    models = [line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "Model"))]
    return models[0] if models else platform.processor() or None


def _read_first_line(path: Path) -> str | None:
    try:
        return path.read_text("utf-8").splitlines()[0].strip()
    except (OSError, IndexError):
        return None


def _run_git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()

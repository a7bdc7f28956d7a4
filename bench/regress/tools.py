"""Finds the programs that count: valgrind for instructions, perf or strace for system calls."""

import os
import platform
import re
import shutil
import subprocess
from dataclasses import dataclass

CALLGRIND, PERF, STRACE = "callgrind", "perf", "strace"
PERF_EVENT = "raw_syscalls:sys_enter"
"""A tracepoint; to read it takes root, or a kernel that lets others."""


@dataclass(frozen=True, slots=True)
class Counter:
    """A program that can count here; or, without a name, why none can and what to do."""

    name: str = ""
    version: str = ""
    why: str = ""


def find_instruction_counter() -> Counter:
    """Returns what counts instructions. It starts valgrind once."""
    if shutil.which("valgrind") is None:
        return Counter(why="valgrind is missing; on Debian `sudo apt-get install valgrind`")
    if platform.machine() != "x86_64":
        return Counter(why=f"callgrind is spoken to on x86-64 alone, and this is {platform.machine()}")
    done = _run(["valgrind", "--version"])
    if done.returncode:
        return Counter(why="valgrind does not run here")
    return Counter(CALLGRIND, done.stdout.strip())


def find_call_counter() -> Counter:
    """Returns what counts system calls. It tries perf, and strace where perf may not."""
    if shutil.which("perf"):
        done = _run(["perf", "stat", "-x,", "-e", PERF_EVENT, "--", "true"])
        if done.returncode == 0 and re.search(rf"^\d+,.*{PERF_EVENT}", done.stderr, re.MULTILINE):
            return Counter(PERF, _run(["perf", "--version"]).stdout.strip())
    if shutil.which("strace"):
        done = _run(["strace", "-f", "-qq", "-o", os.devnull, "--", "true"])
        if done.returncode == 0:
            return Counter(STRACE, _run(["strace", "-V"]).stdout.partition("\n")[0])
    return Counter(
        why="perf is missing or may not read tracepoints, and strace is missing or may not trace; on Debian "
        "`sudo apt-get install strace`"
    )


def parse_perf(text: str) -> float:
    """Returns the calls that perf's output file has. Raises ValueError."""
    found = re.search(rf"^(\d+),.*{PERF_EVENT}", text, re.MULTILINE)
    if found is None:
        raise ValueError("perf counted no system calls")
    return float(found[1])


def parse_strace(text: str, marker: str) -> float:
    """Returns the calls that strace's output file has between enable and disable. Raises ValueError."""
    calls, counting, marks = 0, False, 0
    for line in text.splitlines():
        if f"{marker}-enable" in line:
            counting, marks = True, marks + 1
        elif f"{marker}-disable" in line:
            counting = False
        elif counting and not re.match(r"(\d+ +)?(<\.\.\. |---|\+\+\+)", line):
            calls += 1
    if not marks or counting:
        raise ValueError("strace's file is not whole")
    return float(calls)


def parse_callgrind(text: str) -> float:
    """Returns the instructions that a dump of callgrind has. Raises ValueError."""
    found = re.search(r"^(?:summary|totals): (\d+)", text, re.MULTILINE)
    if found is None:
        raise ValueError("callgrind's file has no sum")
    return float(found[1])


def _run(command: list[str]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )

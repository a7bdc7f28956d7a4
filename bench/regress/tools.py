"""Finds what can count here: valgrind the instructions; the kernel, or strace, the system calls."""

import os
import platform
import re
import shutil
import subprocess
from dataclasses import dataclass

from bench.regress.instruments import CALLGRIND, STRACE, TRACEPOINT, Tracepoint


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
    """Returns what counts system calls. It tries the kernel's tracepoint, and strace where the kernel refuses."""
    try:
        Tracepoint().close()
    except (OSError, ValueError):
        pass
    else:
        return Counter(TRACEPOINT, f"tracepoint raw_syscalls:sys_enter of {platform.release()}")
    if shutil.which("strace"):
        done = _run(["strace", "-f", "-qq", "-o", os.devnull, "--", "true"])
        if done.returncode == 0:
            return Counter(STRACE, _run(["strace", "-V"]).stdout.partition("\n")[0])
    return Counter(
        why="the kernel lets root alone count them, and strace is missing or may not trace; on Debian "
        "`sudo apt-get install strace`"
    )


def parse_strace(text: str, marker: str) -> list[float]:
    """Returns the calls that strace's output file has in each piece, between its marks. Raises ValueError."""
    pieces: list[float] = []
    counting = False
    for line in text.splitlines():
        if f"{marker}-begin" in line:
            counting = True
            pieces.append(0.0)
        elif f"{marker}-end" in line:
            counting = False
        elif counting and not re.match(r"(\d+ +)?(<\.\.\. |---|\+\+\+)", line):
            pieces[-1] += 1
    if not pieces or counting:
        raise ValueError("strace's file is not whole")
    return pieces


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

"""What a trial costs: CPU, memory, context switches and bytes on the wire.

Everything is a counter read before and after; the difference is the cost. Linux only.
"""

import asyncio
import re
import subprocess
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil


@dataclass(frozen=True, slots=True)
class Counters:
    """What one process has used since it started."""

    cpu_ns: int
    rss_kib: int
    peak_rss_kib: int
    context_switches: Mapping[int, int]
    """By thread, voluntary and not: the kernel keeps no sum for a process."""


@dataclass(frozen=True, slots=True)
class Reading:
    """The counters of some processes at one instant. One that has ended is not in it."""

    at_ns: int
    processes: Mapping[int, Counters] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Cost:
    """What a set of processes used between two readings. What ended in between is named and not counted."""

    duration_s: float
    cpu_ns: int
    rss_mib: float
    """At the second reading."""
    peak_rss_mib: float
    """The sum of each process's own peak since it started, or since it was forgotten."""
    context_switches: int
    """Of threads that live at the second reading."""
    died: tuple[int, ...]

    @property
    def cpu_ms_per_s(self) -> float:
        """How busy: 1000 is one core. Between readings without any load, this is what idling burns."""
        return self.cpu_ns / 1e6 / self.duration_s

    def cpu_us_per_order(self, orders: int, idle_ms_per_s: float = 0.0) -> float | None:
        """CPU time for each order, with the idle burn taken off if it is given; None without orders."""
        if not orders:
            return None
        return (self.cpu_ns / 1e3 - idle_ms_per_s * 1e3 * self.duration_s) / orders


def family(pid: int) -> tuple[int, ...]:
    """The process and all its descendants that are alive; empty when it has ended."""
    try:
        parent = psutil.Process(pid)
        return (pid, *(child.pid for child in parent.children(recursive=True)))
    except psutil.NoSuchProcess:
        return ()


def forget_peaks(pids: Iterable[int]) -> None:
    """From now on a process's peak memory is that since now: see clear_refs in proc(5)."""
    for pid in pids:
        with suppress(OSError):
            Path(f"/proc/{pid}/clear_refs").write_text("5")


def read(pids: Iterable[int]) -> Reading:
    """Read every process now: some 20 us a thread."""
    processes = {}
    for pid in pids:
        # A process may end, or its threads may, while it is being read: it is then left out.
        with suppress(OSError, KeyError):
            processes[pid] = _counters(pid)
    return Reading(time.monotonic_ns(), processes)


def spent(before: Reading, after: Reading) -> Cost:
    """The difference. A process of the first reading that is not in the second has died."""
    alive = {pid: counters for pid, counters in after.processes.items() if pid in before.processes}
    return Cost(
        duration_s=(after.at_ns - before.at_ns) / 1e9,
        cpu_ns=sum(now.cpu_ns - before.processes[pid].cpu_ns for pid, now in alive.items()),
        rss_mib=sum(now.rss_kib for now in alive.values()) / 1024,
        peak_rss_mib=sum(now.peak_rss_kib for now in alive.values()) / 1024,
        context_switches=sum(
            count - before.processes[pid].context_switches.get(thread, 0)
            for pid, now in alive.items()
            for thread, count in now.context_switches.items()
        ),
        died=tuple(pid for pid in before.processes if pid not in after.processes),
    )


async def idle(pids: Iterable[int], window_s: float = 1.0) -> Cost:
    """What the processes use while nothing is asked of them, over a window of ``window_s``."""
    chosen = tuple(pids)
    before = read(chosen)
    await asyncio.sleep(window_s)
    return spent(before, read(chosen))


def cpu_ns(pid: int) -> int:
    """CPU time of all threads of a process, living and ended, to the nanosecond. Raises OSError when it is gone.

    clock_getcpuclockid(3) makes this clock id; /proc/PID/stat only counts ticks of 10 ms.
    """
    return time.clock_gettime_ns((~pid << 3) | 2)


def _counters(pid: int) -> Counters:
    status = _status(Path(f"/proc/{pid}/status"))
    switches = {}
    for thread in Path(f"/proc/{pid}/task").iterdir():
        with suppress(OSError):
            of_thread = _status(thread / "status")
            switches[int(thread.name)] = of_thread["voluntary_ctxt_switches"] + of_thread["nonvoluntary_ctxt_switches"]
    # A process that has ended and was not waited for has no VmRSS: a KeyError, and so it counts as gone.
    return Counters(cpu_ns(pid), status["VmRSS"], status["VmHWM"], switches)


def _status(path: Path) -> dict[str, int]:
    """The whole numbers of a status file; sizes are in KiB."""
    found = {}
    for line in path.read_text("utf-8", errors="replace").splitlines():
        name, _, rest = line.partition(":")
        first = rest.split(maxsplit=1)[:1]
        if first and first[0].isdigit():
            found[name] = int(first[0])
    return found


@dataclass(frozen=True, slots=True)
class MachineTimes:
    """What all cores together have done since the machine started, in seconds of CPU."""

    at_ns: int
    busy_s: float
    """Everything but idling and waiting for a disk; what was stolen is not in it."""
    steal_s: float
    """Taken by the host for its other guests."""


def machine_times() -> MachineTimes:
    """Of the whole machine, in ticks of 10 ms."""
    times = psutil.cpu_times()
    busy_s = times.user + times.nice + times.system + times.irq + times.softirq
    return MachineTimes(time.monotonic_ns(), busy_s, times.steal)


@dataclass(frozen=True, slots=True)
class Wire:
    """TCP payload by connection, both directions together, since each was opened."""

    connections: Mapping[tuple[str, str], int]


def wire(ports: Iterable[int]) -> Wire | None:
    """What the connections to these ports have carried so far. None when ``ss`` (Debian: iproute2) cannot be run.

    Needs no privileges; takes some 5 ms. Seen from one end, so that a connection on this machine counts once.
    """
    wanted = " or ".join(f"sport = :{port} or dport = :{port}" for port in sorted(set(ports)))
    if not wanted:
        return Wire({})
    try:
        done = subprocess.run(["ss", "-tinHO", f"( {wanted} )"], capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return Wire(_connections(done.stdout))


def wire_bytes(before: Wire, after: Wire) -> int:
    """Bytes carried between two readings. Those of a connection that was closed in between are lost: see ``closed``."""
    return sum(count - before.connections.get(ends, 0) for ends, count in after.connections.items())


def closed(before: Wire, after: Wire) -> int:
    """How many connections ended in between, so that what they carried is not counted."""
    return len(before.connections.keys() - after.connections.keys())


def _connections(listing: str) -> dict[tuple[str, str], int]:
    found: dict[tuple[str, str], int] = {}
    for text in listing.splitlines():
        fields = text.split()
        if len(fields) < 5:
            continue
        first, second = sorted(fields[3:5])
        # ss leaves a counter out while it is zero.
        counters = re.findall(r"\bbytes_(?:sent|received):(\d+)", text)
        carried = sum(map(int, counters))
        # Both ends of a local connection are listed; while bytes are under way the further one is right.
        found[first, second] = max(carried, found.get((first, second), 0))
    return found

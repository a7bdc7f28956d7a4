"""Reads CPU time, memory, context switches and network bytes of processes around a trial.

Everything is a counter read twice; the difference is what was used. Linux only.
"""

import asyncio
import os
import re
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil


@dataclass(frozen=True, slots=True)
class ProcessCounters:
    """Counters of a process and of its living descendants since they started: CPU time, memory, context switches.

    CPU time has that of descendants that ended and were waited for.
    """

    cpu_ns: int
    rss_kib: int
    peak_rss_kib: int
    context_switches: Mapping[int, int]
    """By thread, voluntary and not: the kernel keeps no sum for a process."""


@dataclass(frozen=True, slots=True)
class ResourceSnapshot:
    """The counters of several processes at one instant. A process that has ended is not in it."""

    at_ns: int
    processes: Mapping[int, ProcessCounters] = field(default_factory=dict)
    """By process; what its descendants used is part of its own counters, or of those of the first asked for."""


@dataclass(frozen=True, slots=True)
class ResourceUsage:
    """What a set of processes used between two snapshots. Processes that ended in between are named, not counted."""

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
        """CPU use in milliseconds a second: 1000 is one core. Measured without load, it is the idle CPU use."""
        return self.cpu_ns / 1e6 / self.duration_s

    def cpu_us_per_order(self, orders: int, idle_ms_per_s: float = 0.0) -> float | None:
        """CPU time of each order in microseconds, minus the idle CPU use if given; None without orders."""
        if not orders:
            return None
        return (self.cpu_ns / 1e3 - idle_ms_per_s * 1e3 * self.duration_s) / orders


def find_process_tree(pid: int) -> tuple[int, ...]:
    """Returns the ids of the process and of all its living descendants; empty when the process has ended."""
    found = [pid] if Path(f"/proc/{pid}/task").exists() else []
    for member in found:
        with suppress(OSError):  # a thread ends while it is being asked
            for children in Path(f"/proc/{member}/task").glob("*/children"):
                found += map(int, children.read_text("ascii").split())
    return tuple(found)


def reset_peak_memory(pids: Iterable[int]) -> None:
    """Resets the peak memory of each process and of its descendants to the present use: see clear_refs in proc(5)."""
    for pid in pids:
        for member in find_process_tree(pid):
            with suppress(OSError):
                Path(f"/proc/{member}/clear_refs").write_text("5", "utf-8")


def read_snapshot(pids: Iterable[int]) -> ResourceSnapshot:
    """Reads the counters of every process and its descendants now; it takes some 30 us a thread.

    Processes that have ended are left out. One that descends from another one is part of the first that is given.
    """
    processes = {}
    seen: set[int] = set()
    for pid in pids:
        tree = [member for member in find_process_tree(pid) if member not in seen]
        # A process may end, or its threads may, while it is being read: it is then left out.
        counters = {}
        for member in {pid, *tree}:
            with suppress(OSError, KeyError):
                counters[member] = _read_counters(member)
        if pid in counters:
            processes[pid] = _add_up([counters[member] for member in tree if member in counters])
        seen.update(tree)
    return ResourceSnapshot(time.monotonic_ns(), processes)


def compute_usage(before: ResourceSnapshot, after: ResourceSnapshot) -> ResourceUsage:
    """Returns what was used between two snapshots. A process of the first that is not in the second has died."""
    alive = {pid: counters for pid, counters in after.processes.items() if pid in before.processes}
    return ResourceUsage(
        duration_s=(after.at_ns - before.at_ns) / 1e9,
        cpu_ns=sum(max(0, now.cpu_ns - before.processes[pid].cpu_ns) for pid, now in alive.items()),
        rss_mib=sum(now.rss_kib for now in alive.values()) / 1024,
        peak_rss_mib=sum(now.peak_rss_kib for now in alive.values()) / 1024,
        context_switches=sum(
            count - before.processes[pid].context_switches.get(thread, 0)
            for pid, now in alive.items()
            for thread, count in now.context_switches.items()
        ),
        died=tuple(pid for pid in before.processes if pid not in after.processes),
    )


async def measure_idle_usage(pids: Iterable[int], window_s: float = 1.0) -> ResourceUsage:
    """Measures what the processes use without load, over a window of ``window_s`` seconds."""
    chosen = tuple(pids)
    before = read_snapshot(chosen)
    await asyncio.sleep(window_s)
    return compute_usage(before, read_snapshot(chosen))


def cpu_ns(pid: int) -> int:
    """CPU time of all threads of a process, living and ended, to the nanosecond. Raises OSError when it is gone.

    clock_getcpuclockid(3) makes this clock id; /proc/PID/stat only counts ticks of 10 ms.
    """
    return time.clock_gettime_ns((~pid << 3) | 2)


def _read_counters(pid: int) -> ProcessCounters:
    status = _read_status_file(Path(f"/proc/{pid}/status"))
    switches = {}
    for thread in Path(f"/proc/{pid}/task").iterdir():
        with suppress(OSError):
            of_thread = _read_status_file(thread / "status")
            switches[int(thread.name)] = of_thread["voluntary_ctxt_switches"] + of_thread["nonvoluntary_ctxt_switches"]
    # A process that has ended and was not waited for has no VmRSS: a KeyError, and so it counts as gone.
    return ProcessCounters(cpu_ns(pid) + _read_reaped_ns(pid), status["VmRSS"], status["VmHWM"], switches)


def _read_reaped_ns(pid: int) -> int:
    """CPU time of children that ended and were waited for, with theirs, in ticks of 10 ms: see proc(5)."""
    behind_name = Path(f"/proc/{pid}/stat").read_text("utf-8", errors="replace").rpartition(")")[2].split()
    return sum(map(int, behind_name[13:15])) * 1_000_000_000 // os.sysconf("SC_CLK_TCK")


def _add_up(parts: Sequence[ProcessCounters]) -> ProcessCounters:
    return ProcessCounters(
        sum(one.cpu_ns for one in parts),
        sum(one.rss_kib for one in parts),
        sum(one.peak_rss_kib for one in parts),
        {thread: count for one in parts for thread, count in one.context_switches.items()},
    )


def _read_status_file(path: Path) -> dict[str, int]:
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
    """CPU time that all cores together have used since the machine started, in seconds."""

    at_ns: int
    busy_s: float
    """Everything but idling and waiting for a disk; what was stolen is not in it."""
    steal_s: float
    """Taken by the host for its other guests."""


def read_machine_times() -> MachineTimes:
    """Reads the CPU times of the whole machine, in ticks of 10 ms."""
    times = psutil.cpu_times()
    busy_s = times.user + times.nice + times.system + times.irq + times.softirq
    return MachineTimes(time.monotonic_ns(), busy_s, times.steal)


OTHERS_CONNECTIONS_PER_S = 5
"""The runner asks Locust's master about once a second, each time by a connection of its own."""


@dataclass(frozen=True, slots=True)
class ConnectionBytes:
    """TCP payload bytes of each connection, both directions together, since it was opened."""

    connections: Mapping[tuple[str, str], int]
    opened: int = 0
    """Connections that this machine has accepted since it started, at any port."""
    at_ns: int = 0


def read_connection_bytes(ports: Iterable[int]) -> ConnectionBytes | None:
    """Reads how many bytes the connections to these ports have carried so far.

    Returns None when ``ss`` (Debian: iproute2) cannot be run. Needs no privileges; takes some 5 ms. Seen from one
    end, so that a connection on this machine counts once.
    """
    wanted = " or ".join(f"sport = :{port} or dport = :{port}" for port in sorted(set(ports)))
    if not wanted:
        return ConnectionBytes({})
    try:
        done = subprocess.run(
            ["ss", "-tinHO", f"( {wanted} )"], capture_output=True, text=True, encoding="utf-8", timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return ConnectionBytes(_parse_connections(done.stdout), _read_accepted_connections(), time.monotonic_ns())


def count_wire_bytes(before: ConnectionBytes, after: ConnectionBytes) -> int:
    """Returns the bytes carried between two readings.

    Bytes of a connection that was closed in between are lost: see ``count_closed_connections``.
    """
    return sum(count - before.connections.get(ends, 0) for ends, count in after.connections.items())


def count_closed_connections(before: ConnectionBytes, after: ConnectionBytes) -> int:
    """Returns how many connections ended between two readings, so that their bytes are not counted.

    Those that came and went in between are known by the machine's count alone, which has other programs' as well. So
    they are left out where they are as few as those of the harness and of an idle machine.
    """
    fresh = len(after.connections.keys() - before.connections.keys())
    came_and_went = after.opened - before.opened - fresh
    usual = OTHERS_CONNECTIONS_PER_S * ((after.at_ns - before.at_ns) / 1e9 + 1)
    closed = len(before.connections.keys() - after.connections.keys())
    return closed + (came_and_went if came_and_went > usual else 0)


def _read_accepted_connections() -> int:
    """PassiveOpens of RFC 4022; see proc_net_snmp(5)."""
    names, values = (line for line in Path("/proc/net/snmp").read_text("ascii").splitlines() if line.startswith("Tcp:"))
    return dict(zip(names.split()[1:], map(int, values.split()[1:]), strict=True))["PassiveOpens"]


def _parse_connections(listing: str) -> dict[tuple[str, str], int]:
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

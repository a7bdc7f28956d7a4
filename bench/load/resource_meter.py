"""Measures what services, broker and machine use between the edges of the window."""

import asyncio

from bench.load import resources as cost
from bench.load.protocol import MachineUsage, PartUsage, ResourceWatch

_EdgeReadings = tuple[dict[str, cost.ResourceSnapshot], cost.ConnectionBytes | None, cost.MachineTimes]


class ResourceMeter:
    """Reads at each edge in a thread of its own: a JVM with a hundred threads takes milliseconds to read."""

    def __init__(self, watch: ResourceWatch, *, resets_peak: bool = True) -> None:
        """``resets_peak``: the first reading begins the peak of memory anew."""
        self._watch = watch
        self._resets_peak = resets_peak
        self._edges: list[asyncio.Task[_EdgeReadings]] = []

    def read(self) -> None:
        """Starts a reading at an edge of the window; returns at once."""
        self._edges.append(
            asyncio.create_task(asyncio.to_thread(self._read, resets=self._resets_peak and not self._edges))
        )

    async def read_now(self) -> None:
        """Reads at an edge, and returns when that is done."""
        self.read()
        await self._edges[-1]

    @property
    def closed(self) -> bool:
        """Whether both edges were read."""
        return len(self._edges) > 1

    async def compute_usage(self) -> tuple[dict[str, PartUsage], MachineUsage | None, int | None, int]:
        """Returns the use between the edges: by part, of the machine, bytes on the wire, connections closed.

        Without two edges it returns ``({}, None, None, 0)``.
        """
        if len(self._edges) < 2:
            return {}, None, None, 0
        before, wire_before, machine_before = await self._edges[0]
        after, wire_after, machine_after = await self._edges[-1]
        costs = {}
        for part, reading in before.items():
            used = cost.compute_usage(reading, after[part])
            costs[part] = PartUsage(
                cpu_ns=used.cpu_ns,
                peak_rss_mib=used.peak_rss_mib,
                context_switches=used.context_switches,
                died=used.died,
            )
        wire, closed = None, 0
        if wire_before is not None and wire_after is not None:
            wire, closed = (
                cost.count_wire_bytes(wire_before, wire_after),
                cost.count_closed_connections(wire_before, wire_after),
            )
        machine = MachineUsage(
            duration_s=(machine_after.at_ns - machine_before.at_ns) / 1e9,
            busy_s=machine_after.busy_s - machine_before.busy_s,
            steal_s=machine_after.steal_s - machine_before.steal_s,
        )
        return costs, machine, wire, closed

    def _read(self, *, resets: bool) -> _EdgeReadings:
        if resets:
            for pids in self._watch.parts.values():
                cost.reset_peak_memory(pids)
        readings = {part: cost.read_snapshot(pids) for part, pids in self._watch.parts.items()}
        wire = cost.read_connection_bytes(self._watch.ports) if self._watch.ports else None
        return readings, wire, cost.read_machine_times()

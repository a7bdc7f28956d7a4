"""What the other processes use between the edges of the window, read by the load process, which knows them best."""

import asyncio

from bench.load import resources as cost
from bench.load.protocol import MachineCost, PartCost, Watch

_Edge = tuple[dict[str, cost.Reading], cost.Wire | None, cost.MachineTimes]


class Meter:
    """Reads at each edge in a thread of its own: a JVM with a hundred threads takes milliseconds to read."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._edges: list[asyncio.Task[_Edge]] = []

    def read(self) -> None:
        """At an edge; returns at once."""
        self._edges.append(asyncio.create_task(asyncio.to_thread(self._read, first=not self._edges)))

    @property
    def closed(self) -> bool:
        """Whether both edges were read."""
        return len(self._edges) > 1

    async def spent(self) -> tuple[dict[str, PartCost], MachineCost | None, int | None, int]:
        """By part, of the machine, bytes on the wire and connections that ended, from the first edge to the last.

        Nothing without two edges.
        """
        if len(self._edges) < 2:
            return {}, None, None, 0
        before, wire_before, machine_before = await self._edges[0]
        after, wire_after, machine_after = await self._edges[-1]
        costs = {}
        for part, reading in before.items():
            used = cost.spent(reading, after[part])
            costs[part] = PartCost(
                cpu_ns=used.cpu_ns,
                peak_rss_mib=used.peak_rss_mib,
                context_switches=used.context_switches,
                died=used.died,
            )
        wire, closed = None, 0
        if wire_before is not None and wire_after is not None:
            wire, closed = cost.wire_bytes(wire_before, wire_after), cost.closed(wire_before, wire_after)
        machine = MachineCost(
            duration_s=(machine_after.at_ns - machine_before.at_ns) / 1e9,
            busy_s=machine_after.busy_s - machine_before.busy_s,
            steal_s=machine_after.steal_s - machine_before.steal_s,
        )
        return costs, machine, wire, closed

    def _read(self, *, first: bool) -> _Edge:
        if first:
            for pids in self._watch.parts.values():
                cost.forget_peaks(pids)
        readings = {part: cost.read(pids) for part, pids in self._watch.parts.items()}
        wire = cost.wire(self._watch.ports) if self._watch.ports else None
        return readings, wire, cost.machine_times()

"""Plans a set in the load process: the arrivals of every slice, and which orders it sends."""

from collections.abc import Sequence
from dataclasses import dataclass

from bench.load.sets.protocol import CellSpec, SetSpec, SliceSpec
from bench.load.workload.arrivals import Schedule
from bench.load.workload.orders import OrderStretch, Workload


@dataclass(frozen=True, slots=True)
class PlannedSlice:
    """A slice with its arrivals and its orders."""

    spec: SliceSpec
    window: Schedule
    lead_in: Schedule | None
    first_number: int
    """The order of the cell's workload with which the window begins."""
    orders: OrderStretch

    @property
    def plan_hash(self) -> str:
        """Hash of its planned arrivals and of the orders' contents."""
        return "" if self.window.plan is None else self.window.plan.hash


def plan_slices(spec: SetSpec) -> list[PlannedSlice]:
    """Plans every slice, in the order in which they are played; a cell's orders go on from slice to slice.

    Cells with the same rate and contents get the same plans. Raises ValueError for an order that is too small.
    """
    workloads = [build_workload(spec, cell, cell.prefix) for cell in spec.cells]
    sent = [0] * len(spec.cells)
    sent_before = [0] * len(spec.cells)
    found = []
    for one in spec.slices:
        cell, workload = spec.cells[one.cell], workloads[one.cell]
        window = _schedule(spec, cell, f"{one.seed}:0", spec.slice_s, workload.fingerprint)
        lead_in = _schedule(spec, cell, f"{one.seed}:0:lead-in", spec.lead_in_s, "") if spec.lead_in_s else None
        orders = OrderStretch(workload, sent[one.cell], -sent_before[one.cell])
        found.append(PlannedSlice(one, window, lead_in, sent[one.cell], orders))
        sent[one.cell] += count_planned(window)
        sent_before[one.cell] += 0 if lead_in is None else count_planned(lead_in)
    return found


def build_workload(spec: SetSpec, cell: CellSpec, prefix: str) -> Workload:
    """Builds the orders of a cell; their ids begin with ``prefix``. Raises ValueError for an impossible size."""
    return Workload(
        prefix=prefix,
        seed=spec.seed,
        payload_bytes=cell.payload_bytes,
        mix=cell.mix,
        shape=cell.shape,
        compressible=cell.compressible,
    )


def count_planned(schedule: Schedule) -> int:
    """Counts the arrivals of a schedule that has an end."""
    return 0 if schedule.plan is None else len(schedule.plan.offsets_ns)


def find_warm_up_cell(cells: Sequence[CellSpec], arm: int) -> CellSpec:
    """Returns the cell whose orders warm the arm: the first one of it."""
    return next(cell for cell in cells if cell.arm == arm)


def _schedule(spec: SetSpec, cell: CellSpec, seed: str, duration_s: float, note: str) -> Schedule:
    return Schedule(
        cell.arrivals, seed=seed, orders_per_s=cell.orders_per_s, duration_s=duration_s, phase=0.5, note=note
    )

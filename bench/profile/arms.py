"""Groups the cells of a run into arms: cells that differ in their load alone share one set of services."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import msgspec

from bench.profile.schema import CellSettings


@dataclass(frozen=True, slots=True)
class Arm:
    """Cells that differ in their load alone, and so share one set of services."""

    cells: tuple[CellSettings, ...]

    @property
    def first(self) -> CellSettings:
        """The cell by which services are started: in all that concerns them, the others are the same."""
        return self.cells[0]


def group_arms(cells: Sequence[CellSettings]) -> list[Arm]:
    """Groups cells by what their services are; the two sides of an A/A run stay two arms."""
    found: dict[bytes, list[CellSettings]] = {}
    for cell in cells:
        found.setdefault(_identify_services(cell), []).append(cell)
    return [Arm(tuple(of_arm)) for of_arm in found.values()]


def _identify_services(cell: CellSettings) -> bytes:
    """What is the same in cells that can share services: everything but the load."""
    same = replace(cell.cell, name=cell.name if cell.profile.arms > 1 else "", rate_per_s=0.0, levels={})
    profile = msgspec.structs.replace(
        cell.profile,
        rates_per_s=(),
        arrivals="poisson",
        payload_bytes=0,
        shape="document",
        compressible=1.0,
        designed=(),
    )
    return msgspec.json.encode([same, profile])

"""Defines the lengths of a trial's phases."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Phases:
    """Lengths of a trial's phases in seconds. ``duration_s`` None: until stopped."""

    warm_up_s: float = 0.0
    """At least; 0: none."""
    warm_up_max_s: float = 0.0
    """At most; not more than ``warm_up_s``: it is as long as that, steady or not."""
    duration_s: float | None = None
    drain_s: float = 30.0
    deadline_s: float = 30.0
    """An order that is older ends as unfinished."""
    in_flight_cap: int = 10_000
    tick_s: float = 0.5
    """How often an adapting warm-up is looked at."""
    trace_every: int = 0
    """One in so many orders is kept with its four instants; 0: none."""
    watches_loop: bool = False
    """Whether these are kept with how long their outcomes waited for the event loop; not where services live in it."""

    @property
    def adapts(self) -> bool:
        """Whether the warm-up lasts until neither the orders in flight nor the median response rises or falls."""
        return 0 < self.warm_up_s < self.warm_up_max_s

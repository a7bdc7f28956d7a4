"""What was measured that bears on a question: which method, in which run, at which size, rate and bursts."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from bench.advise.method import Method, method_of
from bench.errors import ResultsError
from bench.results import environment as machine
from bench.results.store import Run
from bench.stats.summary import CELL, ORDERS, is_valid

HEADLINE = "finish_p50_us"
"""What methods are ranked by: the steadiest of the latencies, and the one that every method has."""
METRICS = (
    *(HEADLINE, "accept_p50_us", "finish_p99_us", "accept_p99_us"),
    *("cpu_us_per_order", "wire_bytes_per_order"),
)
"""Of a trial. ``cpu_us_per_order`` is that of the services and of the broker together."""
PLAIN: Mapping[str, Any] = {
    "fault": "none",
    "compression": "none",
    "compressible": 1.0,
    "processes": 1,
    "retries": 0,
    "keep_alive_s": 0.0,
}
"""A question says nothing of these: evidence is what was measured without them. Older runs lack some columns."""
STORES = {"fast": "memory", "safe": "sqlite"}
"""What `make bench` takes for a durability class."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What a cell was measured at, as far as a question can ask for it."""

    size_bytes: int
    shape: str
    rate_per_s: float
    burst: float
    """How many times the mean rate at the peak; 1 for Poisson arrivals."""
    security: str
    durability: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A method at a place."""

    run: str
    cell: str
    method: Method
    codec: str
    place: Place
    trials: pd.DataFrame
    """The valid ones: a column of METRICS where it was measured, by round."""
    orders: Mapping[str, int]
    """Summed over all trials, the invalid ones too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """The highest rate that a method was seen to sustain, at a place whose own rate means nothing."""

    run: str
    cell: str
    method: Method
    codec: str
    place: Place
    last_pass_per_s: float
    first_fail_per_s: float | None
    slo_p99_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """What became of a cell's orders while a part was away."""

    run: str
    cell: str
    method: Method
    fault: str
    durability: str
    trials: pd.DataFrame
    """The valid ones: rows of outages.csv."""


@dataclass(slots=True)
class Evidence:
    """Of several runs. ``left_out`` says in sentences what could not be used, and why."""

    points: list[Point] = field(default_factory=list)
    capacities: list[Capacity] = field(default_factory=list)
    outages: list[Outage] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    runs: dict[str, Path] = field(default_factory=dict)
    """The folders of those that could be read."""
    machines: list[str] = field(default_factory=list)

    @property
    def methods(self) -> Mapping[str, Method]:
        """By name, those that were measured at some place."""
        return {point.method.name: point.method for point in self.points}


def evidence(folders: Mapping[str, Path]) -> Evidence:
    """Of the runs in these folders, by the names by which they are to be known.

    A run that cannot be read is left out with its sentence; when none can be, ResultsError is raised with all of them.
    """
    found = Evidence()
    for name, folder in folders.items():
        try:
            run = Run.open(folder)
            trials = run.trials()
            trials = trials.assign(**{column: value for column, value in PLAIN.items() if column not in trials})
            points, invalid = _points(name, run, trials)
            capacities = list(_capacities(name, run, trials))
            outages = list(_outages(name, run, trials))
        except ResultsError as error:
            found.left_out.append(str(error))
            continue
        found.points += points
        found.capacities += capacities
        found.outages += outages
        found.left_out += invalid
        found.runs[name] = folder
        found.machines.append(machine.in_words(run.manifest.get("machine", {})))
    found.machines = list(dict.fromkeys(found.machines))
    if not found.points:
        why = " ".join(found.left_out) or f"nothing that a question asks for was measured in {', '.join(folders)}"
        raise ResultsError(why, code="no-run-readable")
    return found


def _points(name: str, run: Run, trials: pd.DataFrame) -> tuple[list[Point], list[str]]:
    plain = trials[trials["arrivals"].isin(["poisson", "burst"])]
    for column, value in PLAIN.items():
        plain = plain[plain[column] == value]
    plain = plain[plain["store"] == plain["durability"].map(STORES)]
    profile = run.manifest.get("profile", {})
    peak = float((profile.get("burst") or {}).get("peak", 1.0))
    found, invalid = [], []
    for (cell, transport, _, codec), rows in plain.groupby(CELL, sort=False, dropna=False):
        valid = rows[rows["valid"]].drop_duplicates("round")
        if not is_valid(rows):
            invalid.append(f"{name}: {cell} is INVALID, {len(valid)} of its {len(rows)} trials are valid; left out.")
            continue
        first, method = rows.iloc[0], method_of(str(cell), str(transport), str(codec), PLAIN["compression"])
        found.append(
            Point(
                run=name,
                cell=str(cell),
                method=method,
                codec=str(codec),
                place=Place(
                    size_bytes=int(first["order_bytes"]),
                    shape=str(first["shape"]),
                    rate_per_s=float(first["rate_per_s"]),
                    burst=peak if first["arrivals"] == "burst" else 1.0,
                    security=str(first["security"]),
                    durability=str(first["durability"]),
                ),
                trials=_with_cpu(valid, method).set_index("round")[list(METRICS)],
                orders={order: int(rows[order].sum()) for order in ORDERS},
            )
        )
    return list(_first_arms(found)) if profile.get("arms") == 2 else found, invalid


def _with_cpu(trials: pd.DataFrame, method: Method) -> pd.DataFrame:
    """With the total, which is not known where a broker's part was not measured, as of one that was given by URL."""
    broker = trials["cpu_us_per_order_broker"]
    if method.traits is not None and not method.traits.needs:
        broker = broker.fillna(0.0)
    return trials.assign(cpu_us_per_order=trials["cpu_us_per_order_services"] + broker)


def _first_arms(points: Iterable[Point]) -> Iterator[Point]:
    """The second arm of an A/A run is the first once more."""
    seen = set()
    for point in points:
        key = (point.method, point.codec, point.place)
        if key not in seen:
            seen.add(key)
            yield point


def _capacities(name: str, run: Run, trials: pd.DataFrame) -> Iterator[Capacity]:
    """Of searches without what a question says nothing of, that came to an end. Raises ResultsError for no number."""
    profile = run.manifest.get("profile", {})
    beside = {key: value for key, value in PLAIN.items() if key not in ("compression", "fault")}
    if any(profile.get(key, value) != value for key, value in beside.items()) or profile.get("fault"):
        return
    if profile.get("arrivals", "poisson") != "poisson":
        return
    found = zip(trials["cell"], trials["compression"], strict=True)
    compressions = {cell.partition("@")[0]: compression for cell, compression in found}
    for number, row in enumerate(run.capacities().to_dict("records"), 2):
        compression = compressions.get(row["cell"], PLAIN["compression"])
        if row["answer"] != "capacity" or compression != PLAIN["compression"]:
            continue
        try:
            yield Capacity(
                run=name,
                cell=row["cell"],
                method=method_of(row["cell"], row["transport"], row["codec"], compression),
                codec=row["codec"],
                place=Place(
                    size_bytes=int(profile["payload_bytes"]),
                    shape=profile["shape"],
                    rate_per_s=0.0,
                    burst=1.0,
                    security=profile["security"],
                    durability=profile["durability"],
                ),
                last_pass_per_s=float(row["last_pass_per_s"]),
                first_fail_per_s=float(row["first_fail_per_s"]) if row["first_fail_per_s"] else None,
                slo_p99_ms=float(row["slo_p99_ms"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ResultsError(
                f"{run.path}/capacity.csv is damaged at line {number}: {error}; measure again", code="damaged-results"
            ) from error


def _outages(name: str, run: Run, trials: pd.DataFrame) -> Iterator[Outage]:
    """Of faults; a step of the rate is none."""
    rows = run.outages()
    of_cell = {row["cell"]: row for row in trials.drop_duplicates("cell").to_dict("records")}
    for (fault, cell), found in rows[(rows["fault"] != "step") & rows["valid"]].groupby(["fault", "cell"], sort=False):
        like = of_cell[cell]
        yield Outage(
            run=name,
            cell=str(cell),
            method=method_of(str(cell), like["transport"], like["codec"], like["compression"]),
            fault=str(fault),
            durability=str(like["durability"]),
            trials=found,
        )

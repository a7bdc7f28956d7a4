"""Collects from several runs what was measured that bears on a question."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import pandas as pd

from bench.advise.method import Method, find_traits, parse_method
from bench.errors import ResultsError
from bench.results import environment
from bench.results.analysis import plain_levels
from bench.results.measures import columns_used_in
from bench.results.set_tables import SetStatistics
from bench.results.settings import settings_by_column
from bench.results.store import RunFolder
from bench.stats.intervals import count_values_needed
from bench.stats.sets import MIN_SETS
from bench.stats.summary import CELL_COLUMNS, drop_yardsticks, is_cell_valid

HEADLINE = "finish_p50_us"
"""The metric that ranks methods: the steadiest of the latencies, which every method has."""
TOTAL_CPU = "cpu_us_per_order"
METRICS = (
    *(HEADLINE, "accept_p50_us", "finish_p99_us", "accept_p99_us"),
    *(TOTAL_CPU, "wire_bytes_per_order"),
)
"""Of a trial. TOTAL_CPU is that of the services and of the broker together."""
STORES = ("sqlite", "memory")
"""What a run is read for, the first of these that it has at a durability: the default, and what `fast` had in runs of
schema 6 and older."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """The conditions that a cell was measured at, as far as a question can ask for them."""

    size_bytes: int
    shape: str
    rate_per_s: float
    burst: float
    """How many times the mean rate at the peak; 1 for Poisson arrivals."""
    security: str
    durability: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """The trials of one method at one set of conditions."""

    run: str
    cell: str
    method: Method
    codec: str
    place: Conditions
    trials: pd.DataFrame
    """The valid trials: a column of METRICS where it was measured, by round."""
    orders: Mapping[str, int]
    """Summed over all trials, the invalid ones too."""
    sets: SetStatistics | None = None
    """Estimates of its run where that was played in sets; the cells of a run share them."""

    @property
    def has_interval(self) -> bool:
        """Whether it has as many trials as the interval of a ratio takes."""
        return len(self.trials) >= (count_values_needed() if self.sets is None else MIN_SETS)


@dataclass(frozen=True, slots=True, kw_only=True)
class CapacityEvidence:
    """The highest rate that a method was seen to sustain; the rate of its conditions means nothing."""

    run: str
    cell: str
    method: Method
    codec: str
    place: Conditions
    last_pass_per_s: float
    first_fail_per_s: float | None
    slo_p99_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class OutageEvidence:
    """The valid trials of a cell with a fault."""

    run: str
    cell: str
    method: Method
    fault: str
    durability: str
    trials: pd.DataFrame
    """The valid trials: rows of outages.csv."""


@dataclass(slots=True)
class Evidence:
    """What several runs say. ``left_out`` are sentences: what could not be used, and why."""

    points: list[Measurement] = field(default_factory=list)
    capacities: list[CapacityEvidence] = field(default_factory=list)
    outages: list[OutageEvidence] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    runs: dict[str, Path] = field(default_factory=dict)
    """The folders of the runs that could be read."""
    machines: list[str] = field(default_factory=list)

    @property
    def methods(self) -> Mapping[str, Method]:
        """The methods that were measured, by name."""
        return {point.method.name: point.method for point in self.points}


def collect_evidence(folders: Mapping[str, Path]) -> Evidence:
    """Reads the runs in these folders, each under its name here.

    A run that cannot be read is left out, with its sentence in ``left_out``. Raises ResultsError with all of these
    sentences when no run can be used.
    """
    found = Evidence()
    for name, folder in folders.items():
        try:
            run = RunFolder.open(folder)
            trials = drop_yardsticks(run.trials())
            trials = trials.assign(
                **{column: value for column, value in plain_levels().items() if column not in trials}
            )
            points, invalid = _read_measurements(name, run, trials)
            capacities = list(_read_capacities(name, run, trials))
            outages = list(_read_outages(name, run, trials))
        except ResultsError as error:
            found.left_out.append(str(error))
            continue
        found.points += points
        found.capacities += capacities
        found.outages += outages
        found.left_out += invalid
        found.runs[name] = folder
        found.machines.append(environment.describe_machine(run.manifest.get("machine", {})))
    found.machines = list(dict.fromkeys(found.machines))
    if not found.points:
        why = " ".join(found.left_out) or f"nothing that a question asks for was measured in {', '.join(folders)}"
        raise ResultsError(why, code="no-run-readable")
    return found


def _read_measurements(name: str, run: RunFolder, trials: pd.DataFrame) -> tuple[list[Measurement], list[str]]:
    plain = trials[trials["arrivals"].isin(["poisson", "burst"])]
    for column, value in plain_levels().items():
        plain = plain[plain[column] == value]
    plain = plain[plain["store"] == plain["durability"].map(_find_usual_stores(plain))]
    sets = run.set_statistics()
    if sets is not None:
        sets = replace(sets, trials=_add_total_cpu(sets.trials))
    profile = run.manifest.get("profile", {})
    peak = float((profile.get("burst") or {}).get("peak", 1.0))
    found, invalid = [], []
    for (cell, transport, _, codec), rows in plain.groupby(CELL_COLUMNS, sort=False, dropna=False):
        valid = rows[rows["valid"]].drop_duplicates("round")
        if not is_cell_valid(rows):
            invalid.append(f"{name}: {cell} is INVALID, {len(valid)} of its {len(rows)} trials are valid; left out.")
            continue
        first, method = rows.iloc[0], parse_method(str(cell), str(transport), str(codec), plain_levels()["compression"])
        found.append(
            Measurement(
                run=name,
                cell=str(cell),
                method=method,
                codec=str(codec),
                place=Conditions(
                    size_bytes=int(first["order_bytes"]),
                    shape=str(first["shape"]),
                    rate_per_s=float(first["rate_per_s"]),
                    burst=peak if first["arrivals"] == "burst" else 1.0,
                    security=str(first["security"]),
                    durability=str(first["durability"]),
                ),
                trials=_add_total_cpu(valid).set_index("round")[list(METRICS)],
                orders={order: int(rows[order].sum()) for order in columns_used_in("orders")},
                sets=sets,
            )
        )
    return list(_drop_second_arms(found)) if profile.get("arms") == 2 else found, invalid


def _find_usual_stores(trials: pd.DataFrame) -> dict[str, str]:
    """Returns by durability the store whose trials count as evidence; comparisons within a run hold stores alike."""
    return {
        str(durability): next((store for store in STORES if store in set(rows["store"])), "")
        for durability, rows in trials.groupby("durability")
    }


def _add_total_cpu(trials: pd.DataFrame) -> pd.DataFrame:
    """Adds the CPU of services and broker as TOTAL_CPU; unknown where a broker's part was not measured."""
    known = {name: find_traits(str(name)) for name in trials["transport"].unique()}
    chains = [name for name, traits in known.items() if traits is not None and not traits.needs]
    broker = trials["cpu_us_per_order_broker"]
    broker = broker.mask(broker.isna() & trials["transport"].isin(chains), 0.0)
    return trials.assign(**{TOTAL_CPU: trials["cpu_us_per_order_services"] + broker})


def _drop_second_arms(points: Iterable[Measurement]) -> Iterator[Measurement]:
    """Yields the points without the second arm of an A/A run, which repeats the first."""
    seen = set()
    for point in points:
        key = (point.method, point.codec, point.place)
        if key not in seen:
            seen.add(key)
            yield point


def _read_capacities(name: str, run: RunFolder, trials: pd.DataFrame) -> Iterator[CapacityEvidence]:
    """Yields finished searches in which all that a question cannot name is plain. Raises ResultsError for no number."""
    profile = run.manifest.get("profile", {})
    resolved, keys = {**profile.get("extra", {}), **profile}, settings_by_column()
    beside = {keys[column].key: value for column, value in plain_levels().items() if column != "compression"}
    if any(resolved.get(key, value) not in (value, None) for key, value in beside.items()):
        return
    if profile.get("arrivals", "poisson") != "poisson":
        return
    found = zip(trials["cell"], trials["compression"], strict=True)
    compressions = {cell.partition("@")[0]: compression for cell, compression in found}
    for number, row in enumerate(run.capacities().to_dict("records"), 2):
        compression = compressions.get(row["cell"], plain_levels()["compression"])
        if row["answer"] != "capacity" or compression != plain_levels()["compression"]:
            continue
        try:
            yield CapacityEvidence(
                run=name,
                cell=row["cell"],
                method=parse_method(row["cell"], row["transport"], row["codec"], compression),
                codec=row["codec"],
                place=Conditions(
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


def _read_outages(name: str, run: RunFolder, trials: pd.DataFrame) -> Iterator[OutageEvidence]:
    """Yields the trials of each fault and cell; rate steps are no faults."""
    rows = run.outages()
    of_cell = {row["cell"]: row for row in trials.drop_duplicates("cell").to_dict("records")}
    for (fault, cell), found in rows[(rows["fault"] != "step") & rows["valid"]].groupby(["fault", "cell"], sort=False):
        like = of_cell[cell]
        yield OutageEvidence(
            run=name,
            cell=str(cell),
            method=parse_method(str(cell), like["transport"], like["codec"], like["compression"]),
            fault=str(fault),
            durability=str(like["durability"]),
            trials=found,
        )

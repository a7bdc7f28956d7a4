"""Compares two runs: differing settings and environment, then the ratios of B to A.

Trials of two runs share neither rounds nor time of day, so ratios are unpaired and their intervals wide. Cells that
cannot be compared are refused, with the reason.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from bench.errors import UsageError
from bench.results.analysis import matching_columns
from bench.results.measures import columns_used_in
from bench.results.store import RunFolder
from bench.stats.intervals import Estimate, estimate_median
from bench.stats.summary import is_cell_valid
from bench.stats.unpaired import unpaired_ratio

OLDEST_COMPARABLE_SCHEMA = 4
"""From this schema on, the columns that are compared here mean the same; docs/results-format.md says what changed."""
ENVIRONMENT_KEYS = ("machine", "python", "interpreters", "versions", "brokers", "git")
"""Keys of a manifest."""
VARYING_KEYS = ("machine.load_1m", "machine.fsync_us", ".object_code_ns")
"""Ends of what is measured anew in each run of machine and interpreters: it differs always and makes no other
machine."""
BROKER_AGE_KEYS = frozenset({"released", "newest_known", "how_old_days"})
"""Of a broker, what follows from its version and from the day on which somebody looked for newer ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A setting or a part of the environment that differs between the runs; "" where a run does not have it."""

    what: str
    a: str
    b: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CellComparison:
    """The comparison of one cell that both runs have."""

    cell: str
    orders: tuple[Mapping[str, int], Mapping[str, int]]
    """Of A and of B, summed over all their trials, the invalid ones too."""
    trials: tuple[int, int]
    """The valid ones."""
    metrics: Mapping[str, tuple[Estimate, Estimate, Estimate]]
    """A's median, B's, and the ratio of B to A."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunComparison:
    """The comparison of two runs."""

    a: str
    b: str
    environment: tuple[Difference, ...]
    settings: tuple[Difference, ...]
    cells: tuple[CellComparison, ...]
    caveats: tuple[str, ...]
    """What keeps a difference from being the doing of what was changed."""
    left_out: Mapping[str, str]
    """By cell of either run that is not compared, why."""


def compare_runs(a: RunFolder, b: RunFolder) -> RunComparison:
    """Compare every cell that both runs have under the same name and with the same settings.

    Raises UsageError when there is none, when the runs differ in durability or schema, or are the same run;
    ResultsError when one cannot be read.
    """
    _require_comparable(a, b)
    trials = a.trials(), b.trials()
    cells, left_out = [], {}
    names = dict.fromkeys([*trials[0]["cell"], *trials[1]["cell"]])
    for cell in names:
        ours, theirs = (rows[rows["cell"] == cell] for rows in trials)
        if why := _find_mismatch(ours, theirs):
            left_out[cell] = why
        else:
            cells.append(_compare_cell(cell, ours, theirs))
    if not cells:
        why = "; ".join(group_by_reason(left_out, 3)) or "neither has a trial"
        raise UsageError(
            f"the runs have no cell in common that could be compared ({why}); measure the same methods at the same "
            "settings in both",
            code="nothing-in-common",
        )
    environment = tuple(_find_differences(a.manifest, b.manifest, ENVIRONMENT_KEYS))
    return RunComparison(
        a=str(a.manifest["run_id"]),
        b=str(b.manifest["run_id"]),
        environment=environment,
        settings=tuple(_find_differences(a.manifest, b.manifest, ("profile", "facts"))),
        cells=tuple(cells),
        caveats=tuple(_find_caveats(a, b, environment)),
        left_out=left_out,
    )


def group_by_reason(left_out: Mapping[str, str], most: int | None = None) -> Iterator[str]:
    """Yield each reason once, with its cells; with ``most``, that many cells and the number of further ones."""
    for why in dict.fromkeys(left_out.values()):
        cells = [cell for cell, reason in left_out.items() if reason == why]
        more = f" and {len(cells) - most} more" if most is not None and len(cells) > most else ""
        yield f"{why}: {', '.join(cells[:most])}{more}"


def _require_comparable(a: RunFolder, b: RunFolder) -> None:
    if a.path.resolve() == b.path.resolve():
        raise UsageError(f"A and B are both {a.path}; give two runs", code="same-run")
    schemas = [int(run.manifest["schema_version"]) for run in (a, b)]
    if schemas[0] != schemas[1] and min(schemas) < OLDEST_COMPARABLE_SCHEMA:
        raise UsageError(
            f"{a.path} is of schema {schemas[0]} and {b.path} of schema {schemas[1]}, where one column means two "
            "things; measure one of them again",
            code="schemas-differ",
        )
    classes = [str(run.manifest.get("profile", {}).get("durability")) for run in (a, b)]
    if classes[0] != classes[1]:
        raise UsageError(
            f"{a.path} is of durability {classes[0]} and {b.path} of {classes[1]}, which promise different things and "
            "are not compared; measure both with the same DURABILITY=",
            code="durabilities-differ",
        )


def _find_mismatch(ours: pd.DataFrame, theirs: pd.DataFrame) -> str:
    for name, rows in (("A", ours), ("B", theirs)):
        if rows.empty:
            return f"not in {name}"
    for column in matching_columns():
        if column not in ours or column not in theirs:
            continue
        levels = [sorted(map(str, rows[column].unique())) for rows in (ours, theirs)]
        if levels[0] != levels[1]:
            return f"{column} is {', '.join(levels[0])} in A and {', '.join(levels[1])} in B"
    for name, rows in (("A", ours), ("B", theirs)):
        if not is_cell_valid(rows):
            return f"INVALID in {name}, {int(rows['valid'].sum())} of {len(rows)} trials are valid"
    return ""


def _compare_cell(cell: str, ours: pd.DataFrame, theirs: pd.DataFrame) -> CellComparison:
    valid = [rows[rows["valid"]] for rows in (ours, theirs)]
    metrics = {}
    for metric in columns_used_in("compare"):
        a, b = (list(rows[metric].dropna()) if metric in rows else [] for rows in valid)
        if a or b:
            metrics[metric] = (estimate_median(a), estimate_median(b), unpaired_ratio(b, a))
    ours_orders, theirs_orders = (
        {name: int(rows[name].sum()) for name in columns_used_in("orders")} for rows in (ours, theirs)
    )
    return CellComparison(
        cell=cell,
        orders=(ours_orders, theirs_orders),
        trials=(len(valid[0]), len(valid[1])),
        metrics=metrics,
    )


def _find_differences(a: Mapping[str, Any], b: Mapping[str, Any], keys: Sequence[str]) -> Iterator[Difference]:
    for key in keys:
        ours, theirs = (dict(_flatten(manifest.get(key) or {}, key)) for manifest in (a, b))
        for what in dict.fromkeys([*ours, *theirs]):
            if ours.get(what) != theirs.get(what):
                yield Difference(what=what.removeprefix("profile."), a=ours.get(what, ""), b=theirs.get(what, ""))


def _flatten(tree: Any, path: str) -> Iterator[tuple[str, str]]:
    """Every value of nested tables by its dotted path, as text; what a run's cells are is seen in the cells."""
    if isinstance(tree, Mapping):
        for key, value in tree.items():
            if (path, key) != ("profile", "designed") and not (path.startswith("brokers.") and key in BROKER_AGE_KEYS):
                yield from _flatten(value, f"{path}.{key}")
    elif isinstance(tree, list):
        yield path, ", ".join(map(str, tree))
    else:
        yield path, f"{tree:g}" if isinstance(tree, float) else str(tree)


def _find_caveats(a: RunFolder, b: RunFolder, environment: Sequence[Difference]) -> Iterator[str]:
    changed = [change.what for change in environment if not change.what.endswith(VARYING_KEYS)]
    machine = [what.removeprefix("machine.") for what in changed if what.startswith("machine.")]
    rebuilt = [change.what for change in environment if change.a and change.b and change.what in changed]
    if any(what.startswith("python.") for what in changed) or any(what.startswith("interpreters.") for what in rebuilt):
        machine.append("build of Python")  # another build turns round which method is faster, as another machine may
    if machine:
        yield (
            f"The runs are of different machines, or of one that was changed ({', '.join(machine)}): a difference may "
            "be the machine's."
        )
    speeds = [run.manifest.get("speed_probe_us") for run in (a, b)]
    if all(isinstance(speed, int | float) and speed for speed in speeds):
        factor = float(speeds[1]) / float(speeds[0])  # type: ignore[arg-type]
        yield f"A fixed piece of work took {factor:.2f} times as long in B as in A, at the machine's best in each."
    if any(run.manifest.get("git", {}).get("dirty") for run in (a, b)):
        yield "A working tree differed from its commit, so the measurement cannot be repeated exactly."

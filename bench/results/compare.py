"""Compares two runs: what differs in them, and each cell's figures beside a reference that both have.

Cells that cannot be compared are refused, with the reason.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pandas as pd

from bench.errors import UsageError
from bench.results.analysis import matching_columns
from bench.results.differences import ENVIRONMENT_KEYS, SETTING_KEYS, Difference, find_caveats, find_differences
from bench.results.figures import (
    Claims,
    Figure,
    Reference,
    RunMeasures,
    build_figures,
    choose_reference,
    count_claims,
    describe_reference,
)
from bench.results.measures import columns_used_in, label_column
from bench.results.store import RunFolder
from bench.stats.intervals import Estimate
from bench.stats.summary import YARDSTICK, is_cell_valid

OLDEST_COMPARABLE_SCHEMA = 4
"""From this schema on, the columns that are compared here mean the same; docs/results-format.md says what changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CellComparison:
    """The comparison of one cell that both runs have."""

    cell: str
    orders: tuple[Mapping[str, int], Mapping[str, int]]
    """Of A and of B, summed over all their trials, the invalid ones too."""
    trials: tuple[int, int]
    """The valid ones."""
    metrics: Mapping[str, Figure]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunComparison:
    """The comparison of two runs."""

    a: str
    b: str
    headline: str
    """What moved in all cells together, or that nobody can tell."""
    reference: Reference | None
    claims: Claims
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
    runs = RunMeasures.read(a), RunMeasures.read(b)
    trials = runs[0].trials, runs[1].trials
    names = dict.fromkeys([*trials[0]["cell"], *trials[1]["cell"]])
    rows = {cell: (trials[0][trials[0]["cell"] == cell], trials[1][trials[1]["cell"] == cell]) for cell in names}
    left_out = {cell: why for cell, (ours, theirs) in rows.items() if (why := _find_mismatch(ours, theirs))}
    common = [cell for cell in names if cell not in left_out]
    if not common:
        why = "; ".join(group_by_reason(left_out, 3)) or "neither has a trial"
        raise UsageError(
            f"the runs have no cell in common that could be compared ({why}); measure the same methods at the same "
            "settings in both",
            code="nothing-in-common",
        )
    chosen = choose_reference({cell: str(rows[cell][0]["transport"].iloc[0]) for cell in common})
    figures = build_figures(*runs, common, chosen)
    reference, claims = None if chosen is None else describe_reference(chosen, figures), count_claims(figures)
    environment = tuple(find_differences(a.manifest, b.manifest, ENVIRONMENT_KEYS))
    return RunComparison(
        a=str(a.manifest["run_id"]),
        b=str(b.manifest["run_id"]),
        headline=_describe_move(reference, claims),
        reference=reference,
        claims=claims,
        environment=environment,
        settings=tuple(find_differences(a.manifest, b.manifest, SETTING_KEYS)),
        cells=tuple(_describe_cell(cell, *rows[cell], figures[cell]) for cell in common),
        caveats=tuple(find_caveats(a.manifest, b.manifest, environment)),
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


def _describe_cell(
    cell: str, ours: pd.DataFrame, theirs: pd.DataFrame, figures: Mapping[str, Figure]
) -> CellComparison:
    ours_orders, theirs_orders = (
        {name: int(rows[name].sum()) for name in columns_used_in("orders")} for rows in (ours, theirs)
    )
    return CellComparison(
        cell=cell,
        orders=(ours_orders, theirs_orders),
        trials=(int(ours["valid"].sum()), int(theirs["valid"].sum())),
        metrics=figures,
    )


def _describe_move(reference: Reference | None, claims: Claims) -> str:
    if reference is None:
        return (
            "The runs have one cell in common and nothing beside it, so its times hold the hour of each run: a "
            "difference may be the machine's, and none has a star."
        )
    name = reference.cell if reference.is_yardstick else f"{reference.cell} (not both have the yardstick {YARDSTICK})"
    if not reference.moved:
        return f"No move of the machine is shown by {name}."
    together = {metric: one for metric, one in reference.moved.items() if metric not in reference.alone}
    if not together:
        why = "" if reference.is_yardstick else ", so it may be what changed"
        return f"{name} moved by itself: {_list_moves(reference.moved)}. Most others did not follow{why}."
    but = "; what moved otherwise has a star" if claims.stars else ""
    return f"Everything moved together: the machine, not the method{but}. By {name}, B to A: {_list_moves(together)}."


def _list_moves(moved: Mapping[str, Estimate]) -> str:
    return ", ".join(
        f"{label_column(metric).heading} {one.value:.2f} ({one.low:.2f} to {one.high:.2f})"
        for metric, one in moved.items()
    )

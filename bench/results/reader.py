"""Reads the results of a run, in the folder results/RUN, also while it is being written.

A run of an older schema is read with the names of today. docs/results-format.md is the contract.
"""

import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import msgspec
import pandas as pd
from hdrh.histogram import HdrHistogram

from bench.errors import ResultsError
from bench.results import histograms as hlog
from bench.results.analysis import compute_design_effects, summary_columns
from bench.results.banks import describe_bank, read_priors
from bench.results.durable_files import explain_os_errors, format_csv_line
from bench.results.measures import columns_used_in
from bench.results.migrate import add_late_columns, migrate_header, migrate_manifest, migrate_trials
from bench.results.older_ground import add_ground_doubt
from bench.results.recover import column_types, split_valid_rows
from bench.results.rows import CapacityRow, ColdStartRow, HopRow, OutageRow, SliceRow, TimelineBin, trial_columns
from bench.results.set_tables import SETS_PLAN_NAME, SetStatistics
from bench.stats.aa import summarise_aa
from bench.stats.outages import summarise_outages
from bench.stats.sets import MIN_SETS
from bench.stats.summary import summarise_trials, to_json_number
from transports.security import CIPHER_SUITE, NONE

SCHEMA_VERSION = 6
"""docs/results-format.md says what each of them changed."""
PROBE_COLUMNS = ("kind", "per_s", "outcome")
"""Before a trial's own columns in search.csv."""
REQUIRED_COLUMNS = ("round", "slot", "cell", "transport", "client", "codec", "planned", "valid", "finish_p50_us")
HOP_COLUMNS = {"round": int, "slot": int, "cell": str, **column_types(HopRow)}


class RunReader:
    """Reads the folder results/RUN of one run; any number of readers may."""

    def __init__(self, path: Path, manifest: dict[str, Any]) -> None:
        """Use ``open``."""
        self.path = path
        self.manifest: Mapping[str, Any] = manifest
        self.damage: dict[str, str] | None = None
        """By file and row what could not be read; None where that is an error."""
        self._effects: tuple[tuple[int, int], pd.DataFrame] | None = None
        """Of so many trials and cold starts: those of a large design take seconds."""
        self._set_statistics: SetStatistics | None = None

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open a run for reading. Raises ResultsError when it is missing, damaged or of a newer schema."""
        with explain_os_errors(path):
            content = (path / "manifest.json").read_bytes()
        try:
            manifest = msgspec.json.decode(content, type=dict[str, Any])
            version = int(manifest["schema_version"])
        except (msgspec.DecodeError, KeyError, TypeError, ValueError) as error:
            raise ResultsError(
                f"{path}/manifest.json is damaged: {error}; measure again", code="damaged-results"
            ) from error
        if version > SCHEMA_VERSION:
            raise ResultsError(
                f"{path} was written by a newer Fourways (schema {version}, this one reads up to {SCHEMA_VERSION}); "
                "use that version to read it",
                code="newer-schema",
            )
        return cls(path, add_ground_doubt(manifest if version == SCHEMA_VERSION else migrate_manifest(manifest)))

    @classmethod
    def open_damaged(cls, path: Path) -> Self:
        """Open a run to show what can be read of it: damaged rows are skipped and recorded in ``damage``.

        Raises ResultsError as ``open`` does.
        """
        run = cls.open(path)
        run.damage = {}
        return run

    def trials(self) -> pd.DataFrame:
        """Return trials.csv, a row for each trial: cells in the profile's order, rounds ascending.

        An incomplete last line is skipped. Raises ResultsError when the file is damaged.
        """
        path = self.path / "trials.csv"
        columns = trial_columns()
        lines = self._lines("trials.csv", columns)
        try:
            trials = pd.read_csv(
                io.StringIO(lines),
                dtype={name: kind for name, kind in columns.items() if kind is not bool},
                true_values=["true"],
                false_values=["false"],
                keep_default_na=False,
                na_values={name: [""] for name, kind in columns.items() if kind is float},
            )
            trials[[*REQUIRED_COLUMNS]]  # every schema has them
            if self.manifest["schema_version"] == 1:
                trials["complete"] = trials["valid"]
            trials = trials.astype({"complete": bool, "valid": bool})
            if not self._is_current:
                trials = migrate_trials(trials)
            trials = add_late_columns(trials)
        except (ValueError, KeyError) as error:
            raise ResultsError(
                f"{path} is damaged: {' '.join(str(error).split())}; measure again", code="damaged-results"
            ) from error
        return self._sort_by_cell(trials)

    def slices(self) -> pd.DataFrame:
        """Return slices.csv for cells of sets that have a row, with their ``valid``; empty without any.

        Raises ResultsError.
        """
        return self._read_trial_table("slices.csv", SliceRow)

    def outages(self) -> pd.DataFrame:
        """Return outages.csv for trials that have a row, with their ``valid``; empty without any.

        Raises ResultsError.
        """
        return self._read_trial_table("outages.csv", OutageRow)

    def timeline(self) -> pd.DataFrame:
        """Return timeline.csv for trials that have a row, with their ``valid``; empty without any.

        Raises ResultsError.
        """
        return self._read_trial_table("timeline.csv", TimelineBin)

    def cold_starts(self) -> pd.DataFrame:
        """Return cold.csv with a column ``valid``: whether the row has the cipher with which all are compared.

        Cells are in the profile's order, rounds ascending. Raises ResultsError.
        """
        types = column_types(ColdStartRow)
        found = self._read_table("cold.csv", types).reindex(columns=list(types), fill_value="")
        numbers = {name: pd.to_numeric(found[name]) for name, kind in types.items() if kind is not str}
        found = found.assign(**numbers).dropna(subset=["cold_us", "warm_us"])
        suites = found["security"].map(lambda level: "" if level == NONE else CIPHER_SUITE)
        return self._sort_by_cell(found.assign(valid=found["negotiated_cipher"] == suites))

    def hops(self) -> pd.DataFrame:
        """Return hops.csv, a row for each trial and hop, for trials that have a row; empty without any.

        Raises ResultsError.
        """
        text = self._read_table("hops.csv", HOP_COLUMNS).reindex(columns=list(HOP_COLUMNS), fill_value="")
        numbers = {name: pd.to_numeric(text[name]) for name, kind in HOP_COLUMNS.items() if kind is not str}
        found = text.assign(**numbers).drop_duplicates(["round", "slot", "cell", "number"], keep="last")
        known = set(trial_keys(self.trials()))
        has_row = pd.Series([key in known for key in trial_keys(found)], index=found.index, dtype=bool)
        return self._sort_by_cell(found[has_row])

    def histograms(self, *series: str) -> Iterator[tuple[str, str, HdrHistogram]]:
        """Yield trial, series and histogram of every trial so far, of all series or of these. Raises ResultsError."""
        path = self.path / "histograms.hlog"

        def damaged(line: int) -> None:
            if self.damage is None:
                raise ResultsError(
                    f"{path} is damaged in line {line}, which holds no histogram; measure again", code="damaged-results"
                )
            self.damage[f"{path.name}, line {line}"] = "it holds no histogram"

        with explain_os_errors(self.path):
            yield from hlog.read_histograms(path, series, damaged)

    def read_probes(self, cell: str) -> list[tuple[float, Any, Any]]:
        """Return rate, kind and outcome of every trial in a cell's search, in order. Raises ResultsError."""
        probes = self._read_table("search.csv", search_columns())
        mine = probes[probes["cell"] == cell]
        return [
            (float(per_s), kind, outcome) for kind, per_s, outcome in mine[list(PROBE_COLUMNS)].itertuples(index=False)
        ]

    def capacities(self) -> pd.DataFrame:
        """Return capacity.csv: the results of the capacity searches so far. Raises ResultsError."""
        return self._read_table("capacity.csv", column_types(CapacityRow))

    def effects(self) -> pd.DataFrame:
        """Return the effects of each factor of the design, from the trials so far, as effects.csv holds them.

        Raises ResultsError.
        """
        trials, cold = self.trials(), self.cold_starts()
        count = len(trials), len(cold)
        if self._effects is None or self._effects[0] != count:
            both = [compute_design_effects(rows) for rows in (trials, cold) if len(rows)]
            self._effects = count, pd.concat(both, ignore_index=True) if both else compute_design_effects(trials)
        return self._effects[1]

    @property
    def has_arms(self) -> bool:
        """Whether it is an A/A run: every method measured against itself."""
        return bool(self.manifest.get("profile", {}).get("arms") == 2)

    def aa(self) -> pd.DataFrame:
        """Return what an A/A run shows, from the trials so far, as aa.csv holds it. Raises ResultsError."""
        return summarise_aa(self.trials(), columns_used_in("summary"))

    @property
    def has_sets(self) -> bool:
        """Whether the run is played in sets of slices."""
        return bool(self.manifest.get("plan") == SETS_PLAN_NAME)

    def set_statistics(self) -> SetStatistics | None:
        """Return the estimates of a run in sets, from the trials so far; None for whole trials. Raises ResultsError."""
        if not self.has_sets:
            return None
        trials = self.trials()
        if self._set_statistics is None or len(self._set_statistics.trials) != len(trials):
            priors = read_priors(self.manifest)
            self._set_statistics = SetStatistics(trials, self.slices(), self.histograms, priors)
        return self._set_statistics

    def summary(self) -> dict[str, Any]:
        """Return the content of summary.json. Raises ResultsError."""
        statistics = self.set_statistics()
        return {
            "schema_version": SCHEMA_VERSION,
            "run_id": self.manifest["run_id"],
            **summarise_trials(self.trials(), summary_columns(), statistics),
            **({} if statistics is None else {"intervals": self._describe_intervals(statistics)}),
            **(self._effects_summary() if self._has_design else {}),
            **self._outages(),
        }

    def _describe_intervals(self, statistics: SetStatistics) -> str:
        clause = describe_bank(self.manifest)
        link = " and " if self.manifest.get("bank") else "; "
        if len(statistics.sets) >= MIN_SETS:
            return (
                f"Ratios are means over {len(statistics.sets)} sets with Student's t: the scatter within sets is each "
                f"pair's own, and that between sets is pooled over the cells of the run{link}{clause}"
            )
        if self.manifest.get("bank"):
            return (
                f"Until {MIN_SETS} sets are done the scatter between sets is not the run's own: it is that of a bank, "
                f"{clause.removeprefix('moderated by ')}"
            )
        return f"Ratios have an interval from {MIN_SETS} sets on, or with a bank of A/A sets"

    @property
    def _is_current(self) -> bool:
        return bool(self.manifest["schema_version"] == SCHEMA_VERSION)

    @property
    def _has_design(self) -> bool:
        return bool(self.manifest.get("profile", {}).get("designed"))

    def _effects_summary(self) -> dict[str, Any]:
        found = self.effects()
        rows = found.astype(object).where(found.notna(), None).to_dict("records")
        return {"effects": [{key: to_json_number(value) for key, value in row.items()} for row in rows]}

    def _outages(self) -> dict[str, Any]:
        found = self.outages()
        return {"outages": summarise_outages(found)} if len(found) else {}

    def _read_trial_table(self, name: str, kind: type[msgspec.Struct]) -> pd.DataFrame:
        # Those of older runs have fewer columns.
        columns = list(kind.__struct_fields__)
        found = self._read_table(name, column_types(kind)).reindex(columns=columns, fill_value="")
        trials = self.trials()
        valid = dict(zip(trial_keys(trials), trials["valid"], strict=True))
        found = found[pd.Series([key in valid for key in trial_keys(found)], index=found.index, dtype=bool)]
        found = found.assign(valid=[valid[key] for key in trial_keys(found)])
        numbers = [field.name for field in msgspec.structs.fields(kind) if field.type is not str]
        return self._sort_by_cell(found.assign(**{name: pd.to_numeric(found[name]) for name in numbers}))

    def _read_table(self, name: str, columns: Mapping[str, type]) -> pd.DataFrame:
        """All cells as text; empty when there is no such file, without a half-written last line.

        Raises ResultsError when it is damaged.
        """
        lines = self._lines(name, columns) if (self.path / name).exists() else ""
        return pd.read_csv(io.StringIO(lines or format_csv_line(list(columns))), dtype=str, keep_default_na=False)

    def _lines(self, name: str, columns: Mapping[str, type]) -> str:
        """A table's text without a half-written last line; of a run to salvage, without damaged ones either."""
        path = self.path / name
        with explain_os_errors(self.path):
            content = path.read_text("utf-8", errors="replace")
        content = content[: content.rfind("\n") + 1]
        lines, wrong = split_valid_rows(content if self._is_current else migrate_header(name, content), columns)
        if self.damage is None and wrong:
            row, why = next(iter(wrong.items()))
            raise ResultsError(f"{path} is damaged in row {row}: {why}; measure again", code="damaged-results")
        if self.damage is not None:
            self.damage |= {f"{name}, row {row}": why for row, why in wrong.items()}
        return lines

    def _sort_by_cell(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Cells as the profile has them, else as they were."""
        known = (*self.manifest.get("cells", ()), *self.manifest.get("curve", ()))
        rank = {cell["name"]: number for number, cell in enumerate(known)}
        place = rows["cell"].map(lambda name: rank.get(name, len(rank)))
        return rows.iloc[place.argsort(kind="stable")].reset_index(drop=True)


def trial_keys(trials: pd.DataFrame) -> list[tuple[str, str, str]]:
    """Return round, slot and cell of each row, as the files have them."""
    return list(zip(trials["round"].astype(str), trials["slot"].astype(str), trials["cell"], strict=True))


def search_columns() -> dict[str, type]:
    """Return the columns of search.csv with their types."""
    return {"kind": str, "per_s": float, "outcome": str, **trial_columns()}

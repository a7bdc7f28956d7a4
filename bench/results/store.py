"""Reads and writes the results of a run, in the folder results/RUN.

Tables are appended while the run goes on, and can be read back at any time. docs/results-format.md is the contract.
"""

import fcntl
import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pandas as pd
from hdrh.histogram import HdrHistogram

from bench.errors import ResultsError
from bench.results import histograms as hlog
from bench.results.caveats import DISQUALIFYING_CAVEATS, NO_COLD_STARTS, Caveat
from bench.results.durable_files import (
    append_csv,
    explain_os_errors,
    format_csv_line,
    format_json,
    keep_lines,
    replace_file,
)
from bench.results.recover import column_types, split_valid_rows
from bench.results.rows import (
    TRIAL_COLUMNS,
    CapacityRow,
    ColdStartRow,
    HopRow,
    OutageRow,
    TimelineBin,
    TrialRow,
    trial_name,
)
from bench.stats.aa import summarise_aa
from bench.stats.effects import compute_effects as effects_of
from bench.stats.outages import summarise_outages
from bench.stats.summary import summarise_trials, to_json_number
from transports.security import CIPHER_SUITE, NONE

SCHEMA_VERSION = 5
"""docs/results-format.md says what each of them changed."""
PROBE_COLUMNS = ("kind", "per_s", "outcome")
"""Before a trial's own columns in search.csv."""
SEARCH_COLUMNS = {"kind": str, "per_s": float, "outcome": str, **TRIAL_COLUMNS}
REQUIRED_COLUMNS = ("round", "slot", "cell", "transport", "client", "codec", "planned", "valid", "finish_p50_us")
HOP_COLUMNS = {"round": int, "slot": int, "cell": str, **column_types(HopRow)}


class RunFolder:
    """The folder results/RUN of one run: one writer, and any number of readers, also while it is being written."""

    def __init__(self, path: Path, manifest: dict[str, Any]) -> None:
        """Use ``create`` or ``open``."""
        self.path = path
        self.manifest: Mapping[str, Any] = manifest
        self.damage: dict[str, str] | None = None
        """By file and row what could not be read; None where that is an error."""
        self._effects: tuple[tuple[int, int], pd.DataFrame] | None = None
        """Of so many trials and cold starts: those of a large design take seconds."""

    @classmethod
    def create(cls, root: Path, run_id: str, manifest: Mapping[str, Any]) -> "RunFolder":
        """Create the folder of a run below ``root``, point ``root/latest`` at it and return it. Raises ResultsError."""
        path = root / run_id
        started_at = datetime.now(UTC).isoformat(timespec="seconds")
        first = {"schema_version": SCHEMA_VERSION, "run_id": run_id, "started_at": started_at, **manifest}
        with explain_os_errors(path):
            root.mkdir(parents=True, exist_ok=True)
            path.mkdir()
            run = cls(path, first)
            run.update_manifest()
            replace_file(path / "trials.csv", format_csv_line(list(TRIAL_COLUMNS)))
            run.update_latest_link()
        return run

    @classmethod
    def open(cls, path: Path) -> "RunFolder":
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
        return cls(path, manifest)

    @classmethod
    def open_damaged(cls, path: Path) -> "RunFolder":
        """Open a run to show what can be read of it: damaged rows are skipped and recorded in ``damage``.

        Raises ResultsError as ``open`` does.
        """
        run = cls.open(path)
        run.damage = {}
        return run

    @classmethod
    def resume(cls, path: Path) -> "RunFolder":
        """Open a run to add trials to it. Raises ResultsError as ``open`` does, and for an older schema."""
        run = cls.open(path)
        if run.manifest["schema_version"] != SCHEMA_VERSION:
            raise ResultsError(
                f"{path} is of schema {run.manifest['schema_version']}, and trials of schema {SCHEMA_VERSION} cannot "
                "join it; measure again",
                code="older-schema",
            )
        return run

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Context manager: lock the run for writing.

        Raises ResultsError when another process has the lock.
        """
        with explain_os_errors(self.path):
            file = (self.path / ".lock").open("w", encoding="utf-8")
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise ResultsError(
                    f"{self.path} is being measured by another process; wait for its end", code="being-measured"
                ) from error
            yield

    def update_latest_link(self) -> None:
        """Point the symbolic link ``latest`` beside the run at it. Raises ResultsError."""
        with explain_os_errors(self.path):
            link = self.path.parent / f".latest-{self.path.name}"
            link.unlink(missing_ok=True)
            link.symlink_to(self.path.name)
            link.replace(self.path.parent / "latest")

    def add_trial(
        self,
        row: TrialRow,
        histograms: Mapping[str, HdrHistogram],
        hops: Sequence[HopRow] = (),
        intervals: Sequence[hlog.PercentileInterval] = (),
    ) -> None:
        """Append a trial; it is on disk when this returns. Its row is written last, so that a row is always complete.

        The text of a caveat goes to the manifest, once, and its name to the row. Raises ResultsError.
        """
        if row.caveats:
            self.add_caveats(row.caveats, trial=row.name)
        opened_s = datetime.now(UTC).timestamp() if row.opened_epoch_ms is None else row.opened_epoch_ms / 1000
        with explain_os_errors(self.path):
            hlog.append_histograms(self.path / "histograms.hlog", row.name, histograms, opened_s, row.duration_s)
            where = (row.round, row.slot, row.cell)
            for name, kind, found in (
                ("hops.csv", HopRow, hops),
                ("percentiles.csv", hlog.PercentileInterval, intervals),
            ):
                if found:
                    columns = ("round", "slot", "cell", *kind.__struct_fields__)
                    append_csv(self.path / name, [[*where, *msgspec.structs.astuple(line)] for line in found], columns)
            append_csv(self.path / "trials.csv", [list(row.row().values())])

    def drop_unmeasured(self) -> list[str]:
        """Remove trials that could not be run, and what a kill left of one without a row, to measure them again.

        Returns a sentence for each of the former that says why. Raises ResultsError.
        """
        trials = self.trials()
        where = _trial_keys(trials)
        failed = trials["caveats"].str.split(";").map(lambda names: "failed" in names) & (trials["planned"] == 0)
        measured = {trial for trial, lost in zip(where, failed, strict=True) if not lost}
        with explain_os_errors(self.path):
            rows = measured | {("round", "slot", "cell")}
            for name in ("hops.csv", "outages.csv", "percentiles.csv", "timeline.csv", "trials.csv"):
                keep_lines(self.path / name, lambda line: tuple(line.split(",", 3)[:3]) in rows)
            names = {None, *(trial_name(*trial) for trial in measured)}
            keep_lines(self.path / "histograms.hlog", lambda line: hlog.parse_trial_name(line) in names)
            names |= {trial_name(*probe) for probe in _trial_keys(self._read_table("search.csv", SEARCH_COLUMNS))}
        caveats = self.manifest.get("caveats", [])
        kept = [entry for entry in caveats if entry["trial"] in names and entry["name"] != NO_COLD_STARTS]
        self.update_manifest(caveats=kept)
        forgotten = {trial_name(*trial) for trial in where} - names
        return [f"{entry['trial']}: {entry['text']}" for entry in caveats if entry["trial"] in forgotten]

    def describe_disqualified(self) -> list[str]:
        """Return the trials with a disqualifying caveat, each as ``round 2 of rest (died)``. Raises ResultsError."""
        return [
            f"round {trial['round']} of {trial['cell']} ({', '.join(why)})"
            for trial in self.trials().to_dict("records")
            if (why := [name for name in trial["caveats"].split(";") if name in DISQUALIFYING_CAVEATS])
        ]

    def add_outage(self, row: OutageRow, stretches: Sequence[TimelineBin] = ()) -> None:
        """Append what a fault did to a trial; call it before ``add_trial``. Raises ResultsError."""
        with explain_os_errors(self.path):
            lines = [msgspec.structs.astuple(stretch) for stretch in stretches]
            append_csv(self.path / "timeline.csv", lines, TimelineBin.__struct_fields__)
            append_csv(self.path / "outages.csv", [msgspec.structs.astuple(row)], OutageRow.__struct_fields__)

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

    def _read_trial_table(self, name: str, kind: type[msgspec.Struct]) -> pd.DataFrame:
        # Those of older runs have fewer columns.
        columns = list(kind.__struct_fields__)
        found = self._read_table(name, column_types(kind)).reindex(columns=columns, fill_value="")
        trials = self.trials()
        valid = dict(zip(_trial_keys(trials), trials["valid"], strict=True))
        found = found[pd.Series([key in valid for key in _trial_keys(found)], index=found.index, dtype=bool)]
        found = found.assign(valid=[valid[key] for key in _trial_keys(found)])
        numbers = [field.name for field in msgspec.structs.fields(kind) if field.type is not str]
        return self._sort_by_cell(found.assign(**{name: pd.to_numeric(found[name]) for name in numbers}))

    def add_cold_start(self, row: ColdStartRow) -> None:
        """Append how long new connections took. Raises ResultsError."""
        with explain_os_errors(self.path):
            append_csv(self.path / "cold.csv", [msgspec.structs.astuple(row)], ColdStartRow.__struct_fields__)

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

    def add_probe(self, row: TrialRow, per_s: float, kind: str, outcome: str) -> None:
        """Append a trial of a capacity search, with the rate's outcome. Raises ResultsError."""
        self.add_caveats(row.caveats, trial=row.name)
        with explain_os_errors(self.path):
            cells = row.row()
            append_csv(self.path / "search.csv", [[kind, per_s, outcome, *cells.values()]], (*PROBE_COLUMNS, *cells))

    def read_probes(self, cell: str) -> list[tuple[float, Any, Any]]:
        """Return rate, kind and outcome of every trial in a cell's search, in order. Raises ResultsError."""
        probes = self._read_table("search.csv", SEARCH_COLUMNS)
        mine = probes[probes["cell"] == cell]
        return [
            (float(per_s), kind, outcome) for kind, per_s, outcome in mine[list(PROBE_COLUMNS)].itertuples(index=False)
        ]

    def add_capacity(self, row: CapacityRow) -> None:
        """Append the result of a capacity search. Raises ResultsError."""
        with explain_os_errors(self.path):
            append_csv(self.path / "capacity.csv", [msgspec.structs.astuple(row)], CapacityRow.__struct_fields__)

    def capacities(self) -> pd.DataFrame:
        """Return capacity.csv: the results of the capacity searches so far. Raises ResultsError."""
        return self._read_table("capacity.csv", column_types(CapacityRow))

    def write_aa(self) -> pd.DataFrame:
        """Write aa.csv from the trials so far, and return its content. Raises ResultsError."""
        found = summarise_aa(self.trials())
        with explain_os_errors(self.path):
            replace_file(self.path / "aa.csv", found.to_csv(index=False))
        return found

    def effects(self) -> pd.DataFrame:
        """Return the effects of each factor of the design, from the trials so far, as effects.csv holds them.

        Raises ResultsError.
        """
        trials, cold = self.trials(), self.cold_starts()
        count = len(trials), len(cold)
        if self._effects is None or self._effects[0] != count:
            both = [effects_of(rows) for rows in (trials, cold) if len(rows)]
            self._effects = count, pd.concat(both, ignore_index=True) if both else effects_of(trials)
        return self._effects[1]

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
        lines, wrong = split_valid_rows(content[: content.rfind("\n") + 1], columns)
        if self.damage is None and wrong:
            row, why = next(iter(wrong.items()))
            raise ResultsError(f"{path} is damaged in row {row}: {why}; measure again", code="damaged-results")
        if self.damage is not None:
            self.damage |= {f"{name}, row {row}": why for row, why in wrong.items()}
        return lines

    def add_caveats(self, caveats: tuple[Caveat, ...], trial: str | None = None) -> None:
        """Record caveats about the run, or about one trial of it, in the manifest. Raises ResultsError."""
        kept = list(self.manifest.get("caveats", []))
        for caveat in caveats:
            entry = {**msgspec.to_builtins(caveat), "trial": trial}
            if entry not in kept:
                kept.append(entry)
        self.update_manifest(caveats=kept)

    def update_manifest(self, **changes: Any) -> None:
        """Replace these keys of the manifest atomically. Raises ResultsError."""
        manifest = {**self.manifest, **msgspec.to_builtins(changes)}
        with explain_os_errors(self.path):
            replace_file(self.path / "manifest.json", format_json(manifest))
        self.manifest = manifest

    def trials(self) -> pd.DataFrame:
        """Return trials.csv, a row for each trial: cells in the profile's order, rounds ascending.

        An incomplete last line is skipped. Raises ResultsError when the file is damaged.
        """
        path = self.path / "trials.csv"
        lines = self._lines("trials.csv", TRIAL_COLUMNS)
        try:
            trials = pd.read_csv(
                io.StringIO(lines),
                dtype={name: kind for name, kind in TRIAL_COLUMNS.items() if kind is not bool},
                true_values=["true"],
                false_values=["false"],
                keep_default_na=False,
                na_values={name: [""] for name, kind in TRIAL_COLUMNS.items() if kind is float},
            )
            trials[[*REQUIRED_COLUMNS]]  # every schema has them
            if self.manifest["schema_version"] == 1:
                trials["complete"] = trials["valid"]
            trials = trials.astype({"complete": bool, "valid": bool})
        except (ValueError, KeyError) as error:
            raise ResultsError(
                f"{path} is damaged: {' '.join(str(error).split())}; measure again", code="damaged-results"
            ) from error
        return self._sort_by_cell(trials)

    def _sort_by_cell(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Cells as the profile has them, else as they were."""
        known = (*self.manifest.get("cells", ()), *self.manifest.get("curve", ()))
        rank = {cell["name"]: number for number, cell in enumerate(known)}
        place = rows["cell"].map(lambda name: rank.get(name, len(rank)))
        return rows.iloc[place.argsort(kind="stable")].reset_index(drop=True)

    def hops(self) -> pd.DataFrame:
        """Return hops.csv, a row for each trial and hop, for trials that have a row; empty without any.

        Raises ResultsError.
        """
        text = self._read_table("hops.csv", HOP_COLUMNS)
        found = text.astype({name: kind for name, kind in HOP_COLUMNS.items() if kind is not str}).drop_duplicates(
            ["round", "slot", "cell", "number"], keep="last"
        )
        known = set(_trial_keys(self.trials()))
        has_row = pd.Series([key in known for key in _trial_keys(found)], index=found.index, dtype=bool)
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

    def summary(self) -> dict[str, Any]:
        """Return the content of summary.json. Raises ResultsError."""
        return {
            "schema_version": SCHEMA_VERSION,
            "run_id": self.manifest["run_id"],
            **summarise_trials(self.trials()),
            **(self._effects_summary() if self._has_design else {}),
            **self._outages(),
        }

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

    def write_summary(self) -> None:
        """Write summary.json: medians over trials with their intervals, and ratios to REST.

        Of a factorial design it writes effects.csv as well. Raises ResultsError.
        """
        with explain_os_errors(self.path):
            if self._has_design:
                replace_file(self.path / "effects.csv", self.effects().to_csv(index=False))
            replace_file(self.path / "summary.json", format_json(self.summary()))


def _trial_keys(trials: pd.DataFrame) -> list[tuple[str, str, str]]:
    """Round, slot and cell, as the files have them."""
    return list(zip(trials["round"].astype(str), trials["slot"].astype(str), trials["cell"], strict=True))

"""Writes the results of a run to the folder results/RUN, and reads them back.

Tables are appended while the run goes on, and can be read back at any time. docs/results-format.md is the contract.
"""

import fcntl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from hdrh.histogram import HdrHistogram

from bench.errors import ResultsError
from bench.results import histograms as hlog
from bench.results.caveats import DISQUALIFYING_CAVEATS, NO_COLD_STARTS, SET_CUT, Caveat
from bench.results.durable_files import (
    append_csv,
    explain_os_errors,
    format_csv_line,
    format_json,
    keep_lines,
    replace_file,
)
from bench.results.reader import PROBE_COLUMNS, SCHEMA_VERSION, RunReader, search_columns, trial_keys
from bench.results.repeats import name_repeat
from bench.results.rows import (
    CapacityRow,
    ColdStartRow,
    HopRow,
    OutageRow,
    SliceRow,
    TimelineBin,
    TrialRow,
    trial_columns,
    trial_name,
)


class RunFolder(RunReader):
    """The folder results/RUN of one run: one writer, and any number of readers, also while it is being written."""

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
            replace_file(path / "trials.csv", format_csv_line(list(trial_columns())))
            run.update_latest_link()
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
        opened_ms, duration_s = row.measures.get("opened_epoch_ms"), row.measures["duration_s"]
        opened_s = datetime.now(UTC).timestamp() if opened_ms is None else opened_ms / 1000
        with explain_os_errors(self.path):
            hlog.append_histograms(self.path / "histograms.hlog", row.name, histograms, opened_s, duration_s)
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
        where = trial_keys(trials)
        failed = trials["caveats"].str.split(";").map(lambda names: "failed" in names) & (trials["planned"] == 0)
        measured = {trial for trial, lost in zip(where, failed, strict=True) if not lost}
        if self.manifest.get("profile", {}).get("slice_s"):
            measured = self._keep_whole_sets(measured)
        with explain_os_errors(self.path):
            rows = measured | {("round", "slot", "cell")}
            for name in ("hops.csv", "outages.csv", "percentiles.csv", "slices.csv", "timeline.csv", "trials.csv"):
                keep_lines(self.path / name, lambda line: tuple(line.split(",", 3)[:3]) in rows)
            names = {None, *(trial_name(*trial) for trial in measured)}
            keep_lines(self.path / "histograms.hlog", lambda line: hlog.parse_trial_name(line) in names)
            names |= {trial_name(*probe) for probe in trial_keys(self._read_table("search.csv", search_columns()))}
        caveats = self.manifest.get("caveats", [])
        kept = [
            entry for entry in caveats if entry["trial"] in names and entry["name"] not in (NO_COLD_STARTS, SET_CUT)
        ]
        self.update_manifest(caveats=kept)
        forgotten = {trial_name(*trial) for trial in where} - names
        return [f"{entry['trial']}: {entry['text']}" for entry in caveats if entry["trial"] in forgotten]

    def _keep_whole_sets(self, measured: set[tuple[str, str, str]]) -> set[tuple[str, str, str]]:
        """Those of sets in which every cell was measured: a cell that is measured later is paired with no other."""
        cells = {cell["name"] for cell in self.manifest["cells"]}
        rounds = {round_ for round_, _, _ in measured}
        whole = {one for one in rounds if cells <= {cell for round_, _, cell in measured if round_ == one}}
        return {trial for trial in measured if trial[0] in whole}

    def describe_disqualified(self) -> list[str]:
        """Return the trials with a disqualifying caveat, each as ``round 2 of rest (died)``. Raises ResultsError."""
        return [
            f"{name_repeat('round', in_sets=self.has_sets)} {trial['round']} of {trial['cell']} ({', '.join(why)})"
            for trial in self.trials().to_dict("records")
            if (why := [name for name in trial["caveats"].split(";") if name in DISQUALIFYING_CAVEATS])
        ]

    def add_outage(self, row: OutageRow, stretches: Sequence[TimelineBin] = ()) -> None:
        """Append what a fault did to a trial; call it before ``add_trial``. Raises ResultsError."""
        with explain_os_errors(self.path):
            lines = [msgspec.structs.astuple(stretch) for stretch in stretches]
            append_csv(self.path / "timeline.csv", lines, TimelineBin.__struct_fields__)
            append_csv(self.path / "outages.csv", [msgspec.structs.astuple(row)], OutageRow.__struct_fields__)

    def add_slices(self, rows: Sequence[SliceRow]) -> None:
        """Append slices of a set as they end; call it before ``add_trial`` of its cells. Raises ResultsError."""
        with explain_os_errors(self.path):
            append_csv(self.path / "slices.csv", [row.values for row in rows], SliceRow.__struct_fields__)

    def add_cold_start(self, row: ColdStartRow) -> None:
        """Append how long new connections took. Raises ResultsError."""
        with explain_os_errors(self.path):
            append_csv(self.path / "cold.csv", [msgspec.structs.astuple(row)], ColdStartRow.__struct_fields__)

    def add_probe(self, row: TrialRow, per_s: float, kind: str, outcome: str) -> None:
        """Append a trial of a capacity search, with the rate's outcome. Raises ResultsError."""
        self.add_caveats(row.caveats, trial=row.name)
        with explain_os_errors(self.path):
            cells = row.row()
            append_csv(self.path / "search.csv", [[kind, per_s, outcome, *cells.values()]], (*PROBE_COLUMNS, *cells))

    def add_capacity(self, row: CapacityRow) -> None:
        """Append the result of a capacity search. Raises ResultsError."""
        with explain_os_errors(self.path):
            append_csv(self.path / "capacity.csv", [msgspec.structs.astuple(row)], CapacityRow.__struct_fields__)

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

    def write_summary(self) -> None:
        """Write summary.json: medians over trials with their intervals, and ratios to REST.

        Of a factorial design it writes effects.csv as well, of an A/A run aa.csv. Raises ResultsError.
        """
        with explain_os_errors(self.path):
            if self.has_arms:
                replace_file(self.path / "aa.csv", self.aa().to_csv(index=False))
            if self._has_design:
                replace_file(self.path / "effects.csv", self.effects().to_csv(index=False))
            replace_file(self.path / "summary.json", format_json(self.summary()))

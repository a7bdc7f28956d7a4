"""The folder results/RUN: written as the run goes, read back at any time. docs/results-format.md is its contract."""

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
from bench.results.caveats import BROKEN, NO_COLD_STARTS, Caveat
from bench.results.durable_files import append, as_json, csv_line, keep_lines, replace, sentences
from bench.results.recover import kinds, sound
from bench.results.rows import COLUMNS, Capacity, ColdStart, Outage, Step, Stretch, Trial, trial_name
from bench.stats.aa import aa
from bench.stats.effects import effects as effects_of
from bench.stats.outages import summarise_outages
from bench.stats.summary import plain_number, summarise
from transports.security import CIPHER, NONE

SCHEMA_VERSION = 5
"""docs/results-format.md says what each of them changed."""
PROBE = ("kind", "per_s", "outcome")
"""Before a trial's own columns in search.csv."""
SEARCH = {"kind": str, "per_s": float, "outcome": str, **COLUMNS}
NEEDED = ("round", "slot", "cell", "transport", "client", "codec", "planned", "valid", "finish_p50_us")
HOPS = {"round": int, "slot": int, "cell": str, **kinds(Step)}


class Run:
    """A folder results/RUN. One writer; any number of readers, also while it is being written."""

    def __init__(self, path: Path, manifest: dict[str, Any]) -> None:
        """Use ``create`` or ``open``."""
        self.path = path
        self.manifest: Mapping[str, Any] = manifest
        self.damage: dict[str, str] | None = None
        """By file and row what could not be read; None where that is an error."""
        self._effects: tuple[tuple[int, int], pd.DataFrame] | None = None
        """Of so many trials and cold starts: those of a large design take seconds."""

    @classmethod
    def create(cls, root: Path, run_id: str, manifest: Mapping[str, Any]) -> "Run":
        """Begin a run below ``root`` and point ``root/latest`` at it. Raises ResultsError."""
        path = root / run_id
        started_at = datetime.now(UTC).isoformat(timespec="seconds")
        first = {"schema_version": SCHEMA_VERSION, "run_id": run_id, "started_at": started_at, **manifest}
        with sentences(path):
            root.mkdir(parents=True, exist_ok=True)
            path.mkdir()
            run = cls(path, first)
            run.update_manifest()
            replace(path / "trials.csv", csv_line(list(COLUMNS)))
            run.point_latest()
        return run

    @classmethod
    def open(cls, path: Path) -> "Run":
        """Read a run back. Raises ResultsError when it is missing, damaged or of a newer schema."""
        with sentences(path):
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
    def salvage(cls, path: Path) -> "Run":
        """Open a run to show what can be read of it: damaged rows are left out and noted in ``damage``.

        Raises ResultsError as ``open`` does.
        """
        run = cls.open(path)
        run.damage = {}
        return run

    @classmethod
    def resume(cls, path: Path) -> "Run":
        """Open a run to add to it. Raises ResultsError, also for an older schema."""
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
        """While this process adds to the run, no other one may. Raises ResultsError when one is at it."""
        with sentences(self.path):
            file = (self.path / ".lock").open("w")
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise ResultsError(
                    f"{self.path} is being measured by another process; wait for its end", code="being-measured"
                ) from error
            yield

    def point_latest(self) -> None:
        """Let ``latest`` beside it be this run. Raises ResultsError."""
        with sentences(self.path):
            link = self.path.parent / f".latest-{self.path.name}"
            link.unlink(missing_ok=True)
            link.symlink_to(self.path.name)
            link.replace(self.path.parent / "latest")

    def add_trial(
        self,
        row: Trial,
        histograms: Mapping[str, HdrHistogram],
        hops: Sequence[Step] = (),
        intervals: Sequence[hlog.Interval] = (),
    ) -> None:
        """Keep a trial: it is on the disk when this returns. Its row comes last, so that it is never without the rest.

        A caveat's words go to the manifest once, its name into the row. Raises ResultsError.
        """
        if row.caveats:
            self.add_caveats(row.caveats, trial=row.name)
        opened_s = datetime.now(UTC).timestamp() if row.opened_epoch_ms is None else row.opened_epoch_ms / 1000
        with sentences(self.path):
            hlog.append(self.path / "histograms.hlog", row.name, histograms, opened_s, row.duration_s)
            where = (row.round, row.slot, row.cell)
            for name, kind, found in (("hops.csv", Step, hops), ("percentiles.csv", hlog.Interval, intervals)):
                if found:
                    columns = ("round", "slot", "cell", *kind.__struct_fields__)
                    append(self.path / name, [[*where, *msgspec.structs.astuple(line)] for line in found], columns)
            append(self.path / "trials.csv", [list(row.row().values())])

    def forget_unmeasured(self) -> list[str]:
        """Drop the trials that could not be run, and what a kill left of one without a row: they can be measured again.

        Why the former could not, a sentence each. Raises ResultsError.
        """
        trials = self.trials()
        where = _keys(trials)
        failed = trials["caveats"].str.split(";").map(lambda names: "failed" in names) & (trials["planned"] == 0)
        measured = {trial for trial, lost in zip(where, failed, strict=True) if not lost}
        with sentences(self.path):
            rows = measured | {("round", "slot", "cell")}
            for name in ("hops.csv", "outages.csv", "percentiles.csv", "timeline.csv", "trials.csv"):
                keep_lines(self.path / name, lambda line: tuple(line.split(",", 3)[:3]) in rows)
            names = {None, *(trial_name(*trial) for trial in measured)}
            keep_lines(self.path / "histograms.hlog", lambda line: hlog.trial_of(line) in names)
            names |= {trial_name(*probe) for probe in _keys(self._table("search.csv", SEARCH))}
        caveats = self.manifest.get("caveats", [])
        kept = [entry for entry in caveats if entry["trial"] in names and entry["name"] != NO_COLD_STARTS]
        self.update_manifest(caveats=kept)
        forgotten = {trial_name(*trial) for trial in where} - names
        return [f"{entry['trial']}: {entry['text']}" for entry in caveats if entry["trial"] in forgotten]

    def broken(self) -> list[str]:
        """The trials that say nothing of their method, and why, as ``round 2 of rest (died)``. Raises ResultsError."""
        return [
            f"round {trial['round']} of {trial['cell']} ({', '.join(why)})"
            for trial in self.trials().to_dict("records")
            if (why := [name for name in trial["caveats"].split(";") if name in BROKEN])
        ]

    def add_outage(self, row: Outage, stretches: Sequence[Stretch] = ()) -> None:
        """Keep what a fault did to a trial; before the trial's own row. Raises ResultsError."""
        with sentences(self.path):
            lines = [msgspec.structs.astuple(stretch) for stretch in stretches]
            append(self.path / "timeline.csv", lines, Stretch.__struct_fields__)
            append(self.path / "outages.csv", [msgspec.structs.astuple(row)], Outage.__struct_fields__)

    def outages(self) -> pd.DataFrame:
        """outages.csv, of trials that have a row, and whether these are ``valid``; empty without any.

        Raises ResultsError.
        """
        return self._of_trials("outages.csv", Outage)

    def timeline(self) -> pd.DataFrame:
        """timeline.csv in the same way."""
        return self._of_trials("timeline.csv", Stretch)

    def _of_trials(self, name: str, kind: type[msgspec.Struct]) -> pd.DataFrame:
        # Those of older runs have fewer columns.
        columns = list(kind.__struct_fields__)
        found = self._table(name, kinds(kind)).reindex(columns=columns, fill_value="")
        trials = self.trials()
        valid = dict(zip(_keys(trials), trials["valid"], strict=True))
        found = found[pd.Series([key in valid for key in _keys(found)], index=found.index, dtype=bool)]
        found = found.assign(valid=[valid[key] for key in _keys(found)])
        numbers = [field.name for field in msgspec.structs.fields(kind) if field.type is not str]
        return self._in_order(found.assign(**{name: pd.to_numeric(found[name]) for name in numbers}))

    def add_cold_start(self, row: ColdStart) -> None:
        """Keep what new connections took. Raises ResultsError."""
        with sentences(self.path):
            append(self.path / "cold.csv", [msgspec.structs.astuple(row)], ColdStart.__struct_fields__)

    def cold_starts(self) -> pd.DataFrame:
        """cold.csv, and whether each row is ``valid``: of the suite that all are compared with.

        Cells as the profile has them, rounds in order. Raises ResultsError.
        """
        types = kinds(ColdStart)
        found = self._table("cold.csv", types).reindex(columns=list(types), fill_value="")
        numbers = {name: pd.to_numeric(found[name]) for name, kind in types.items() if kind is not str}
        found = found.assign(**numbers).dropna(subset=["cold_us", "warm_us"])
        suites = found["security"].map(lambda level: "" if level == NONE else CIPHER)
        return self._in_order(found.assign(valid=found["negotiated_cipher"] == suites))

    def add_probe(self, row: Trial, per_s: float, kind: str, outcome: str) -> None:
        """Keep a trial of a search, and what it said of its rate. Raises ResultsError."""
        self.add_caveats(row.caveats, trial=row.name)
        with sentences(self.path):
            cells = row.row()
            append(self.path / "search.csv", [[kind, per_s, outcome, *cells.values()]], (*PROBE, *cells))

    def tried(self, cell: str) -> list[tuple[float, Any, Any]]:
        """Rate, kind and outcome of everything that was tried in a cell's search, in order. Raises ResultsError."""
        probes = self._table("search.csv", SEARCH)
        mine = probes[probes["cell"] == cell]
        return [(float(per_s), kind, outcome) for kind, per_s, outcome in mine[list(PROBE)].itertuples(index=False)]

    def add_capacity(self, row: Capacity) -> None:
        """Keep what a search came to. Raises ResultsError."""
        with sentences(self.path):
            append(self.path / "capacity.csv", [msgspec.structs.astuple(row)], Capacity.__struct_fields__)

    def capacities(self) -> pd.DataFrame:
        """What the searches came to so far, as capacity.csv has it. Raises ResultsError."""
        return self._table("capacity.csv", kinds(Capacity))

    def write_aa(self) -> pd.DataFrame:
        """aa.csv, from the trials so far, and what it holds. Raises ResultsError."""
        found = aa(self.trials())
        with sentences(self.path):
            replace(self.path / "aa.csv", found.to_csv(index=False))
        return found

    def effects(self) -> pd.DataFrame:
        """What each factor of the design does, from what was measured so far: what effects.csv holds.

        Raises ResultsError.
        """
        trials, cold = self.trials(), self.cold_starts()
        count = len(trials), len(cold)
        if self._effects is None or self._effects[0] != count:
            both = [effects_of(rows) for rows in (trials, cold) if len(rows)]
            self._effects = count, pd.concat(both, ignore_index=True) if both else effects_of(trials)
        return self._effects[1]

    def _table(self, name: str, columns: Mapping[str, type]) -> pd.DataFrame:
        """All cells as text; empty when there is no such file, without a half-written last line.

        Raises ResultsError when it is damaged.
        """
        lines = self._lines(name, columns) if (self.path / name).exists() else ""
        return pd.read_csv(io.StringIO(lines or csv_line(list(columns))), dtype=str, keep_default_na=False)

    def _lines(self, name: str, columns: Mapping[str, type]) -> str:
        """A table's text without a half-written last line; of a run to salvage, without damaged ones either."""
        path = self.path / name
        with sentences(self.path):
            content = path.read_text("utf-8", errors="replace")
        lines, wrong = sound(content[: content.rfind("\n") + 1], columns)
        if self.damage is None and wrong:
            row, why = next(iter(wrong.items()))
            raise ResultsError(f"{path} is damaged in row {row}: {why}; measure again", code="damaged-results")
        if self.damage is not None:
            self.damage |= {f"{name}, row {row}": why for row, why in wrong.items()}
        return lines

    def add_caveats(self, caveats: tuple[Caveat, ...], trial: str | None = None) -> None:
        """Keep doubts about the run, or about one trial of it. Raises ResultsError."""
        kept = list(self.manifest.get("caveats", []))
        for caveat in caveats:
            entry = {**msgspec.to_builtins(caveat), "trial": trial}
            if entry not in kept:
                kept.append(entry)
        self.update_manifest(caveats=kept)

    def update_manifest(self, **changes: Any) -> None:
        """Replace these keys of the manifest, all or none. Raises ResultsError."""
        manifest = {**self.manifest, **msgspec.to_builtins(changes)}
        with sentences(self.path):
            replace(self.path / "manifest.json", as_json(manifest))
        self.manifest = manifest

    def trials(self) -> pd.DataFrame:
        """One row per trial: cells as the profile has them, rounds in order; a half-written last line is left out.

        Raises ResultsError when the file is damaged.
        """
        path = self.path / "trials.csv"
        lines = self._lines("trials.csv", COLUMNS)
        try:
            trials = pd.read_csv(
                io.StringIO(lines),
                dtype={name: kind for name, kind in COLUMNS.items() if kind is not bool},
                true_values=["true"],
                false_values=["false"],
                keep_default_na=False,
                na_values={name: [""] for name, kind in COLUMNS.items() if kind is float},
            )
            trials[[*NEEDED]]  # every schema has them
            if self.manifest["schema_version"] == 1:
                trials["complete"] = trials["valid"]
            trials = trials.astype({"complete": bool, "valid": bool})
        except (ValueError, KeyError) as error:
            raise ResultsError(
                f"{path} is damaged: {' '.join(str(error).split())}; measure again", code="damaged-results"
            ) from error
        return self._in_order(trials)

    def _in_order(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Cells as the profile has them, else as they were."""
        known = (*self.manifest.get("cells", ()), *self.manifest.get("curve", ()))
        rank = {cell["name"]: number for number, cell in enumerate(known)}
        place = rows["cell"].map(lambda name: rank.get(name, len(rank)))
        return rows.iloc[place.argsort(kind="stable")].reset_index(drop=True)

    def hops(self) -> pd.DataFrame:
        """hops.csv: a row per trial and step, of trials that have a row; empty without any. Raises ResultsError."""
        text = self._table("hops.csv", HOPS)
        found = text.astype({name: kind for name, kind in HOPS.items() if kind is not str}).drop_duplicates(
            ["round", "slot", "cell", "number"], keep="last"
        )
        known = set(_keys(self.trials()))
        has_row = pd.Series([key in known for key in _keys(found)], index=found.index, dtype=bool)
        return self._in_order(found[has_row])

    def histograms(self, *series: str) -> Iterator[tuple[str, str, HdrHistogram]]:
        """Trial, series and histogram of every trial so far, or of these series. Raises ResultsError."""
        path = self.path / "histograms.hlog"

        def damaged(line: int) -> None:
            if self.damage is None:
                raise ResultsError(
                    f"{path} is damaged in line {line}, which holds no histogram; measure again", code="damaged-results"
                )
            self.damage[f"{path.name}, line {line}"] = "it holds no histogram"

        with sentences(self.path):
            yield from hlog.read(path, series, damaged)

    def summary(self) -> dict[str, Any]:
        """What write_summary writes."""
        return {
            "schema_version": SCHEMA_VERSION,
            "run_id": self.manifest["run_id"],
            **summarise(self.trials()),
            **(self._effects_summary() if self._designed else {}),
            **self._outages(),
        }

    @property
    def _designed(self) -> bool:
        return bool(self.manifest.get("profile", {}).get("designed"))

    def _effects_summary(self) -> dict[str, Any]:
        found = self.effects()
        rows = found.astype(object).where(found.notna(), None).to_dict("records")
        return {"effects": [{key: plain_number(value) for key, value in row.items()} for row in rows]}

    def _outages(self) -> dict[str, Any]:
        found = self.outages()
        return {"outages": summarise_outages(found)} if len(found) else {}

    def write_summary(self) -> None:
        """summary.json: medians over trials with their intervals, and ratios to REST; of a design effects.csv as well.

        Raises ResultsError.
        """
        with sentences(self.path):
            if self._designed:
                replace(self.path / "effects.csv", self.effects().to_csv(index=False))
            replace(self.path / "summary.json", as_json(self.summary()))


def _keys(trials: pd.DataFrame) -> list[tuple[str, str, str]]:
    """Round, slot and cell, as the files have them."""
    return list(zip(trials["round"].astype(str), trials["slot"].astype(str), trials["cell"], strict=True))

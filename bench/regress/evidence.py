"""Keeps comparisons whose answer was known beforehand, and renders the tables of docs/regression.md from them.

    python -m bench.regress.evidence                          prints the tables
    python -m bench.regress.evidence add KIND WHAT FOLDER     keeps the counts of results/regress/ID

KIND is `aa` (one commit in both arms), `injected` (a change made for this) or `history` (a commit of the project).
"""

import csv
import io
import statistics
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.paths import REFERENCE, ROOT
from bench.regress.judge import INTEGRITY, Finding, Observation, Threshold, Word, judge_counts, read_values
from bench.regress.outputs import format_counts, parse_counts, read_folder
from bench.regress.thresholds import FILE, Gates, parse_gates
from bench.regress.verdict import format_value
from bench.results.durable_files import append_csv, format_csv_line

FOLDER = REFERENCE / "regress-counts"
COLUMNS = ("id", "kind", "what", "base", "head")
_MOVED = 0.005
"""A metric that moved by less of its threshold did not move."""
KINDS = ("aa", "injected", "history")


@dataclass(frozen=True, slots=True)
class Kept:
    """A comparison whose answer was known beforehand."""

    id: str
    kind: str
    what: str
    base: str
    head: str
    observations: Sequence[Observation]

    @property
    def cells(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(one.cell for one in self.observations))

    def judge(self, gates: Gates) -> list[Finding]:
        """Returns what the judge says with these thresholds, of the metrics that were counted."""
        counted = {(one.cell, one.metric) for one in self.observations}
        thresholds = {
            cell: {name: one for name, one in gates.thresholds(cell).items() if (cell, name) in counted}
            for cell in self.cells
        }
        return judge_counts(thresholds, self.observations)


def add_comparison(kind: str, what: str, run: Path, folder: Path = FOLDER) -> None:
    """Appends a comparison to those that are kept. Raises OSError, Unmeasured and ResultsError."""
    if kind not in KINDS:
        sys.exit(f"{kind} is none of {', '.join(KINDS)}")
    plan, observations = read_folder(run)
    folder.mkdir(parents=True, exist_ok=True)
    _, *lines = csv.reader(io.StringIO(format_counts(observations)))
    append_csv(folder / "counts.csv", [[plan.id, *line] for line in lines], ("id", *Observation.__struct_fields__))
    row = (plan.id, kind, what, plan.base.commit[:10], plan.head.commit[:10])
    append_csv(folder / "comparisons.csv", [row], COLUMNS)


def read_comparisons(folder: Path = FOLDER) -> list[Kept]:
    """Returns all that is kept, in the order in which it was counted. Raises OSError and Unmeasured."""
    by_id: dict[str, list[str]] = {}
    with (folder / "counts.csv").open(encoding="utf-8", newline="") as file:
        for line in csv.DictReader(file):
            cells = [line[name] for name in Observation.__struct_fields__]
            by_id.setdefault(line["id"], []).append(format_csv_line(cells))
    heading = format_csv_line(Observation.__struct_fields__)
    with (folder / "comparisons.csv").open(encoding="utf-8", newline="") as file:
        return [
            Kept(**row, observations=parse_counts("".join([heading, *by_id[row["id"]]])))
            for row in csv.DictReader(file)
        ]


def list_shares(kept: Iterable[Kept], cell: str, metric: str, threshold: Threshold) -> list[float]:
    """Returns every difference that was seen, with each seed, as a part of the difference from which it fails."""
    found = []
    for one in kept:
        for arms in read_values({cell: {metric: threshold}}, one.observations).get((cell, metric), {}).values():
            found.append(abs(arms["head"] - arms["base"]) / threshold.reach(arms["base"]))
    return found


def render_noise(kept: Sequence[Kept], gates: Gates) -> str:
    """Returns a table: by metric and method, the largest difference between arms that do not differ."""
    methods = [method for method in gates.methods if any(method in one.cells for one in kept)]
    rows: list[list[str]] = [["metric, per order", *methods], ["---"] + ["---:"] * len(methods)]
    for metric in gates.metrics:
        rows.append([metric, *(_noise(kept, method, metric, gates) for method in methods)])
    return _table(rows)


def _noise(kept: Sequence[Kept], method: str, metric: str, gates: Gates) -> str:
    """The largest difference, and behind it from where it fails."""
    threshold = gates.thresholds(method).get(metric)
    if threshold is None:
        return ""
    of = {method: {metric: threshold}}
    pairs = [arms for one in kept for arms in read_values(of, one.observations).get((method, metric), {}).values()]
    if not pairs:
        return ""
    differences = [abs(arms["head"] - arms["base"]) for arms in pairs]
    base = statistics.median(arms["base"] for arms in pairs)
    if not threshold.share or not base:
        return f"{format_value(max(differences))} ({threshold.least:g})"
    return f"{max(differences) / base:.2%} ({threshold.reach(base) / base:.1%})"


def render_found(kept: Sequence[Kept], gates: Gates) -> str:
    """Returns a table: each change, and what the judge says of it in each method."""
    rows = [["change", "method", "fails", "suspect", "improved", "silent"], ["---"] * 5 + ["---:"]]
    for one in kept:
        findings = one.judge(gates)
        for cell in one.cells:
            of_cell = [finding for finding in findings if finding.cell == cell]
            told = [
                ", ".join(map(_short, (finding for finding in of_cell if finding.word is word)))
                for word in (Word.FAIL, Word.SUSPECT, Word.IMPROVED)
            ]
            silent = sum(finding.word is Word.PASS for finding in of_cell)
            rows.append([one.what, cell, *told, str(silent)])
    return _table(rows)


def _short(finding: Finding) -> str:
    if finding.change is None:
        return finding.metric
    return f"{finding.metric} {finding.change:+.1%}"


def render_history(kept: Sequence[Kept], gates: Gates) -> str:
    """Returns two tables: what is said of commits of the project, and how near to failing the others came."""
    silent = [one for one in kept if all(finding.word is Word.PASS for finding in one.judge(gates))]
    rows = [["metric", "method", "replays", "99th percentile", "largest"], ["---", "---", "---:", "---:", "---:"]]
    for metric in gates.metrics:
        if metric in INTEGRITY:
            continue
        for method in gates.methods:
            threshold = gates.thresholds(method).get(metric)
            shares = [] if threshold is None else sorted(list_shares(silent, method, metric, threshold))
            if len(shares) > 1 and shares[-1] >= _MOVED:
                high = statistics.quantiles(shares, n=100, method="inclusive")[98]
                rows.append([metric, method, str(len(shares)), f"{high:.0%}", f"{shares[-1]:.0%}"])
    return f"{render_found(kept, gates)}\n{_table(rows)}"


def _table(rows: Iterable[Sequence[str]]) -> str:
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def render_tables(folder: Path = FOLDER) -> dict[str, str]:
    """Returns the tables of docs/regression.md, by kind of comparison."""
    gates = parse_gates((ROOT / FILE).read_text("utf-8"), "this checkout")
    kept = read_comparisons(folder)
    by_kind = {kind: [one for one in kept if one.kind == kind] for kind in KINDS}
    renderers = {"aa": render_noise, "injected": render_found, "history": render_history}
    return {kind: renderers[kind](some, gates) for kind, some in by_kind.items() if some}


if __name__ == "__main__":
    match sys.argv[1:]:
        case []:
            print("\n".join(render_tables().values()), end="")
        case ["add", kind_, what_, run_]:
            add_comparison(kind_, what_, Path(run_))
        case _:
            sys.exit(__doc__)

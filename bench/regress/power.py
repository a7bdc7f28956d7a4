"""Tells how small a change of time a comparison can find, from the scatter of kept sets of equal revisions.

    python -m bench.regress.power               prints the tables of docs/regression-times.md
    python -m bench.regress.power keep FOLDER   keeps the sets of results/regress/ID, of equal revisions

Sets are drawn with the scatter that was seen, as many as a budget has time for, and judged by the rules of
bench/regress/judge_sets.py: one metric moves, of one method, and so one is confirmed. A seed makes it repeat.
"""

import math
import shutil
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from bench.paths import REFERENCE, ROOT
from bench.regress.duel_schedule import (
    LOADED,
    LOADED_FROM_S,
    LOADED_SET_S,
    MAX_CONFIRM,
    SCREEN_SHARE,
    SET_S,
    is_control,
    is_loaded,
    plan_screen,
)
from bench.regress.judge import Threshold
from bench.regress.judge_sets import CONFIRMED_P, SUSPICIOUS_P, SUSPICIOUS_SHARE, SetRow
from bench.regress.set_file import SETS, parse_rows
from bench.regress.thresholds import FILE, parse_gates
from bench.stats.distributions import t_quantile

FOLDER = REFERENCE / "regress-aa"
METHODS = 4
"""Of a whole comparison, whose budget they share."""
BUDGETS_MIN = (5, 10, 20, 40)
RUNS = 2000
FOUND = 0.95
SEED = 1


def measure_scatter(rows: Sequence[SetRow], method: str, metric: str) -> float | None:
    """Returns the standard deviation of ln(head/base) over undisturbed sets; None for fewer than two."""
    logs = [math.log(row.ratio) for row in rows if (row.method, row.metric) == (method, metric) and not row.void]
    return statistics.stdev(logs) if len(logs) > 1 else None


def count_sets(budget_min: float, *, loaded: bool = False) -> tuple[int, int]:
    """Returns how many sets of a method are on the screen without controls, and how many confirm one metric.

    ``loaded``: of those with load.
    """
    screen = range(1, plan_screen(60.0 * budget_min, METHODS) + 1)
    confirm = int((1 - SCREEN_SHARE) * 60.0 * budget_min / (LOADED_SET_S if loaded else SET_S))
    whole = [number for number in screen if not is_control(number) and (is_loaded(number) or not loaded)]
    return len(whole), min(MAX_CONFIRM, confirm)


def simulate_found(change: float, sd: float, threshold: Threshold, sets: tuple[int, int], seed: int = SEED) -> float:
    """Returns the share of comparisons that fail for a change that one metric of one method has."""
    dice = np.random.default_rng(seed)
    screen, confirm = (dice.normal(math.log1p(change), sd, (RUNS, count)) for count in sets)
    share = math.log1p(threshold.share)
    suspicious = _is_above(screen, SUSPICIOUS_P) & (screen.mean(axis=1) >= SUSPICIOUS_SHARE * share)
    confirmed = _is_above(confirm, CONFIRMED_P) & (confirm.mean(axis=1) >= share)
    return float((suspicious & confirmed).mean())


def _is_above(logs: np.ndarray, p: float) -> np.ndarray:
    count = logs.shape[1]
    t = logs.mean(axis=1) / (logs.std(axis=1, ddof=1) / math.sqrt(count))
    found: np.ndarray = t >= t_quantile(1 - p, count - 1)
    return found


def find_smallest(sd: float, threshold: Threshold, budget_min: float, *, loaded: bool = False) -> float | None:
    """Returns the smallest change that 95 of 100 comparisons find, to a tenth of a percent.

    None where sets of this budget have no load, for what shows under it.
    """
    if loaded and 60.0 * budget_min < LOADED_FROM_S:
        return None
    sets = count_sets(budget_min, loaded=loaded)
    low, high = 0.0, 4.0
    while high - low > 0.0005:
        middle = (low + high) / 2
        low, high = (low, middle) if simulate_found(middle, sd, threshold, sets) >= FOUND else (middle, high)
    return high


def render_power(rows: Sequence[SetRow], gates: Mapping[str, Mapping[str, Threshold]]) -> str:
    """Returns a table: by method and metric the threshold, the scatter of a set, and what each budget finds."""
    heading = ["method", "metric", "threshold", "sets", "scatter of a set", *(f"{one} min" for one in BUDGETS_MIN)]
    lines = [heading, ["---", "---", *["---:"] * (len(heading) - 2)]]
    for method, metrics in gates.items():
        for metric, threshold in metrics.items():
            sd = measure_scatter(rows, method, metric)
            if sd is not None:
                count = len({row.set for row in rows if (row.method, row.metric, row.void) == (method, metric, False)})
                smallest = [
                    find_smallest(sd, threshold, budget, loaded=metric.endswith(LOADED)) for budget in BUDGETS_MIN
                ]
                found = ["-" if one is None else f"{one:.1%}" for one in smallest]
                lines.append([method, metric, f"{threshold.share:.0%}", str(count), f"{sd:.1%}", *found])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def render_kept(folder: Path = FOLDER) -> str:
    """Returns the table of docs/regression-times.md."""
    gates = parse_gates((ROOT / FILE).read_text("utf-8"), "this checkout")
    rows = parse_rows((folder / SETS).read_text("utf-8"))
    methods = dict.fromkeys(row.method for row in rows)
    return render_power(rows, {method: gates.timed_thresholds(method) for method in methods})


if __name__ == "__main__":
    match sys.argv[1:]:
        case []:
            print(render_kept(), end="")
        case ["keep", folder_]:
            FOLDER.mkdir(parents=True, exist_ok=True)
            for name in (SETS, "plan.json"):
                shutil.copy(Path(folder_) / name, FOLDER / name)
        case _:
            sys.exit(__doc__)

"""Simulates runs in sets with their rule of stopping, and counts how often the interval of a ratio holds the truth.

    python -m tests.unit.stats.set_coverage [RUNS]

prints a line per structure of noise: the share of the intervals of all four ratios to the first cell that hold 1, of
the ratio that is held least, the sets that a run took, and the widest half width at its end.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from statistics import fmean

import numpy as np
from scipy import stats

from bench.stats.jackknife import compute_pseudo_values, estimate_from_all
from bench.stats.quantiles import quantile_rank
from bench.stats.sets import MIN_SETS, SetPrior, SetTable, estimate_ratio, half_width, measure_scatter

CELLS, SLICES, MOST_SETS, TELL = 5, 6, 7, 0.05
EQUAL = (1.0,) * CELLS


@dataclass(frozen=True, kw_only=True)
class Noise:
    """How runs scatter. ``between`` is the standard deviation of a cell's luck in a set, ``within`` that of a slice."""

    name: str
    between: float = 0.02
    within: float = 0.06
    luck: tuple[float, ...] = EQUAL
    """Times ``between``, by cell; the first is the base of all ratios."""
    slices: tuple[float, ...] = EQUAL
    """Times ``within``, by cell."""
    heavy: bool = False
    """Student's t with four degrees of freedom in place of the normal distribution."""
    lag: float = 0.0
    """The correlation of a slice with the one before it."""
    prior: SetPrior | None = None
    with_slices: bool = True
    """Whether the measure has slices of its own."""


NOISES = (
    Noise(name="equal cells"),
    Noise(name="equal cells, quiet", between=0.01, within=0.04),
    Noise(name="equal cells, loud", within=0.1),
    Noise(name="one cell thrice as noisy", luck=(1, 1, 3, 1, 1), slices=(1, 1, 3, 1, 1)),
    Noise(name="the base thrice as noisy", luck=(3, 1, 1, 1, 1), slices=(3, 1, 1, 1, 1)),
    Noise(name="the base's luck alone thrice", luck=(3, 1, 1, 1, 1)),
    Noise(name="heavy tails", heavy=True),
    Noise(name="neighbouring slices alike", lag=0.4),
    Noise(name="a bank that is right", prior=SetPrior(0.02**2, 8)),
    Noise(name="a bank half as noisy", prior=SetPrior(0.02**2 / 4, 8)),
    Noise(name="a bank twice as noisy", prior=SetPrior(0.02**2 * 4, 8)),
    Noise(name="no slices, equal cells", with_slices=False),
    Noise(name="no slices, the base thrice as noisy", luck=(3, 1, 1, 1, 1), slices=(3, 1, 1, 1, 1), with_slices=False),
)


@dataclass(frozen=True, kw_only=True)
class Counted:
    """What the simulated runs came to."""

    held: float
    """The share of all intervals that hold 1."""
    held_least: float
    """The same of the ratio that is held least."""
    sets: float
    widest: float
    """The mean of the runs' widest half widths."""


def simulate_runs(noise: Noise, runs: int, seed: int = 1, tell: float = TELL, most_sets: int = MOST_SETS) -> Counted:
    """Returns what so many runs come to, each stopped as `make bench` is: told to within ``tell``, or at an end."""
    dice = np.random.default_rng(seed)
    ended = [_end_run(noise, _draw_slices(noise, dice, most_sets), tell) for _ in range(runs)]
    held = np.array([held for held, _, _ in ended])
    return Counted(
        held=float(held.mean()),
        held_least=float(held.mean(axis=0).min()),
        sets=fmean(sets for _, sets, _ in ended),
        widest=fmean(widest for _, _, widest in ended),
    )


def _end_run(noise: Noise, slices: np.ndarray, tell: float) -> tuple[list[bool], int, float]:
    for sets in range(MIN_SETS, slices.shape[1] + 1):
        played = slices[:, :sets]
        table = SetTable(played.mean(axis=2), played if noise.with_slices else played[:, :, :0])
        scatter = measure_scatter(table, noise.prior)
        ratios = [estimate_ratio(table, scatter, cell, 0) for cell in range(1, CELLS)]
        if (widest := max(map(half_width, ratios))) <= tell:
            break
    return [(ratio.low or 0) <= 1 <= (ratio.high or 0) for ratio in ratios], sets, widest


def _draw_slices(noise: Noise, dice: np.random.Generator, sets: int) -> np.ndarray:
    luck, found = (_draw(noise, dice, (CELLS, sets, count)) for count in (1, SLICES))
    for number in range(1, SLICES):
        found[:, :, number] = noise.lag * found[:, :, number - 1] + (1 - noise.lag**2) ** 0.5 * found[:, :, number]
    shared = dice.normal(0.0, 0.2, (1, sets, 1)) + dice.normal(0.0, 0.1, (1, sets, SLICES))
    by_cell = (np.array(times)[:, None, None] for times in (noise.luck, noise.slices))
    return shared + luck * noise.between * next(by_cell) + found * noise.within * next(by_cell)


def _draw(noise: Noise, dice: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return dice.standard_t(4, shape) / 2**0.5 if noise.heavy else dice.standard_normal(shape)


ORDERS, P99_SETS = 450, 4


def simulate_p99(runs: int, seed: int = 1) -> tuple[float, float]:
    """Returns how often intervals of a cell's own p99, and of its ratio to the first cell's, hold the truth.

    Orders are log-normal, with a standard deviation of 0.5 in ln, and sets differ by 0.02.
    """
    dice = np.random.default_rng(seed)
    truth = np.exp(stats.norm.ppf(0.99) * np.hypot(0.5, 0.02))
    held: list[bool] = []
    held_ratios: list[bool] = []
    for _ in range(runs):
        orders = np.exp(dice.normal(0, 0.5, (CELLS, P99_SETS, ORDERS)) + dice.normal(0, 0.02, (CELLS, P99_SETS, 1)))
        whole = [_p99(of_cell) for of_cell in orders]
        without = [[_p99(np.delete(of_cell, at, axis=0)) for at in range(P99_SETS)] for of_cell in orders]
        own = [estimate_from_all(one, left) for one, left in zip(whole, without, strict=True)]
        held += [(one.low or 0) <= truth <= (one.high or 0) for one in own]
        values = [
            compute_pseudo_values(float(np.log(one)), list(np.log(left)))
            for one, left in zip(whole, without, strict=True)
        ]
        table = SetTable(np.array(values), np.empty((CELLS, P99_SETS, 0)))
        scatter = measure_scatter(table)
        for cell in range(1, CELLS):
            ratio = estimate_ratio(table, scatter, cell, 0, told=float(np.log(whole[cell] / whole[0])))
            held_ratios.append((ratio.low or 0) <= 1 <= (ratio.high or 0))
    return fmean(held), fmean(held_ratios)


def _p99(orders: np.ndarray) -> float:
    rank = quantile_rank(Fraction(99, 100), orders.size) - 1
    return float(np.partition(orders, rank, axis=None)[rank])


def format_lines(runs: int) -> Iterator[str]:
    """Yields a line for each structure of noise."""
    for noise in NOISES:
        found = simulate_runs(noise, runs)
        yield (
            f"{noise.name:36} held {found.held:6.1%}, least {found.held_least:6.1%}, "
            f"sets {found.sets:.1f}, widest {found.widest:.1%}"
        )
    held, held_ratios = simulate_p99(runs)
    yield f"p99 of all sets: a cell's own held {held:.1%}, ratios {held_ratios:.1%}"


if __name__ == "__main__":
    for line in format_lines(int(sys.argv[1]) if len(sys.argv) > 1 else 2000):
        print(line, flush=True)

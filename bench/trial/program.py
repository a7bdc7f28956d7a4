"""Draws the program of a set: which slice comes when."""

import random
from collections import defaultdict
from collections.abc import Sequence
from hashlib import blake2b
from itertools import pairwise

from bench.load.sets.protocol import SliceSpec

TRIED_ORDERS = 200
"""Orders of a round that are drawn, of which the best balanced one is taken."""


def draw_program(cells: int, slices: int, seed: int, set_: int) -> list[SliceSpec]:
    """Draws the program of a set: so many slices of each cell, in rounds of one slice of every cell.

    The order is shuffled anew in each round, and balanced: each cell comes about equally often behind each other one,
    and, where one round meets the next, behind itself. A slice has the arrivals of its number, the same in every cell.
    """
    dice = random.Random(f"{seed}:{set_}:program")
    behind: dict[tuple[int, int], int] = defaultdict(int)
    program: list[SliceSpec] = []
    last: int | None = None

    def cost(order: Sequence[int]) -> int:
        follows = pairwise(order if last is None else [last, *order])
        return sum(behind[pair] for pair in follows)

    for number in range(1, slices + 1):
        order = min((dice.sample(range(cells), cells) for _ in range(TRIED_ORDERS)), key=cost)
        for cell in order:
            if last is not None:
                behind[last, cell] += 1
            last = cell
            program.append(SliceSpec(cell=cell, number=number, seed=derive_slice_seed(seed, set_, number)))
    return program


def derive_slice_seed(seed: int, set_: int, number: int) -> int:
    """Derives the seed of a slice's arrivals, in every cell the same."""
    return int.from_bytes(blake2b(f"{seed}:{set_}:slice {number}".encode(), digest_size=6).digest())

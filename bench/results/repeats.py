"""Names what a run repeats: rounds of trials, or sets."""


def name_repeat(usual: str, *, in_sets: bool) -> str:
    """Returns "set" of a run in sets, else ``usual``, which is "round" for all cells or "trial" for one of them."""
    return "set" if in_sets else usual


def count_repeats(n: int, usual: str, *, in_sets: bool) -> str:
    """Returns a number of rounds, trials or sets as text: "1 round", "4 sets"."""
    word = name_repeat(usual, in_sets=in_sets)
    return f"{n:,} {word}" if n == 1 else f"{n:,} {word}s"


def describe_middle(*, in_sets: bool) -> str:
    """Returns what a cell's number is of a summary, with a capital letter."""
    return "Means over sets" if in_sets else "Medians over trials"

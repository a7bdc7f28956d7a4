"""Little's law: a check on the harness itself, and on the instants that a transport reports."""


def little_gap(mean_in_flight: float, mean_by_instants: float) -> float:
    """How much more was seen in flight than the orders' own instants come to, as a share of the latter: 0 if all agree.

    L = lambda W (Little, "A Proof for the Queuing Formula", Operations Research 9, 1961). Over a stretch of time T it
    holds whatever happens there, steady or not, when W counts what each order spends within the stretch: lambda W is
    then the sum of those times over T, which is ``mean_by_instants`` (Little, "Little's Law as Viewed on Its 50th
    Anniversary", Operations Research 59, 2011). Raises ValueError when nothing was under way by those instants.
    """
    if not mean_by_instants > 0:
        raise ValueError("Little's law says nothing of a window in which nothing was under way")
    return mean_in_flight / mean_by_instants - 1

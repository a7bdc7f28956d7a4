"""Checks Little's law, as a test of the harness and of the times a transport reports."""


def littles_law_error(mean_in_flight: float, mean_by_instants: float) -> float:
    """Return the relative error of Little's law: orders seen in flight over those computed, minus 1; 0 if they agree.

    L = lambda W (Little, "A Proof for the Queuing Formula", Operations Research 9, 1961). Over a stretch of time T it
    holds whatever happens there, steady or not, when W counts what each order spends within the stretch: lambda W is
    then the sum of those times over T, which is ``mean_by_instants`` (Little, "Little's Law as Viewed on Its 50th
    Anniversary", Operations Research 59, 2011). Raises ValueError when nothing was under way by those instants.
    """
    if not mean_by_instants > 0:
        raise ValueError("Little's law says nothing of a window in which nothing was under way")
    return mean_in_flight / mean_by_instants - 1

"""Little's law: a check on the harness itself, which holds for any queue that is steady."""


def little_gap(mean_in_flight: float, per_s: float, mean_response_s: float) -> float:
    """How much more is in flight than rate times mean response, as a share of the latter: 0 when the law holds.

    L = lambda W (Little, "A Proof for the Queuing Formula", Operations Research 9, 1961). All three are of the same
    window and the same orders, the response taken from when an order counts as in flight. Orders that straddle the
    window's edges make a difference of about the mean response over the window's length. Raises ValueError when nothing
    went through.
    """
    expected = per_s * mean_response_s
    if not expected > 0:
        raise ValueError(f"Little's law says nothing about {per_s} orders/s that take {mean_response_s} s")
    return mean_in_flight / expected - 1

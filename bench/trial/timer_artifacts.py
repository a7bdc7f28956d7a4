"""Detects clusters of latencies that known timers cause, such as Nagle or fetch waits.

A method whose median is a delayed acknowledgement's timer is set up wrongly, however well it was measured. A timer
delays some orders and spares others; where all of them take as long, nothing tells a timer from work.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from bench.results.caveats import Caveat

CLUSTER_WIDTH = 0.05
"""Orders within 5 % of a centre are a cluster; latency adds to a timer, so the band begins a little below it."""
MIN_CLUSTER_SHARE = 0.01
"""Fewer orders than this are no cluster."""
MIN_FASTER_SHARE = 0.05
"""Of all orders, those that a timer did not delay; with fewer, the cluster is the latency itself."""
MIN_CLUSTER_CONTRAST = 3.0
"""How much denser a cluster is than the bands of the same width on either side of it."""


@dataclass(frozen=True, slots=True)
class KnownTimer:
    """A timer below the transports, where its latencies cluster and what it is a sign of."""

    centre_ms: float
    cause: str
    next_step: str
    needs: str = ""
    """The server that the timer belongs to; empty where every method can have it."""


KNOWN_TIMERS = (
    KnownTimer(
        41,
        "Nagle's algorithm waiting for a delayed acknowledgement (40 ms on Linux)",
        "set TCP_NODELAY on both sides",
    ),
    KnownTimer(
        100,
        "aiokafka leaving a partition out of a fetch after its 0.1 s back-off, or a fetch_max_wait of 100 ms",
        "see fetch_max_wait_ms in transports/backends/kafka/config.py",
        "kafka",
    ),
    KnownTimer(200, "TCP's shortest retransmission time", "look for dropped packets or a full accept queue"),
    KnownTimer(
        500, "Kafka's default fetch.max.wait.ms", "lower fetch_max_wait_ms, or give the topic one partition", "kafka"
    ),
    KnownTimer(1000, "a repeated SYN, or a reconnect's back-off of 1 s", "raise the listen backlog, reuse connections"),
    KnownTimer(
        3000, "Kafka's group.initial.rebalance.delay.ms", "set it to 0, or join the group before the load", "kafka"
    ),
)

FSYNCS_PER_S = 100.0
"""RabbitMQ confirms one persistent message per fsync when they are published one by one."""


def find_timer_artifacts(
    counts_us: Mapping[int, int], *, needs: frozenset[str], offered_per_s: float, achieved_per_s: float
) -> list[Caveat]:
    """Returns a caveat for every known timer found in a trial's completion latencies.

    ``counts_us`` are counts by microseconds; ``needs`` are the servers that the transport uses.
    """
    found = [
        Caveat(
            "timer-artifact",
            f"{share:.0%} of the orders gather near {timer.centre_ms:g} ms, which looks like {timer.cause}",
            timer.next_step,
            share,
        )
        for timer in KNOWN_TIMERS
        if (not timer.needs or timer.needs in needs)
        and (share := _find_cluster_share(counts_us, timer.centre_ms * 1000)) is not None
    ]
    if "rabbitmq" in needs and achieved_per_s < FSYNCS_PER_S and achieved_per_s < 0.9 * offered_per_s:
        found.append(
            Caveat(
                "timer-artifact",
                f"RabbitMQ carried {achieved_per_s:.0f} orders/s where {offered_per_s:g} were offered, which looks "
                "like one fsync for each message that is waited for by itself",
                "publish with confirms outstanding, or use a transient queue",
            )
        )
    return found


def _find_cluster_share(counts_us: Mapping[int, int], centre_us: float) -> float | None:
    """The share of orders in the cluster around a centre; None when there is no cluster."""
    total = sum(counts_us.values())
    width_us = 2 * CLUSTER_WIDTH * centre_us

    def within(low_us: float) -> int:
        return sum(count for value, count in counts_us.items() if low_us <= value < low_us + width_us)

    low_us = centre_us - width_us / 2
    inside = within(low_us)
    beside = max(within(low_us - width_us), within(low_us + width_us))
    faster = sum(count for value, count in counts_us.items() if value < low_us)
    if not total or inside < MIN_CLUSTER_SHARE * total or faster < MIN_FASTER_SHARE * total:
        return None
    if inside < MIN_CLUSTER_CONTRAST * max(1, beside):
        return None
    return inside / total

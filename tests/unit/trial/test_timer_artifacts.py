"""Tests the detection of latency clusters that known timers cause."""

import random

import pytest

from bench.trial.timer_artifacts import KNOWN_TIMERS, KnownTimer, find_timer_artifacts


def latencies_us(seed: int, *, centre_ms: float = 0.0, share: float = 0.0, n: int = 3000) -> dict[int, int]:
    """Lognormal around 6 ms, and ``share`` of them just above a timer instead."""
    rng = random.Random(seed)
    counts: dict[int, int] = {}
    for _ in range(n):
        value_ms = centre_ms * rng.uniform(1.0, 1.03) if rng.random() < share else rng.lognormvariate(1.8, 0.7)
        counts[round(value_ms * 1000)] = counts.get(round(value_ms * 1000), 0) + 1
    return counts


def named(counts: dict[int, int], *needs: str, achieved_per_s: float = 150) -> list[str]:
    found = find_timer_artifacts(counts, needs=frozenset(needs), offered_per_s=150, achieved_per_s=achieved_per_s)
    return [caveat.text for caveat in found]


@pytest.mark.parametrize("seed", range(20))
def test_latencies_without_a_timer_show_none(seed: int) -> None:
    assert named(latencies_us(seed)) == []


@pytest.mark.parametrize("timer", KNOWN_TIMERS, ids=lambda timer: f"{timer.centre_ms:g} ms")
def test_a_cluster_above_a_timer_is_named_with_its_cause(timer: object) -> None:
    centre_ms, cause = timer.centre_ms, timer.cause  # type: ignore[attr-defined]
    (text,) = named(latencies_us(1, centre_ms=centre_ms, share=0.05), "kafka")
    assert cause in text
    assert f"near {centre_ms:g} ms" in text


@pytest.mark.parametrize(
    "timer", [timer for timer in KNOWN_TIMERS if timer.needs], ids=lambda timer: f"{timer.centre_ms:g} ms"
)
def test_a_timer_of_kafka_is_not_suspected_where_there_is_none(timer: KnownTimer) -> None:
    assert named(latencies_us(1, centre_ms=timer.centre_ms, share=0.05), "rabbitmq") == []


def test_a_median_of_a_delayed_acknowledgement_is_nagles() -> None:
    (text,) = named(latencies_us(2, centre_ms=41, share=0.9))
    assert text.startswith("90 % of the orders") or text.startswith("90% of the orders")
    assert "Nagle" in text


def test_an_answer_that_always_takes_as_long_as_a_timer_is_no_timer() -> None:
    assert named(latencies_us(2, centre_ms=41, share=1.0)) == []


def test_latencies_that_merely_lie_around_a_timer_are_no_cluster() -> None:
    rng = random.Random(3)
    counts: dict[int, int] = {}
    for _ in range(3000):
        value_us = round(rng.lognormvariate(4.6, 0.5) * 1000)  # median 100 ms
        counts[value_us] = counts.get(value_us, 0) + 1
    assert named(counts) == []


def test_tens_of_messages_a_second_on_rabbitmq_are_named() -> None:
    (text,) = named(latencies_us(4), "rabbitmq", achieved_per_s=37)
    assert "one fsync for each message" in text
    assert named(latencies_us(4), achieved_per_s=37) == []


def test_no_orders_show_nothing() -> None:
    assert named({}) == []

"""What is made of the slots of `make cold`."""

import pytest

from bench.cold.measure import Slot, lines


def slot(round_: int, security: str, cold_us: float) -> Slot:
    return Slot(
        round=round_,
        method="rest",
        codec="json",
        security=security,
        negotiated_cipher="",
        connections=15,
        cold_us=cold_us,
        warm_us=100.0,
    )


def test_levels_come_from_the_least_secure_on_with_ratios_to_it() -> None:
    found = list(lines([slot(n, level, us * n) for n in range(1, 8) for level, us in (("auth", 300), ("none", 100))]))
    assert [line.security for line in found] == ["none", "auth"]
    assert found[0].cold_ratio is None
    assert found[1].cold_us.value == 4 * 300
    assert found[1].cold_ratio is not None and found[1].warm_ratio is not None
    assert found[1].cold_ratio.value == pytest.approx(3)
    assert found[1].warm_ratio.value == pytest.approx(1)


def test_a_round_without_the_level_none_is_in_no_ratio() -> None:
    found = list(lines([slot(1, "none", 100), slot(1, "tls", 200), slot(2, "tls", 5000)]))
    assert found[1].cold_ratio is not None
    assert found[1].cold_ratio.value == pytest.approx(2)

"""Tests the settings of arrivals in profiles and given."""

from pathlib import Path

import pytest

from bench.load.workload.shape import RateBurst, RateStep
from bench.profile.loader import load_profile
from bench.profile.resolve import resolve
from tests.conftest import refuses

MEMORY = {"TRANSPORT": "memory"}


def test_arrivals_are_poisson_unless_said_otherwise() -> None:
    assert load_profile().arrivals == "poisson"
    bare = {"transports": ["memory"], "rate_per_s": 9, "duration_s": 1, "warm_up_s": 0, "rounds": 1, "seed": 1}
    assert resolve("bare", bare | {"payload": 500, "max_message": "1MiB", "deadline_s": 5}).arrivals == "poisson"


def test_a_step_and_the_period_of_bursts_take_a_third_of_the_window() -> None:
    profile = load_profile(settings=MEMORY | {"DURATION": "12"})
    assert (profile.step, profile.burst) == (RateStep(factor=3, at_s=4, for_s=4), RateBurst(peak=10, period_s=4))


def test_a_step_has_settings_of_its_own() -> None:
    given = {"ARRIVALS": "step", "STEP_FACTOR": "0", "STEP_AT": "1", "STEP_FOR": "3.5"}
    assert load_profile(settings=MEMORY | given).step == RateStep(factor=0, at_s=1, for_s=3.5)


def test_what_a_step_offers_is_the_mean_over_the_window() -> None:
    profile = load_profile(settings=MEMORY | {"ARRIVALS": "step", "RATE": "60", "STEP_FACTOR": "4", "STEP_AT": "5"})
    assert profile.offered_per_s(60) == pytest.approx(60 * (5 + 4) / 6)


def test_bursts_offer_the_rate() -> None:
    profile = load_profile(settings=MEMORY | {"ARRIVALS": "burst", "BURST_PEAK": "4", "BURST_PERIOD": "0.6"})
    assert (profile.burst, profile.offered_per_s(150)) == (RateBurst(peak=4, period_s=0.6), pytest.approx(150))


def test_a_replay_says_rate_and_duration(tmp_path: Path) -> None:
    path = tmp_path / "replay.csv"
    path.write_text("offset_s\n0\n1\n2\n3\n10\n")
    profile = load_profile(settings=MEMORY | {"ARRIVALS": "replay", "REPLAY": str(path)})
    assert profile.replay is not None
    assert profile.replay.path == str(path)
    assert (profile.duration_s, profile.rates_per_s, profile.offered_per_s(0.5)) == (10, (0.5,), 0.5)


@pytest.mark.parametrize(
    ("given", "code", "names"),
    [
        ({"ARRIVALS": "brust"}, "unknown-arrivals", ("'brust'", "'burst'")),
        ({"STEP_AT": "1"}, "setting-of-other-arrivals", ("STEP_AT", "ARRIVALS=step", "poisson")),
        ({"ARRIVALS": "step", "BURST_PEAK": "5"}, "setting-of-other-arrivals", ("BURST_PEAK", "ARRIVALS=burst")),
        ({"ARRIVALS": "constant", "REPLAY": "x"}, "setting-of-other-arrivals", ("REPLAY", "ARRIVALS=replay")),
        ({"ARRIVALS": "step", "STEP_FACTR": "2"}, "unknown-setting", ("'STEP_FACTR'", "'STEP_FACTOR'")),
        ({"ARRIVALS": "step", "STEP_FACTOR": "-1"}, "bad-number", ("STEP_FACTOR (step_factor)", "'-1'")),
        ({"ARRIVALS": "step", "STEP_FOR": "0"}, "bad-seconds", ("STEP_FOR (step_for_s)", "'0'")),
        ({"ARRIVALS": "step", "STEP_AT": "6"}, "step-outside-window", ("STEP_AT", "6 s")),
        ({"ARRIVALS": "burst", "BURST_PEAK": "0.5"}, "bad-burst", ("BURST_PEAK (burst_peak)", "1 or more")),
        ({"ARRIVALS": "burst", "BURST_PERIOD": "4"}, "burst-cut-by-window", ("BURST_PERIOD", "1.5")),
        ({"ARRIVALS": "burst", "BURST_PERIOD": "60"}, "burst-cut-by-window", ("BURST_PERIOD", "0.1")),
        ({"ARRIVALS": "replay"}, "no-replay-file", ("REPLAY=",)),
        ({"ARRIVALS": "replay", "REPLAY": "/none"}, "bad-replay", ("/none",)),
        ({"ARRIVALS": "replay", "REPLAY": "/none", "RATE": "5"}, "setting-of-the-replay", ("RATE",)),
        ({"ARRIVALS": "replay", "REPLAY": "/none", "DURATION": "5"}, "setting-of-the-replay", ("DURATION",)),
        ({"RATE": "100000", "DURATION": "3600"}, "too-many-orders", ("RATE", "360,000,000", "20,000,000")),
        ({"RATE": "1500000", "ARRIVALS": "step", "STEP_FACTOR": "9"}, "too-many-orders", ("33,000,000",)),
    ],
)
def test_arrivals_that_cannot_be_are_refused_by_name(given: dict[str, str], code: str, names: tuple[str, ...]) -> None:
    with refuses(code, *names):
        load_profile(settings=MEMORY | given)


def test_a_replay_that_takes_no_time_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "replay"
    path.write_text("0\n0\n")
    with refuses("bad-replay", str(path)):
        load_profile(settings=MEMORY | {"ARRIVALS": "replay", "REPLAY": str(path)})


def test_a_profile_may_hold_settings_of_other_arrivals_than_it_is_run_with(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('arrivals = "burst"\nburst_peak = 4\nstep_at_s = 1\nreplay = "none.txt"\n')
    assert load_profile(str(path), MEMORY | {"ARRIVALS": "constant"}).replay is None

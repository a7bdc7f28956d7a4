"""Tests the settings of arrivals in profiles and flags."""

from pathlib import Path

import pytest

from bench.errors import UsageError
from bench.load.workload.shape import RateBurst, RateStep
from bench.profile.loader import load
from bench.profile.resolve import resolve

MEMORY = {"TRANSPORT": "memory"}


def test_arrivals_are_poisson_unless_said_otherwise() -> None:
    assert load().arrivals == "poisson"
    bare = {"transports": ["memory"], "rate_per_s": 9, "duration_s": 1, "warm_up_s": 0, "rounds": 1, "seed": 1}
    assert resolve("bare", bare | {"payload": 500, "max_message": "1MiB", "deadline_s": 5}).arrivals == "poisson"


def test_a_step_and_the_period_of_bursts_take_a_third_of_the_window() -> None:
    profile = load(flags=MEMORY | {"DURATION": "12"})
    assert (profile.step, profile.burst) == (RateStep(factor=3, at_s=4, for_s=4), RateBurst(peak=10, period_s=4))


def test_a_step_has_settings_of_its_own() -> None:
    flags = {"ARRIVALS": "step", "STEP_FACTOR": "0", "STEP_AT": "1", "STEP_FOR": "3.5"}
    assert load(flags=MEMORY | flags).step == RateStep(factor=0, at_s=1, for_s=3.5)


def test_what_a_step_offers_is_the_mean_over_the_window() -> None:
    profile = load(flags=MEMORY | {"ARRIVALS": "step", "RATE": "60", "STEP_FACTOR": "4", "STEP_AT": "5"})
    assert profile.offered_per_s(60) == pytest.approx(60 * (5 + 4) / 6)


def test_bursts_offer_the_rate() -> None:
    profile = load(flags=MEMORY | {"ARRIVALS": "burst", "BURST_PEAK": "4", "BURST_PERIOD": "0.6"})
    assert (profile.burst, profile.offered_per_s(150)) == (RateBurst(peak=4, period_s=0.6), pytest.approx(150))


def test_a_trace_says_rate_and_duration(tmp_path: Path) -> None:
    path = tmp_path / "trace.csv"
    path.write_text("offset_s\n0\n1\n2\n3\n10\n")
    profile = load(flags=MEMORY | {"ARRIVALS": "trace", "TRACE": str(path)})
    assert profile.trace is not None
    assert profile.trace.path == str(path)
    assert (profile.duration_s, profile.rates_per_s, profile.offered_per_s(0.5)) == (10, (0.5,), 0.5)


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        ({"ARRIVALS": "brust"}, "no arrivals 'brust'; did you mean 'burst'\\?"),
        ({"STEP_AT": "1"}, "STEP_AT is for ARRIVALS=step, and they are poisson"),
        ({"ARRIVALS": "step", "BURST_PEAK": "5"}, "BURST_PEAK is for ARRIVALS=burst, and they are step"),
        ({"ARRIVALS": "constant", "TRACE": "x"}, "TRACE is for ARRIVALS=trace"),
        ({"ARRIVALS": "step", "STEP_FACTR": "2"}, "no setting 'STEP_FACTR'; did you mean 'STEP_FACTOR'\\?"),
        ({"ARRIVALS": "step", "STEP_FACTOR": "-1"}, "STEP_FACTOR \\(step_factor\\) must be zero or a positive number"),
        ({"ARRIVALS": "step", "STEP_FOR": "0"}, "STEP_FOR \\(step_for_s\\) must be a positive number"),
        ({"ARRIVALS": "step", "STEP_AT": "6"}, "a step 6 s into a window of 6 s never comes"),
        ({"ARRIVALS": "burst", "BURST_PEAK": "0.5"}, "BURST_PEAK \\(burst_peak\\) cannot be honoured: .*1 or more"),
        ({"ARRIVALS": "burst", "BURST_PERIOD": "4"}, "6 s is 1.5 periods of 4 s"),
        ({"ARRIVALS": "burst", "BURST_PERIOD": "60"}, "6 s is 0.1 periods of 60 s"),
        ({"ARRIVALS": "trace"}, "needs a file of offsets in seconds; say which with TRACE="),
        ({"ARRIVALS": "trace", "TRACE": "/none"}, "trace /none cannot be read"),
        ({"ARRIVALS": "trace", "TRACE": "/none", "RATE": "5"}, "RATE is in the trace"),
        ({"ARRIVALS": "trace", "TRACE": "/none", "DURATION": "5"}, "DURATION is in the trace"),
        (
            {"RATE": "100000", "DURATION": "3600"},
            "a plan of 360,000,000 orders is more than 20,000,000; make it shorter",
        ),
        ({"RATE": "1500000", "ARRIVALS": "step", "STEP_FACTOR": "9"}, "a plan of 33,000,000 orders is more than"),
    ],
)
def test_arrivals_that_cannot_be_are_refused_in_a_sentence(flags: dict[str, str], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        load(flags=MEMORY | flags)


def test_a_trace_that_takes_no_time_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "trace"
    path.write_text("0\n0\n")
    with pytest.raises(UsageError, match="is over as it begins"):
        load(flags=MEMORY | {"ARRIVALS": "trace", "TRACE": str(path)})


def test_a_profile_may_hold_settings_of_other_arrivals_than_it_is_run_with(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('arrivals = "burst"\nburst_peak = 4\nstep_at_s = 1\ntrace = "none.txt"\n')
    assert load(str(path), MEMORY | {"ARRIVALS": "constant"}).trace is None

"""Tests how a value of a setting is read: units, aliases, nearest words, and what is refused."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bench.errors import ExitCode, UsageError
from bench.profile import interpreters
from bench.profile.loader import load_profile
from bench.profile.parsing import parse, parse_bytes
from bench.results.question_settings import QUESTION
from bench.results.setting_spec import SettingSpec
from bench.results.settings import SETTINGS
from tests.conftest import refuses
from tests.unit.profile.conftest import HERE

SPECS = [*SETTINGS.values(), *QUESTION.values()]
WORDS = [spec for spec in SPECS if spec.kind == "word"]


def of_kind(*kinds: str) -> "list[SettingSpec]":
    return [spec for spec in SPECS if spec.kind in kinds]


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("DURATION", "10", 10),
        ("DURATION", "10s", 10),
        ("DURATION", "10 S", 10),
        ("DURATION", "1.5sec", 1.5),
        ("DURATION", "1m", 60),
        ("DURATION", "2min", 120),
        ("DURATION", "0.5h", 1800),
        ("DURATION", "5ms", 0.005),
        ("DURATION", "10 seconds", 10),
        ("DURATION", "1 Minute", 60),
        ("SLO", "0.1 seconds", 100),
        ("DURATION", "1e1", 10),
        ("WARM_UP", "0", 0),
        ("SLO", "100", 100),
        ("SLO", "100ms", 100),
        ("SLO", "0.1s", 100),
        ("RATE", "150", (150,)),
        ("RATE", "150/s", (150,)),
        ("RATE", "600/min, 5/S,10", (5, 10)),
        ("RATE", "3600/h", (1,)),
        ("RATE", [100, "50/s"], (50, 100)),
        ("STEP_FACTOR", ".5", 0.5),
        ("COMPRESSIBLE", "50%", 0.5),
        ("COMPRESSIBLE", "0.5", 0.5),
        ("COMPRESSIBLE", "100 %", 1),
        ("COMPRESSIBLE", 0, 0),
        ("PAYLOAD", "300", 300),
        ("PAYLOAD", "300B", 300),
        ("PAYLOAD", "1KiB", 1024),
        ("PAYLOAD", "1 kib", 1024),
        ("PAYLOAD", "1kB", 1000),
        ("PAYLOAD", "64KiB", 65_536),
        ("PAYLOAD", "1MiB", 2**20),
        ("PAYLOAD", "1k", 1000),
        ("PAYLOAD", "1K", 1000),
        ("PAYLOAD", "2m", 2 * 10**6),
        ("PAYLOAD", "200 bytes", 200),
        ("MAX_MESSAGE", "1GB", 10**9),
        ("MAX_MESSAGE", "1GiB", 2**30),
        ("PAYLOAD", "1.5KiB", 1536),
        ("PAYLOAD", 500, 500),
        ("ROUNDS", " 12 ", 12),
        ("RAW", "Yes", True),
        ("RAW", "off", False),
        ("CONNECTIONS", True, True),
        ("TRANSPORT", "REST, grpc,rest", ("rest", "grpc")),
        ("TRANSPORT", "kafka,rabbitmq,http", ("events", "broker", "rest")),
        ("FAULT", "Stop-Payment", "stop-payment"),
        ("REPLAY", "Some/File.csv", "Some/File.csv"),
    ],
)
def test_values_are_taken_as_people_type_them(name: str, text: Any, value: object) -> None:
    assert parse(SETTINGS[name], text) == value


@pytest.mark.parametrize(
    ("name", "text", "code"),
    [
        ("DURATION", "10 parsecs", "bad-seconds"),
        ("DURATION", "10/s", "bad-seconds"),
        ("DURATION", "0", "bad-seconds"),
        ("KEEP_ALIVE", "50ms", "bad-seconds"),
        ("KEEP_ALIVE", "2000h", "bad-seconds"),
        ("RATE", "10s", "bad-numbers"),
        ("RATE", [], "bad-numbers"),
        ("STEP_FACTOR", "5%", "bad-number"),
        ("SLO", "True", "bad-number"),
        ("COMPRESSIBLE", "101%", "bad-fraction"),
        ("COMPRESSIBLE", "nan", "bad-fraction"),
        ("COMPRESSIBLE", "\N{ARABIC-INDIC DIGIT ZERO}", "bad-fraction"),
        ("COMPRESSIBLE", "0_0", "bad-fraction"),
        ("PAYLOAD", "1.5B", "bad-size"),
        ("PAYLOAD", "1PiB", "bad-size"),
        ("PAYLOAD", True, "bad-size"),
        ("PROCESSES", "0", "bad-count"),
        ("ROUNDS", "1_0", "bad-count"),
        ("RAW", "maybe", "bad-flag"),
        ("FAULT", 3, "bad-text"),
        ("REPLAY", 3, "bad-path"),
        ("TRANSPORT", [3], "bad-names"),
    ],
)
def test_a_value_of_another_kind_is_refused_by_name(name: str, text: object, code: str) -> None:
    with refuses(code, f"{name} ({SETTINGS[name].key})"):
        parse(SETTINGS[name], text)


@pytest.mark.parametrize("text", ["1GB", "1GiB", "5m"])
def test_an_order_over_the_limit_is_refused_by_the_limit_whatever_its_unit(text: str) -> None:
    with refuses("payload-too-large", "PAYLOAD", "MAX_MESSAGE"):
        load_profile(settings={"TRANSPORT": "memory", "PAYLOAD": text})


@pytest.mark.parametrize("spec", WORDS, ids=lambda spec: spec.name)
def test_a_word_and_its_aliases_are_known_in_any_case(spec: SettingSpec) -> None:
    for word, meant in {**dict(zip(spec.choices, spec.choices, strict=True)), **spec.aliases}.items():
        assert {parse(spec, text) for text in (word, word.upper(), f" {word.title()} ")} == {meant}


@pytest.mark.parametrize("spec", WORDS, ids=lambda spec: spec.name)
def test_a_misspelt_word_is_refused_with_the_nearest_one_alone(spec: SettingSpec) -> None:
    for word in spec.choices:
        with refuses(f"unknown-{spec.name.lower()}", spec.name.lower(), f"'{word}x'", f"'{word}'") as refused:
            parse(spec, f"{word}x")
        assert not any(f"'{other}'" in str(refused.value) for other in spec.choices if other != word)


@pytest.mark.parametrize("spec", WORDS, ids=lambda spec: spec.name)
def test_a_word_that_is_near_to_none_is_refused_with_all_of_them(spec: SettingSpec) -> None:
    with refuses(f"unknown-{spec.name.lower()}", *spec.choices):
        parse(spec, "?")


def test_a_number_beyond_its_bounds_is_refused_with_both() -> None:
    with refuses("bad-number", "BURST", "1 to 1000"):
        parse(QUESTION["BURST"], "0.5")
    with refuses("bad-seconds", "0.1 to 86400"):
        parse(SETTINGS["KEEP_ALIVE"], "1000000")


@given(st.sampled_from(SPECS), st.text(max_size=20) | st.from_regex(r"[0-9.,e%-]{1,9} ?[a-zA-Z/%]{0,4}"))
@example(SETTINGS["PAYLOAD"], "1e9")
@example(SETTINGS["RATE"], "9e999")
@example(SETTINGS["DURATION"], "1\n")
def test_any_text_is_parsed_or_refused_with_a_code(spec: SettingSpec, text: str) -> None:
    try:
        parse(spec, text)
    except UsageError as error:
        assert error.code.startswith(("empty-setting", "bad-", "unknown-"))
        assert error.exit_code == ExitCode.USAGE
        assert len(str(error).splitlines()) == 1


@given(st.sampled_from(sorted(SETTINGS)), st.text(max_size=20))
@example("REPLAY", "\0")
@example("REPLAY", "no\nfile")
@example("CLIENT", "\0:\n")
@example("INTERPRETER", "found")
@example("INTERPRETER", "own,")
@example("INTERPRETER", "3\n12")
def test_any_text_makes_a_profile_or_is_refused_with_a_code(name: str, text: str) -> None:
    try:
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(interpreters, "find_interpreters", lambda: dict.fromkeys(HERE))
            load_profile(
                settings={"TRANSPORT": "memory", name: text, **({"ARRIVALS": "replay"} if name == "REPLAY" else {})}
            )
    except UsageError as error:
        assert error.code
        assert len(str(error).splitlines()) == 1


@pytest.mark.parametrize("name", ["\0.toml", "a\nb.toml", "/", "\0", "."])
def test_any_text_for_a_profile_is_refused_with_a_code(name: str) -> None:
    with pytest.raises(UsageError) as refused:
        load_profile(name)
    assert refused.value.code in ("unreadable-profile", "unknown-profile")
    assert len(str(refused.value).splitlines()) == 1


@given(st.sampled_from(of_kind("number", "seconds")), st.floats(1, 1000))
def test_a_number_as_it_is_shown_is_read_back(spec: SettingSpec, value: float) -> None:
    assert parse(spec, str(value)) == parse(spec, f"{value}{spec.unit}") == parse(spec, value) == value


@given(st.sampled_from(of_kind("numbers")), st.sets(st.floats(0.001, 1e6), min_size=1, max_size=5))
def test_numbers_as_they_are_shown_are_read_back(spec: SettingSpec, values: set[float]) -> None:
    assert parse(spec, ",".join(map(str, values))) == parse(spec, list(values)) == tuple(sorted(values))


@given(st.integers(1, 10**12 - 1))
def test_bytes_as_they_are_shown_are_read_back(size: int) -> None:
    assert parse_bytes(str(size)) == parse_bytes(f"{size}B") == size


@given(st.integers(1, 10**6), st.sampled_from([("KiB", 2**10), ("MiB", 2**20), ("kB", 1000), ("MB", 10**6)]))
def test_a_size_is_its_number_times_its_unit(number: int, unit: tuple[str, int]) -> None:
    assert parse(SETTINGS["PAYLOAD"], f"{number}{unit[0]}") == number * unit[1]


@given(st.integers(0, 10**15 - 1))
def test_a_count_as_it_is_shown_is_read_back(count: int) -> None:
    assert parse(replace(SETTINGS["SEED"], least=0), str(count)) == count


@given(st.floats(0, 1))
def test_a_fraction_as_it_is_shown_is_read_back(value: float) -> None:
    assert parse(SETTINGS["COMPRESSIBLE"], str(value)) == parse(SETTINGS["COMPRESSIBLE"], value) == value
    assert parse(SETTINGS["COMPRESSIBLE"], f"{100 * value}%") == pytest.approx(value, abs=1e-15)


@pytest.mark.parametrize("spec", of_kind("flag"), ids=lambda spec: spec.name)
@pytest.mark.parametrize("value", [True, False])
def test_a_flag_as_it_is_shown_is_read_back(spec: SettingSpec, value: bool) -> None:
    assert parse(spec, str(value)) is parse(spec, value) is value


@pytest.mark.parametrize("spec", [spec for spec in SPECS if spec.default is not None], ids=lambda spec: spec.name)
def test_a_default_is_a_value_of_its_setting(spec: SettingSpec) -> None:
    assert parse(spec, spec.default) == parse(spec, parse(spec, spec.default))

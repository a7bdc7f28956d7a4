"""Tests which settings are accepted and how others are refused."""

from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from bench.load.workload.orders import Workload
from bench.profile.loader import load_profile, restore_profile
from bench.profile.matrix import expand_cells
from bench.profile.resolve import LONGEST_PREFIX
from bench.results.setting_names import RENAMED
from bench.results.settings import SETTINGS
from tests.conftest import refuses
from transports.base import Setting
from transports.memory import MemoryTransport
from transports.wire import load_codec

MEMORY = {"TRANSPORT": "memory"}


def test_the_default_is_what_the_contract_says() -> None:
    profile = load_profile()
    assert profile.transports == ("rest", "grpc", "broker", "events")
    assert (profile.rates_per_s, profile.duration_s, profile.warm_up_s, profile.rounds) == ((150,), 6, 2, 7)
    assert (profile.payload_bytes, profile.durability, profile.store, profile.by_name) == (
        1024,
        "fast",
        "sqlite",
        False,
    )


def test_a_default_run_adds_grpc_with_json() -> None:
    assert [cell.name for cell in expand_cells(load_profile())] == ["rest", "grpc", "grpc+json", "broker", "events"]


def test_a_transport_measured_alone_has_one_cell() -> None:
    assert [cell.name for cell in expand_cells(load_profile(settings={"TRANSPORT": "grpc"}))] == ["grpc"]


def test_a_codec_that_is_given_is_used_by_every_cell() -> None:
    found = expand_cells(load_profile(settings={"CODEC": "json"}))
    assert {cell.cell.codec for cell in found} == {"json"}
    assert [cell.name for cell in found] == ["rest", "grpc+json", "broker", "events"]


def test_a_client_that_is_not_the_default_stands_in_the_name_and_the_options() -> None:
    (cell,) = expand_cells(load_profile(settings={"TRANSPORT": "rest", "CLIENT": "rest:httpx", "CODEC": "msgpack"}))
    assert (cell.name, cell.cell.client, cell.cell.options) == ("rest:httpx+msgpack", "httpx", {"client": "httpx"})


def test_a_client_without_a_transport_is_for_those_that_have_it() -> None:
    found = expand_cells(load_profile(settings={"TRANSPORT": "rest,grpc", "CLIENT": "httpx", "CODEC": "json"}))
    assert [cell.name for cell in found] == ["rest:httpx", "grpc+json"]


def test_an_order_smaller_than_the_smallest_is_refused() -> None:
    with refuses("payload-too-small", "PAYLOAD"):
        load_profile(settings=MEMORY | {"PAYLOAD": "20"})


def test_an_order_over_the_limit_is_refused() -> None:
    with refuses("payload-too-large", "PAYLOAD", "MAX_MESSAGE"):
        load_profile(settings=MEMORY | {"PAYLOAD": "64KiB", "MAX_MESSAGE": "64KiB"})


def test_transports_on_the_command_line_are_asked_for_by_name() -> None:
    profile = load_profile(settings={"TRANSPORT": "grpc, rest,grpc"})
    assert (profile.transports, profile.by_name) == (("grpc", "rest"), True)


@pytest.mark.parametrize("text", ["", " ", "\n"])
@pytest.mark.parametrize("name", SETTINGS)
def test_an_empty_setting_is_refused_by_name(name: str, text: str) -> None:
    with refuses("empty-setting", name):
        load_profile(settings={name: text})


@pytest.mark.parametrize(("old", "new"), RENAMED.items())
def test_an_old_setting_is_refused_with_the_new_word(old: str, new: str) -> None:
    with refuses("renamed-setting", old, new):
        load_profile(settings={old: "1"})


@pytest.mark.parametrize("key", ["trace", "hops_every", "product", "cold"])
def test_an_old_key_of_a_profile_is_refused_with_the_new_word(tmp_path: Path, key: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(f"{key} = 1\n")
    with refuses("renamed-setting", f"'{key}'"):
        load_profile(str(path), MEMORY)


def test_the_words_that_people_use_are_understood() -> None:
    profile = load_profile(settings={"transport": "HTTP, Kafka,rabbitmq", "backend": "Rabbit", "client": "http:HTTPX"})
    assert (profile.transports, profile.backend) == (("rest", "events", "broker"), "rabbitmq")
    assert profile.clients == {"rest": "httpx"}


def test_a_name_is_taken_as_a_flag_has_it() -> None:
    assert load_profile(settings=MEMORY | {"warm-up-max": "1m"}).warm_up_max_s == 60


def test_safe_durability_brings_sqlite() -> None:
    assert load_profile(settings=MEMORY | {"DURABILITY": "safe"}).store == "sqlite"


@pytest.mark.parametrize(
    ("given", "code", "names"),
    [
        ({"TRANSPORT": "grcp"}, "unknown-transport", ("'grcp'", "'grpc'")),
        ({"CODEC": "jsn"}, "unknown-codec", ("'jsn'", "'json'")),
        ({"CLIENT": "rest:httpxx", "TRANSPORT": "rest"}, "unknown-client", ("rest", "'httpxx'", "'httpx'")),
        ({"CLIENT": "httpxx", "TRANSPORT": "rest"}, "unknown-client", ("'httpxx'", "'httpx'")),
        ({"CLIENT": "rest:"}, "bad-clients", ("CLIENT", "'rest:'")),
        ({"CLIENT": "rset:aiohttp"}, "unknown-transport", ("'rset'", "'rest'")),
        ({"CLIENT": "memory:aiohttp"}, "no-client-choice", ("'memory'", "CLIENT")),
        ({"DURABILITY": "save"}, "unknown-durability", ("'save'", "'safe'")),
        ({"SECURITY": "mtsl"}, "unknown-security", ("'mtsl'", "'mtls'")),
        ({"STORE": "sqlit"}, "unknown-store", ("'sqlit'", "'sqlite'")),
        ({"DURABILITY": "safe", "STORE": "memory"}, "unsafe-store", ("STORE=sqlite",)),
        ({"DURATOIN": "3"}, "unknown-setting", ("'DURATOIN'", "'DURATION'")),
        ({"TRANSPORT": ","}, "no-transport", ("TRANSPORT",)),
        ({"RETRIES": "lots"}, "bad-count", ("RETRIES (retries)", "'lots'")),
        ({"PORTS": "80"}, "bad-count", ("PORTS", "1024")),
        ({"PORTS": "65535"}, "bad-ports", ("PORTS", "65532")),
    ],
)
def test_a_wrong_value_is_refused_with_the_nearest_right_one(
    given: dict[str, str], code: str, names: tuple[str, ...]
) -> None:
    with refuses(code, *names):
        load_profile(settings=MEMORY | given)


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("RATE", "bad-numbers"),
        ("DURATION", "bad-seconds"),
        ("PAYLOAD", "bad-size"),
        ("ROUNDS", "bad-count"),
        ("DEADLINE", "bad-seconds"),
        ("MAX_MESSAGE", "bad-size"),
    ],
)
@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "many", "1e400", "1Q", "\N{ARABIC-INDIC DIGIT THREE}"])
def test_what_is_not_a_positive_number_is_refused_with_its_name(name: str, code: str, text: str) -> None:
    with refuses(code, f"{name} ({SETTINGS[name].key})", repr(text)):
        load_profile(settings=MEMORY | {name: text})


def test_half_a_round_is_refused() -> None:
    with refuses("bad-count", "ROUNDS", "'1.5'"):
        load_profile(settings={"ROUNDS": "1.5"})


@pytest.mark.parametrize("rate", ["200,50,100", "50, 100,200,100"])
def test_several_rates_make_a_cell_of_every_method_at_each(rate: str) -> None:
    profile = load_profile(settings={"TRANSPORT": "rest,memory", "RATE": rate})
    assert [(cell.name, cell.rate_per_s) for cell in expand_cells(profile)] == [
        ("rest@50", 50),
        ("rest@100", 100),
        ("rest@200", 200),
        ("memory@50", 50),
        ("memory@100", 100),
        ("memory@200", 200),
    ]


def test_a_cell_knows_its_method_whatever_the_rate() -> None:
    made = expand_cells(load_profile(settings={"TRANSPORT": "rest,memory", "RATE": "50,100"}))
    assert [cell.method for cell in made] == ["rest", "rest", "memory", "memory"]


def test_rates_in_a_file_are_a_list(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("rate_per_s = [100, 50]\n")
    assert load_profile(str(path), MEMORY).rates_per_s == (50, 100)


@pytest.mark.parametrize("rate", ["50,", "50,x", "50,0", ","])
def test_a_list_with_something_that_is_no_rate_is_refused(rate: str) -> None:
    with refuses("bad-numbers", "RATE (rate_per_s)"):
        load_profile(settings=MEMORY | {"RATE": rate})


def test_two_arms_are_the_same_method_twice(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("arms = 2\n")
    one, other = expand_cells(load_profile(str(path), MEMORY))
    assert (one.name, other.name) == ("memory@a", "memory@b")
    assert replace(one.cell, name="") == replace(other.cell, name="")


def test_the_profile_of_an_a_a_run_has_thirty_runs_of_six_rounds_to_come() -> None:
    assert load_profile("aa").rounds >= 30 * 6
    assert [cell.name for cell in expand_cells(load_profile("aa"))] == ["rest@a", "rest@b", "broker@a", "broker@b"]


def test_a_kept_profile_is_what_was_kept() -> None:
    profile = load_profile("aa")
    assert restore_profile(msgspec.to_builtins(profile)) == profile


def test_a_kept_profile_with_settings_of_another_version_is_refused_in_a_sentence() -> None:
    with refuses("other-version", "colour"):
        restore_profile({**msgspec.to_builtins(load_profile("aa")), "colour": "blue"})


def test_a_kept_profile_goes_on_with_as_many_rounds_or_more() -> None:
    manifest = msgspec.to_builtins(load_profile("aa"))
    assert restore_profile(manifest, "999").rounds == 999
    with refuses("fewer-rounds", "ROUNDS", "'1'"):
        restore_profile(manifest, "1")


def test_no_warm_up_is_allowed() -> None:
    assert load_profile(settings=MEMORY | {"WARM_UP": "0"}).warm_up_s == 0


def test_an_unknown_profile_is_refused_with_the_nearest_right_name() -> None:
    with refuses("unknown-profile", "'defualt'", "'default'"):
        load_profile("defualt")


def test_a_profile_of_ones_own_changes_the_default(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('transports = ["memory"]\nrate_per_s = 20.5\npayload = 300\n[options.memory]\n')
    profile = load_profile(str(path))
    assert (profile.name, profile.rates_per_s, profile.payload_bytes, profile.rounds) == ("mine", (20.5,), 300, 7)


@pytest.mark.parametrize(
    ("content", "code", "name"),
    [
        ("rate_per_sec = 5", "unknown-profile-key", "'rate_per_s'"),
        ("rate_per_s = true", "bad-numbers", "rate_per_s"),
        ("rounds = 1.5", "bad-count", "rounds"),
        ("transports = 5", "bad-names", "transports"),
        ("clients = 5", "bad-clients", "clients"),
        ("[options.memory]\nspeed = 3", "unknown-option", "'speed'"),
        ("[options.memry]\nspeed = 3", "unknown-transport", "'memory'"),
        ("options = 3", "bad-options", "options"),
        ("also = 3", "bad-also", "also"),
        ('also = ["memory+jsno"]', "unknown-codec-or-compression", "'json'"),
        ("arms = 3", "bad-arms", "arms"),
        ("arms = 2\nrate_per_s = [50, 100]", "arms-at-several-rates", "RATE"),
        ("rate_per_s = ", "unreadable-profile", "mine.toml"),
        ('codec = ""', "empty-setting", "CODEC"),
    ],
)
def test_a_wrong_profile_is_refused(tmp_path: Path, content: str, code: str, name: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(f'transports = ["memory", "rest"]\n{content}' if "transports" not in content else content)
    with refuses(code, name):
        load_profile(str(path))


def test_a_profile_that_is_not_there_is_refused_by_its_path(tmp_path: Path) -> None:
    with refuses("unreadable-profile", "none.toml"):
        load_profile(str(tmp_path / "none.toml"))


@pytest.mark.parametrize(
    ("given", "code", "name"),
    [
        ({"FAULT": "stop-payment", "FAULT_AT": "3", "FAULT_FOR": "3"}, "fault-outlasts-window", "FAULT_FOR"),
        ({"FAULT": "kill-payment", "STORE": "memory"}, "fault-needs-store", "STORE"),
        ({"FAULT": "kill-payment", "STORE": "sqlite", "PROCESSES": "2"}, "fault-of-processes", "PROCESSES"),
        ({"FAULT": "stop-broker", "TRANSPORT": "rest"}, "fault-without-broker", "rest"),
        ({"FAULT": "kill-broker", "TRANSPORT": "grpc"}, "fault-without-broker", "grpc"),
        ({"FAULT": "cut-payment", "TRANSPORT": "memory"}, "fault-without-process", "memory"),
        ({"FAULT": "stop-payment", "TRANSPORT": "memory"}, "fault-without-process", "memory"),
        ({"FAULT": "stop-paymnt"}, "unknown-fault", "'stop-paymnt'"),
        ({"FAULT": "cut-broker"}, "fault-of-every-way", "cut-broker"),
    ],
)
def test_a_fault_that_could_not_be_or_would_not_end_is_refused(given: dict[str, str], code: str, name: str) -> None:
    with refuses(code, name):
        load_profile(settings=given)


def test_idle_connections_are_closed_by_each_client_that_closes_any() -> None:
    profile = load_profile(settings={"KEEP_ALIVE": "1.5", "TRANSPORT": "rest,grpc,broker,events"})
    assert {cell.transport: cell.cell.options.get("idle_s") for cell in expand_cells(profile)} == {
        "rest": 1.5,
        "grpc": 1.5,
        "broker": None,
        "events": 1.5,
    }


def test_a_limit_over_that_of_a_methods_server_is_refused_for_that_method() -> None:
    with refuses("message-too-large", "events", "8,388,608 bytes"):
        load_profile(settings={"TRANSPORT": "events", "MAX_MESSAGE": "9MiB"})
    assert load_profile(settings={"TRANSPORT": "rest,grpc,broker", "MAX_MESSAGE": "16MiB"}).max_message_bytes == 2**24


def test_the_largest_payload_is_one_that_goes_through() -> None:
    most_bytes = 4 * 2**20 - 4096 - 10
    profile = load_profile(settings={"PAYLOAD": str(most_bytes)})
    workload = Workload(prefix=LONGEST_PREFIX, seed=1, payload_bytes=most_bytes)
    limit_bytes = Setting(trial="t", max_message_bytes=profile.max_message_bytes).max_order_bytes
    assert len(load_codec("json").encode(workload.order(0))) == limit_bytes
    with refuses("payload-too-large", f"{most_bytes:,} bytes"):
        load_profile(settings={"PAYLOAD": str(most_bytes + 1)})


def test_a_codec_that_a_method_cannot_carry_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MemoryTransport, "traits", replace(MemoryTransport.traits, codecs=frozenset({"json"})))
    assert load_profile(settings={"TRANSPORT": "memory", "CODEC": "json"}).codec == "json"
    with refuses("unknown-codec", "memory", "'avro'", "json"):
        load_profile(settings={"TRANSPORT": "memory", "CODEC": "avro"})


def test_several_processes_are_for_methods_that_share_orders_among_them() -> None:
    with refuses("processes-not-shared", "memory", "PROCESSES"):
        load_profile(settings={"TRANSPORT": "memory", "PROCESSES": "2"})

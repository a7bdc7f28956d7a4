"""Tests which settings are accepted and how others are refused."""

import re
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from bench.errors import UsageError
from bench.load.workload.orders import Workload
from bench.profile.loader import kept, load
from bench.profile.matrix import cells
from bench.profile.resolve import LONGEST_PREFIX
from transports.base import Setting
from transports.memory import MemoryTransport
from transports.wire import load_codec

MEMORY = {"TRANSPORT": "memory"}


def test_the_default_is_what_the_contract_says() -> None:
    profile = load()
    assert profile.transports == ("rest", "grpc", "broker", "events")
    assert (profile.rates_per_s, profile.duration_s, profile.warm_up_s, profile.rounds) == ((150,), 6, 2, 7)
    assert (profile.payload_bytes, profile.durability, profile.store, profile.by_name) == (
        1024,
        "fast",
        "memory",
        False,
    )


def test_a_default_run_adds_grpc_with_json() -> None:
    assert [cell.name for cell in cells(load())] == ["rest", "grpc", "grpc+json", "broker", "events"]


def test_a_transport_measured_alone_has_one_cell() -> None:
    assert [cell.name for cell in cells(load(flags={"TRANSPORT": "grpc"}))] == ["grpc"]


def test_a_codec_that_is_given_is_used_by_every_cell() -> None:
    found = cells(load(flags={"CODEC": "json"}))
    assert {cell.codec for cell in found} == {"json"}
    assert [cell.name for cell in found] == ["rest", "grpc+json", "broker", "events"]


def test_a_client_that_is_not_the_default_stands_in_the_name_and_the_options() -> None:
    (cell,) = cells(load(flags={"TRANSPORT": "rest", "CLIENT": "rest:httpx", "CODEC": "msgpack"}))
    assert (cell.name, cell.client, cell.options) == ("rest:httpx+msgpack", "httpx", {"client": "httpx"})


def test_a_client_without_a_transport_is_for_those_that_have_it() -> None:
    found = cells(load(flags={"TRANSPORT": "rest,grpc", "CLIENT": "httpx", "CODEC": "json"}))
    assert [cell.name for cell in found] == ["rest:httpx", "grpc+json"]


def test_an_order_smaller_than_the_smallest_is_refused() -> None:
    with pytest.raises(UsageError, match="PAYLOAD is too small"):
        load(flags=MEMORY | {"PAYLOAD": "20"})


def test_an_order_over_the_limit_is_refused() -> None:
    with pytest.raises(UsageError, match="over the limit of an order"):
        load(flags=MEMORY | {"PAYLOAD": "64KiB", "MAX_MESSAGE": "64KiB"})


def test_transports_on_the_command_line_are_asked_for_by_name() -> None:
    profile = load(flags={"TRANSPORT": "grpc, rest,grpc"})
    assert (profile.transports, profile.by_name) == (("grpc", "rest"), True)


def test_an_empty_flag_is_one_not_given() -> None:
    assert load(flags={"TRANSPORT": "", "RATE": " ", "CODEC": ""}) == load()


@pytest.mark.parametrize(
    ("text", "size"), [("300", 300), ("300B", 300), ("1KiB", 1024), ("64KiB", 65536), ("1MiB", 2**20), ("1.5KiB", 1536)]
)
def test_sizes_have_units(text: str, size: int) -> None:
    assert load(flags=MEMORY | {"PAYLOAD": text}).payload_bytes == size


def test_safe_durability_brings_sqlite() -> None:
    assert load(flags=MEMORY | {"DURABILITY": "safe"}).store == "sqlite"


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        ({"TRANSPORT": "grcp"}, "no transport 'grcp'; did you mean 'grpc'\\?"),
        ({"CODEC": "jsn"}, "no codec 'jsn'; did you mean 'json'\\?"),
        ({"CLIENT": "rest:httpxx", "TRANSPORT": "rest"}, "no client of rest 'httpxx'; did you mean 'httpx'\\?"),
        ({"CLIENT": "rest:"}, "CLIENT must be pairs"),
        ({"CLIENT": "rset:aiohttp"}, "did you mean 'rest'\\?"),
        ({"CLIENT": "memory:aiohttp"}, "no choice of client"),
        ({"DURABILITY": "save"}, "did you mean 'safe'\\?"),
        ({"SECURITY": "mtsl"}, "did you mean 'mtls'\\?"),
        ({"STORE": "sqlit"}, "did you mean 'sqlite'\\?"),
        ({"DURABILITY": "safe", "STORE": "memory"}, "needs a store that survives"),
        ({"DURATOIN": "3"}, "no setting 'DURATOIN'; did you mean 'DURATION'\\?"),
        ({"TRANSPORT": ","}, "no transport to measure"),
    ],
)
def test_a_wrong_name_is_refused_with_the_nearest_right_one(flags: dict[str, str], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        load(flags=MEMORY | flags)


@pytest.mark.parametrize("flag", ["RATE", "DURATION", "PAYLOAD", "ROUNDS", "DEADLINE", "MAX_MESSAGE"])
@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "many", "1e400", "1K", "٣"])
def test_what_is_not_a_positive_number_is_refused_with_its_name(flag: str, text: str) -> None:
    if (flag, text) in (("RATE", "٣"), ("DURATION", "٣"), ("DEADLINE", "٣")):
        return  # a digit is a digit to Python's float
    with pytest.raises(UsageError, match=rf"{flag} \(\w+\) must be a "):
        load(flags=MEMORY | {flag: text})


def test_half_a_round_is_refused() -> None:
    with pytest.raises(UsageError, match="whole number"):
        load(flags={"ROUNDS": "1.5"})


@pytest.mark.parametrize("rate", ["200,50,100", "50, 100,200,100"])
def test_several_rates_make_a_cell_of_every_method_at_each(rate: str) -> None:
    profile = load(flags={"TRANSPORT": "rest,memory", "RATE": rate})
    assert [(cell.name, cell.rate_per_s) for cell in cells(profile)] == [
        ("rest@50", 50),
        ("rest@100", 100),
        ("rest@200", 200),
        ("memory@50", 50),
        ("memory@100", 100),
        ("memory@200", 200),
    ]


def test_a_cell_knows_its_method_whatever_the_rate() -> None:
    made = cells(load(flags={"TRANSPORT": "rest,memory", "RATE": "50,100"}))
    assert [cell.method for cell in made] == ["rest", "rest", "memory", "memory"]


def test_rates_in_a_file_are_a_list(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("rate_per_s = [100, 50]\n")
    assert load(str(path), MEMORY).rates_per_s == (50, 100)


@pytest.mark.parametrize("rate", ["50,", "50,x", "50,0", ","])
def test_a_list_with_something_that_is_no_rate_is_refused(rate: str) -> None:
    with pytest.raises(UsageError, match="RATE \\(rate_per_s\\) must be a positive number"):
        load(flags=MEMORY | {"RATE": rate})


def test_two_arms_are_the_same_method_twice(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("arms = 2\n")
    one, other = cells(load(str(path), MEMORY))
    assert (one.name, other.name) == ("memory@a", "memory@b")
    assert replace(one, name="") == replace(other, name="")


def test_the_profile_of_an_a_a_run_has_thirty_runs_of_six_rounds_to_come() -> None:
    assert load("aa").rounds >= 30 * 6
    assert [cell.name for cell in cells(load("aa"))] == ["rest@a", "rest@b", "broker@a", "broker@b"]


def test_a_kept_profile_is_what_was_kept() -> None:
    profile = load("aa")
    assert kept(msgspec.to_builtins(profile)) == profile


def test_a_kept_profile_with_settings_of_another_version_is_refused_in_a_sentence() -> None:
    with pytest.raises(UsageError, match="begun by another version of Fourways"):
        kept({**msgspec.to_builtins(load("aa")), "colour": "blue"})


def test_no_warm_up_is_allowed() -> None:
    assert load(flags=MEMORY | {"WARM_UP": "0"}).warm_up_s == 0


def test_an_unknown_profile_is_refused_with_the_nearest_right_name() -> None:
    with pytest.raises(UsageError, match="no profile 'defualt'; did you mean 'default'\\?"):
        load("defualt")


def test_a_profile_of_ones_own_changes_the_default(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('transports = ["memory"]\nrate_per_s = 20.5\npayload = 300\n[options.memory]\n')
    profile = load(str(path))
    assert (profile.name, profile.rates_per_s, profile.payload_bytes, profile.rounds) == ("mine", (20.5,), 300, 7)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("rate_per_sec = 5", "no profile key 'rate_per_sec'; did you mean 'rate_per_s'\\?"),
        ("rate_per_s = true", "must be a positive number"),
        ("rounds = 1.5", "whole number"),
        ("transports = 5", "must be names"),
        ("clients = 5", "clients must be a table"),
        ("[options.memory]\nspeed = 3", "no setting of memory 'speed'"),
        ("[options.memry]\nspeed = 3", "did you mean 'memory'\\?"),
        ("options = 3", "options must be tables"),
        ("arms = 3", "arms must be 1 or 2"),
        ("arms = 2\nrate_per_s = [50, 100]", "at one rate"),
        ("rate_per_s = ", "is not TOML"),
    ],
)
def test_a_wrong_profile_is_refused_in_a_sentence(tmp_path: Path, content: str, sentence: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(content)
    with pytest.raises(UsageError, match=sentence):
        load(str(path), MEMORY if "transports" not in content else {})


def test_a_profile_that_is_not_there_is_refused_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        load(str(tmp_path / "none.toml"))


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"FAULT": "stop-payment", "FAULT_AT": "3", "FAULT_FOR": "3"}, "away until 6 s of a window of 6 s"),
        ({"FAULT": "kill-payment"}, "needs a store that survives it"),
        ({"FAULT": "kill-payment", "STORE": "sqlite", "PROCESSES": "2"}, "services of one process"),
        ({"FAULT": "stop-broker", "TRANSPORT": "rest"}, "rest has no broker"),
        ({"FAULT": "kill-broker", "TRANSPORT": "grpc"}, "grpc has no broker"),
        ({"FAULT": "cut-payment", "TRANSPORT": "memory"}, "memory has no processes"),
        ({"FAULT": "stop-payment", "TRANSPORT": "memory"}, "memory has no processes"),
    ],
)
def test_a_fault_that_could_not_be_or_would_not_end_is_refused(flags: dict[str, str], said: str) -> None:
    with pytest.raises(UsageError, match=re.escape(said)):
        load(flags=flags)


def test_idle_connections_are_closed_by_each_client_that_closes_any() -> None:
    profile = load(flags={"KEEP_ALIVE": "1.5", "TRANSPORT": "rest,grpc,broker,events"})
    assert {cell.transport: cell.options.get("idle_s") for cell in cells(profile)} == {
        "rest": 1.5,
        "grpc": 1.5,
        "broker": None,
        "events": 1.5,
    }


def test_a_limit_over_that_of_a_methods_server_is_refused_for_that_method() -> None:
    with pytest.raises(UsageError, match="events takes 8,388,608 bytes at once"):
        load(flags={"TRANSPORT": "events", "MAX_MESSAGE": "9MiB"})
    assert load(flags={"TRANSPORT": "rest,grpc,broker", "MAX_MESSAGE": "16MiB"}).max_message_bytes == 2**24


def test_the_largest_payload_is_one_that_goes_through() -> None:
    most_bytes = 4 * 2**20 - 4096 - 10
    profile = load(flags={"PAYLOAD": str(most_bytes)})
    workload = Workload(prefix=LONGEST_PREFIX, seed=1, payload_bytes=most_bytes)
    limit_bytes = Setting(trial="t", max_message_bytes=profile.max_message_bytes).max_order_bytes
    assert len(load_codec("json").encode(workload.order(0))) == limit_bytes
    with pytest.raises(UsageError, match=f"is {most_bytes:,} bytes"):
        load(flags={"PAYLOAD": str(most_bytes + 1)})


def test_a_codec_that_a_method_cannot_carry_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MemoryTransport, "traits", replace(MemoryTransport.traits, codecs=frozenset({"json"})))
    assert load(flags={"TRANSPORT": "memory", "CODEC": "json"}).codec == "json"
    with pytest.raises(UsageError, match="no codec of memory 'avro'; there are: json"):
        load(flags={"TRANSPORT": "memory", "CODEC": "avro"})


def test_several_processes_are_for_methods_that_share_orders_among_them() -> None:
    with pytest.raises(UsageError, match="memory does not share a service's orders among processes"):
        load(flags={"TRANSPORT": "memory", "PROCESSES": "2"})

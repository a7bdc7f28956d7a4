"""Tests which bare chains stand beside the methods of a run, and that nothing changes them."""

import pytest

from bench.profile.arms import group_arms
from bench.profile.loader import load_profile
from bench.profile.matrix import expand_cells
from bench.profile.schema import CellSettings
from bench.profile.yardstick import FROZEN
from bench.results.settings import factors
from tests.conftest import refuses


def yardsticks(**settings: str) -> list[CellSettings]:
    cells = expand_cells(load_profile(settings={"SLICE": "500ms", **settings}))
    return [cell for cell in cells if cell.transport.startswith("bare-")]


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ({}, ["bare-rest"]),
        ({"TRANSPORT": "grpc"}, ["bare-rest"]),
        ({"TRANSPORT": "memory,rest"}, ["bare-rest"]),
        ({"YARDSTICK": "none"}, []),
        ({"TRANSPORT": "memory"}, []),
        ({"SLICE": "0"}, []),
        ({"YARDSTICK": "each"}, ["bare-rest", "bare-grpc", "bare-broker", "bare-events"]),
        ({"YARDSTICK": "each", "TRANSPORT": "events", "BACKEND": "rabbitmq"}, ["bare-rest", "bare-events"]),
        ({"SECURITY": "mtls"}, ["bare-rest"]),
    ],
)
def test_a_run_in_sets_has_the_bare_rest_chain_or_what_is_asked_for(settings: dict[str, str], names: list[str]) -> None:
    if settings.get("SLICE") == "0":
        assert [cell.name for cell in expand_cells(load_profile()) if cell.name.startswith("bare-")] == []
    else:
        assert [cell.name for cell in yardsticks(**settings)] == names


def test_an_a_a_run_has_none() -> None:
    assert [cell.method for cell in expand_cells(load_profile("aa-sets")) if cell.method.startswith("bare-")] == []


OTHERS = {
    "PAYLOAD": "64KiB",
    "RATE": "300",
    "SECURITY": "auth",
    "DURABILITY": "safe",
    "PROCESSES": "2",
    "COMPRESSION": "gzip",
    "CODEC": "msgpack",
    "CLIENT": "httpx",
    "SHAPE": "structured",
    "COMPRESSIBLE": "0.5",
    "ARRIVALS": "constant",
    "RETRIES": "3",
    "KEEP_ALIVE": "5s",
    "DEADLINE": "9s",
    "MAX_MESSAGE": "2MiB",
    "TRACE_EVERY": "5",
}


def test_it_is_the_same_whatever_the_run_is_asked_for() -> None:
    (plain,), (other,) = yardsticks(TRANSPORT="rest"), yardsticks(TRANSPORT="rest", **OTHERS)
    assert other.columns() == plain.columns()
    fields = set(plain.profile.__struct_fields__) - {"name", "transports", "by_name", "rates_per_s", "compressible"}
    changed = {name for name in fields if getattr(plain.profile, name) != getattr(other.profile, name)}
    assert changed == set()
    assert (other.rate_per_s, other.profile.payload_bytes, other.profile.store) == (150, 1024, "memory")


def test_every_factor_is_frozen_or_part_of_the_cell() -> None:
    """A factor that is added later has to be frozen as well."""
    known = {
        "transports",
        "rate_per_s",
        "fault",
        "interpreter",
        "payload",
        "clients",
        "codec",
        "compression",
        "backend",
    }
    assert set(factors()) - known - set(FROZEN) == set()


def test_methods_and_bare_chains_share_no_services() -> None:
    cells = expand_cells(load_profile(settings={"SLICE": "500ms", "TRANSPORT": "rest", "STORE": "memory"}))
    assert [[cell.name for cell in arm.cells] for arm in group_arms(cells)] == [["rest"], ["bare-rest"]]


def test_each_bare_chain_is_refused_at_a_level_of_security() -> None:
    with refuses("yardstick-with-security"):
        yardsticks(YARDSTICK="each", SECURITY="tls")


def test_a_bare_chain_is_no_method() -> None:
    with refuses("unknown-transport", "bare-rest"):
        load_profile(settings={"TRANSPORT": "bare-rest"})


def test_whole_trials_have_no_yardstick_to_choose() -> None:
    with refuses("setting-of-slices", "YARDSTICK"):
        load_profile(settings={"YARDSTICK": "each"})

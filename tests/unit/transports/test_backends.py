"""Tests the choice of a method's backend: names, refusals and cell names."""

import asyncio
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import confluent_kafka
import pytest
from aiokafka.errors import KafkaConnectionError, KafkaError, KafkaTimeoutError, MessageSizeTooLargeError
from confluent_kafka import KafkaError as TheirError

from bench.profile.loader import load_profile
from bench.profile.matrix import expand_cells
from shop.messages import KIND_BY_TYPE, OrderClosed
from shop.workflow import SERVICES, list_consumed_types
from tests.conftest import refuses
from transports.backends.kafka.config import Config
from transports.backends.kafka.librdkafka import build_consumer_options, build_producer_options, translate_error
from transports.backends.kafka.topology import _abort_closed_connections
from transports.backends.routes import Routes
from transports.base import Setting, Style
from transports.broker.routes import PIPELINE
from transports.errors import SettingError
from transports.events.routes import CHOREOGRAPHY
from transports.registry import list_backends, load_transport, select_transport


@pytest.mark.parametrize(
    ("method", "backend", "style"),
    [
        ("broker", "rabbitmq", Style.PIPELINE),
        ("broker", "kafka", Style.PIPELINE),
        ("events", "kafka", Style.CHOREOGRAPHY),
        ("events", "rabbitmq", Style.CHOREOGRAPHY),
    ],
)
def test_a_pairing_has_its_methods_style_and_its_backends_server(method: str, backend: str, style: Style) -> None:
    traits = load_transport(method, backend).traits
    assert (traits.style, traits.needs) == (style, {backend})


@pytest.mark.parametrize(("method", "backend"), [("broker", "rabbitmq"), ("events", "kafka")])
def test_without_a_backend_a_method_runs_over_its_own(method: str, backend: str) -> None:
    assert load_transport(method) is load_transport(method, backend)
    assert list_backends(method) == ("kafka", "rabbitmq")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "other"), [("broker", "aiokafka"), ("events", "aio_pika"), ("events", "confluent_kafka")]
)
def test_a_service_loads_no_library_of_another_backend_or_client(method: str, other: str) -> None:
    """It would be counted as memory of the method."""
    program = (
        f"import sys; from transports.registry import load_transport; load_transport({method!r}); "
        f"print({other!r} in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_a_backend_that_a_method_does_not_have_is_refused_by_name() -> None:
    with refuses("unknown-backend", "broker", "'kafak'", "'kafka'", kind=SettingError):
        load_transport("broker", "kafak")
    with refuses("no-backend-choice", "rest", "BACKEND", kind=SettingError):
        load_transport("rest", "kafka")
    assert select_transport("rest", "kafka") is load_transport("rest")


@pytest.mark.parametrize("routes", [PIPELINE, CHOREOGRAPHY], ids=lambda routes: routes.style.value)
def test_a_service_listens_wherever_a_message_that_it_consumes_goes(routes: Routes) -> None:
    assert set(routes.place_of) == set(KIND_BY_TYPE)
    for service in SERVICES:
        assert {routes.place_of[message] for message in list_consumed_types(service)} == set(
            routes.subscriptions(service)
        )
        assert routes.outcome not in routes.subscriptions(service)
    assert routes.place_of[OrderClosed] == routes.outcome


def test_another_backend_than_a_methods_own_stands_in_the_name_of_its_cell() -> None:
    found = expand_cells(load_profile(settings={"TRANSPORT": "rest,broker,events", "BACKEND": "kafka"}))
    assert [(cell.name, cell.cell.product) for cell in found] == [
        ("rest", ""),
        ("broker+kafka", "kafka"),
        ("events", "kafka"),
    ]
    assert [cell.cell.pairing for cell in found] == ["rest", "broker+kafka", "events"]
    assert found[1].kind is load_transport("broker", "kafka")


def test_a_backend_goes_with_a_client_a_codec_and_a_compression() -> None:
    flags = {"TRANSPORT": "broker", "BACKEND": "kafka", "CLIENT": "confluent", "CODEC": "avro", "COMPRESSION": "gzip"}
    (cell,) = expand_cells(load_profile(settings=flags))
    assert (cell.name, cell.cell.client) == ("broker:confluent+kafka+avro+gzip", "confluent")


def test_also_may_name_a_backend(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('transports = ["rest", "broker"]\nalso = ["broker:confluent+kafka", "broker+kafka+gzip"]')
    found = {
        cell.name: (cell.cell.product, cell.cell.client, cell.cell.compression)
        for cell in expand_cells(load_profile(str(path)))
    }
    assert found == {
        "rest": ("", "aiohttp", "none"),
        "broker": ("rabbitmq", "aio-pika", "none"),
        "broker:confluent+kafka": ("kafka", "confluent", "none"),
        "broker+kafka+gzip": ("kafka", "aiokafka", "gzip"),
    }


@pytest.mark.parametrize(
    ("given", "code", "names"),
    [
        ({"BACKEND": "kafka", "TRANSPORT": "rest,grpc"}, "no-backend-choice", ("BACKEND=kafka", "rest and grpc")),
        ({"BACKEND": "rabitmq"}, "unknown-backend", ("'rabitmq'", "'rabbitmq'")),
        ({"TRANSPORT": "broker", "CLIENT": "broker:confluent"}, "unknown-client", ("'confluent'", "aio-pika")),
        ({"TRANSPORT": "broker", "COMPRESSION": "gzip"}, "unknown-compression", ("broker", "'gzip'", "none")),
    ],
)
def test_what_cannot_be_over_a_backend_is_refused_by_name(
    given: dict[str, str], code: str, names: tuple[str, ...]
) -> None:
    with refuses(code, *names):
        load_profile(settings=given)


@pytest.mark.parametrize(
    ("block", "code", "names"),
    [
        ('backend = ["rabbitmq", "kafka"]', "no-backend-choice", ("rest", "backend rabbitmq")),
        ('clients = ["httpx"]', "unknown-client", ("broker", "clients httpx", "'httpx'")),
        (
            'store = ["memory"]\ndurability = ["safe"]',
            "unsafe-store",
            ("store memory", "durability safe", "STORE=sqlite"),
        ),
    ],
)
def test_a_level_that_a_method_does_not_have_is_refused_by_name(
    tmp_path: Path, block: str, code: str, names: tuple[str, ...]
) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(f'transports = ["rest", "broker"]\nalso = []\n[[block]]\n{block}\n')
    with refuses(code, *names):
        load_profile(str(path))


def test_a_design_may_be_measured_over_another_backend() -> None:
    found = expand_cells(load_profile("processes", {"BACKEND": "kafka"}))
    assert {cell.cell.pairing for cell in found} == {"rest", "grpc", "broker+kafka", "events"}


@pytest.mark.parametrize(
    ("code", "ours"),
    [
        (TheirError._MSG_TIMED_OUT, KafkaTimeoutError),
        (TheirError._ALL_BROKERS_DOWN, KafkaConnectionError),
        (TheirError.MSG_SIZE_TOO_LARGE, MessageSizeTooLargeError),
        (TheirError._FATAL, KafkaError),
    ],
)
def test_errors_of_librdkafka_are_those_of_aiokafka(code: int, ours: type[KafkaError]) -> None:
    assert isinstance(translate_error(confluent_kafka.KafkaError(code)), ours)


def test_librdkafka_looks_every_second_at_the_latest_whether_a_broker_is_back() -> None:
    setting = Setting(trial="t", servers={"kafka": "127.0.0.1:9092"})
    for options in (
        build_producer_options(Config(), setting, "buyer"),
        build_consumer_options(Config(), setting, "user", "g"),
    ):
        assert options["reconnect.backoff.max.ms"] == 1000


async def test_only_connections_that_aiokafka_has_closed_are_hung_up() -> None:
    gone = {"closed": asyncio.Event(), "open": asyncio.Event()}

    def connection(name: str) -> SimpleNamespace:
        return SimpleNamespace(_writer=SimpleNamespace(transport=SimpleNamespace(abort=gone[name].set)))

    closed, still_open = connection("closed"), connection("open")
    kafka: Any = SimpleNamespace(_client=SimpleNamespace(_conns={1: still_open, 2: closed}))
    hanging_up = asyncio.create_task(_abort_closed_connections(kafka))
    await asyncio.sleep(0)
    closed._writer = None
    await asyncio.wait_for(gone["closed"].wait(), 30)
    hanging_up.cancel()
    assert not gone["open"].is_set()

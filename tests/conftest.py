"""Fixtures and builders shared by all tests."""

import dataclasses
import os
import secrets
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager

import pytest
import pytest_asyncio
from hypothesis import settings

from bench.errors import Refusal, UsageError
from bench.paths import STATE
from bench.provision import postgres
from bench.provision.base import Broker
from bench.provision.brokers import BROKER_NAMES, URL_VARIABLES, provide_brokers
from shop.catalogue import PRICES_CENTS, PRODUCT_NAMES
from shop.messages import Order, OrderLine, PlaceOrder
from shop.payments import GOOD_CARD
from shop.store import Store
from stores import admin
from stores.postgres import PostgresStore
from stores.urls import name_database
from tests.shared_brokers import share_brokers
from transports.errors import SettingError, TransportError

pytest_plugins = ("tests.tiers", "tests.short_lived_java")

# The same examples in every run, and no limit on how long one takes: a slow machine is no defect.
settings.register_profile("fourways", derandomize=True, deadline=None)
settings.load_profile("fourways")

HOME = STATE


def build_order(order_id: str = "order-1", **changes: object) -> Order:
    """Returns a small order that will be shipped, with ``changes``."""
    sku = "SKU-0003"
    line = OrderLine(sku, PRODUCT_NAMES[sku], 2, PRICES_CENTS[sku])
    order = Order(order_id, "user-0001", GOOD_CARD, "3 Canal Street, Leiden", (line,))
    return dataclasses.replace(order, **changes)  # type: ignore[arg-type]


@contextmanager
def refuses(
    code: str, *names: str, kind: type[Refusal | SettingError | TransportError] = UsageError
) -> Iterator[pytest.ExceptionInfo[Exception]]:
    """Asserts that the block raises an error of this kind and code: one line, in which each of these names stands."""
    with pytest.raises(kind) as refused:
        yield refused
    error = refused.value
    assert error.code == code, error
    assert getattr(error, "exit_code", None) is getattr(kind, "exit_code", None)
    assert len(str(error).splitlines()) == 1
    for name in names:
        assert name in str(error)


@pytest.fixture
def place_order() -> PlaceOrder:
    return PlaceOrder(build_order())


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def postgres_server() -> AsyncIterator[Broker]:
    """A real PostgreSQL server: that of POSTGRES_URL, or one started for this session."""
    given = {postgres.NAME: os.environ[postgres.URL_VARIABLE]} if os.environ.get(postgres.URL_VARIABLE) else {}
    async with provide_brokers([postgres.NAME], given=given, home=HOME, say=lambda _: None) as found:
        server = found[postgres.NAME]
        if not isinstance(server, Broker):
            pytest.skip(server.why)
        yield server


@pytest.fixture
def open_postgres(postgres_server: Broker) -> Iterator[Callable[[str], Store]]:
    """Opens an empty store for a service, each in a database of its own."""
    opened: dict[str, Store] = {}

    def open_store(service: str) -> Store:
        name = f"test-{secrets.token_hex(4)}-{service}"
        admin.create_databases(postgres_server.url, [name])
        opened[name] = PostgresStore(name_database(postgres_server.url, name))
        return opened[name]

    yield open_store
    for store in opened.values():
        store.close()
    admin.drop_databases(postgres_server.url, opened)


@asynccontextmanager
async def start_brokers() -> AsyncIterator[Mapping[str, str]]:
    """Real brokers, and their URLs: those of `make up`, or ones started here."""
    given = {name: os.environ[variable] for name, variable in URL_VARIABLES.items() if os.environ.get(variable)}
    async with provide_brokers(BROKER_NAMES, given=given, home=HOME, say=lambda _: None) as found:
        for broker in found.values():
            assert isinstance(broker, Broker), broker
        yield {name: broker.url for name, broker in found.items() if isinstance(broker, Broker)}


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def servers(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> AsyncIterator[Mapping[str, str]]:
    """URLs of real brokers, which all workers of this session share."""
    folder = tmp_path_factory.getbasetemp()
    async with share_brokers(folder if worker_id == "master" else folder.parent, start_brokers()) as urls:
        yield urls

"""Tests how old a broker's version is, against the dated table in the repository."""

from datetime import date

import pytest

from bench.provision import compose
from bench.provision.base import Broker
from bench.provision.install import POM_FILE
from bench.provision.versions import AS_OF, RELEASES, describe_age, find_age
from bench.report.ground import describe_server
from bench.results.differences import find_differences
from bench.runner.manifest import describe_broker, list_manifest_caveats


@pytest.mark.parametrize("product", RELEASES)
def test_no_version_is_of_the_future(product: str) -> None:
    assert max(RELEASES[product].values()) <= AS_OF


@pytest.mark.parametrize(
    ("product", "version", "released", "old_days"),
    [
        ("rabbitmq", "3.10.8", date(2022, 9, 28), (date(2026, 10, 6) - date(2022, 9, 28)).days),
        ("rabbitmq", "4.3.6", date(2026, 10, 6), 0),
        ("rabbitmq", "9.0.0", None, 0),
        # Not in the table: as old as the newest one below it of its series.
        ("rabbitmq", "4.3.4", None, (date(2026, 10, 6) - date(2026, 6, 16)).days),
        ("erlang", "27.1.2", None, (date(2026, 9, 23) - date(2024, 5, 17)).days),
        ("postgres", "15.18", date(2026, 5, 14), (date(2026, 8, 13) - date(2026, 5, 14)).days),
        ("postgres", "16.12", None, (date(2026, 8, 13) - date(2025, 11, 13)).days),
        ("postgres", "18.6", date(2026, 8, 13), 0),
        ("postgres", "12.22", None, None),
        # Of a series that is not in the table.
        ("kafka", "2.8.0", None, None),
    ],
)
def test_a_version_is_as_old_as_it_is_behind_the_newest_known(
    product: str, version: str, released: date | None, old_days: int | None
) -> None:
    age = find_age(product, version)
    assert age is not None
    assert (age.released, age.how_old_days) == (released, old_days)
    assert age.newest_known == list(RELEASES[product])[-1]


@pytest.mark.parametrize(
    ("product", "version"), [("nats", "2.10"), ("kafka", ""), ("kafka", "4.3.0-SNAPSHOT"), ("postgres", "19beta3")]
)
def test_of_what_is_not_known_no_age_is_said(product: str, version: str) -> None:
    assert find_age(product, version) is None
    assert "not known" in describe_age(product, version)


def test_the_compose_files_and_the_jars_are_of_known_versions_that_are_not_old() -> None:
    for name in ("rabbitmq", "kafka", "postgres"):
        version = compose.read_image_version(name)
        assert version in RELEASES[name]
        age = find_age(name, version)
        assert age is not None and not age.is_old
    assert f"<version>{compose.read_image_version('kafka')}</version>" in POM_FILE.read_text("utf-8")


def test_the_manifest_says_how_old_a_broker_is() -> None:
    broker = Broker("rabbitmq", "amqp://", "native", "3.10.8", runtime="Erlang/OTP 25.2.3")
    assert describe_broker(broker) == {
        "version": "3.10.8",
        "provided_by": "native",
        "runtime": "Erlang/OTP 25.2.3",
        "released": "2022-09-28",
        "newest_known": "4.3.6",
        "how_old_days": 1469,
    }


def test_the_manifest_says_how_old_a_database_server_is_and_the_page_begins_with_it() -> None:
    said = describe_broker(Broker("postgres", "postgresql://", "native", "15.18"))
    assert (said["released"], said["newest_known"], said["how_old_days"]) == ("2026-05-14", "18.6", 91)
    assert describe_server("postgres", "15.18") == "PostgreSQL 15.18 (2026-05-14, 91 days behind 18.6)"


def test_of_a_broker_whose_version_is_not_known_the_manifest_says_what_it_can() -> None:
    assert describe_broker(Broker("nats", "nats://", "given", "")) == {"version": "", "provided_by": "given"}


@pytest.mark.parametrize(("version", "doubts"), [("3.10.8", ["old-broker"]), ("4.0.9", ["old-broker"]), ("4.3.6", [])])
def test_a_broker_that_is_a_year_behind_is_a_doubt(version: str, doubts: list[str]) -> None:
    broker = describe_broker(Broker("rabbitmq", "amqp://", "native", version))
    assert [doubt.name for doubt in list_manifest_caveats({"git": {}, "brokers": {"rabbitmq": broker}})] == doubts


def test_a_kept_run_whose_manifest_says_no_age_has_no_such_doubt() -> None:
    brokers = {"rabbitmq": {"version": "3.10.8", "provided_by": "native"}}
    assert list_manifest_caveats({"git": {}, "brokers": brokers}) == ()


def test_two_runs_differ_in_versions_and_not_in_what_was_the_newest_known() -> None:
    then = {"brokers": {"kafka": {"version": "4.3.0", "newest_known": "4.3.0", "how_old_days": 0}}}
    now = {"brokers": {"kafka": {"version": "4.3.0", "newest_known": "4.4.0", "how_old_days": 178}}}
    other = {"brokers": {"kafka": {"version": "4.4.0", "newest_known": "4.4.0", "how_old_days": 0}}}
    assert list(find_differences(then, now, ("brokers",))) == []
    assert [change.what for change in find_differences(now, other, ("brokers",))] == ["brokers.kafka.version"]

"""Tests keys, tokens and security levels, without connections."""

import base64
import json
import stat
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bench.profile.loader import load_profile
from bench.provision.base import Security
from bench.provision.certificates import VALID_AFTER, CertificateAuthority, make_keys, validate_keys
from bench.provision.kafka_tls import build_tls_settings, build_user_arguments
from bench.provision.rabbitmq_tls import (
    choose_listener_kinds,
    format_definitions,
    format_listeners,
    format_mtls_listener,
)
from shop.messages import OrderClosed
from tests.conftest import build_order, refuses
from transports.backends.rabbitmq.client import RabbitMQClient
from transports.backends.rabbitmq.topology import TrialQueues
from transports.base import Setting
from transports.broker.routes import PIPELINE
from transports.errors import SettingError
from transports.registry import load_transport
from transports.security import (
    ROLES,
    AccessGuard,
    Forbidden,
    RoleKeys,
    Unauthenticated,
    build_guard,
    find_producer_role,
)
from transports.wire import load_codec

LATER = datetime.now(UTC) + timedelta(hours=1)
Made = tuple[CertificateAuthority, Path]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    authority, folder = CertificateAuthority(), tmp_path_factory.mktemp("made") / "keys"
    authority.write_all_keys(folder)
    return authority, folder


@pytest.fixture
def guard(made: Made) -> AccessGuard:
    """Of the product service, whom the user service asks."""
    found = build_guard(Setting(trial="t", security="auth", keys=str(made[1])), "product")
    assert found is not None
    return found


def test_nobody_but_their_owner_can_read_what_is_secret(made: Made) -> None:
    secret = [p for p in made[1].rglob("*") if p.is_file() and p.name not in PUBLIC]
    assert {path.name for path in secret} >= {"key.pem", "password", "user.jwt"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in secret} == {0o600}


PUBLIC = {"authority.pem", "tokens.pem", "openssl.cnf", "certificate.pem"}


@pytest.mark.parametrize("ask", [lambda k: k.key, lambda k: k.password, lambda k: k.token("user")])
def test_a_secret_that_others_can_read_is_refused_by_its_path(
    ask: Callable[[RoleKeys], object], tmp_path: Path
) -> None:
    CertificateAuthority().write_all_keys(tmp_path / "keys")
    for path in (tmp_path / "keys" / "buyer").iterdir():
        path.chmod(0o644)
    with refuses("open-keys", str(tmp_path / "keys" / "buyer"), "644", kind=SettingError):
        ask(RoleKeys(tmp_path / "keys", "buyer"))


def test_a_folder_without_keys_is_refused_by_its_name(tmp_path: Path) -> None:
    with refuses("no-keys", str(tmp_path), "certificate.pem", kind=SettingError):
        validate_keys(tmp_path)


def test_keys_are_good_for_a_run_when_a_clock_is_off_by_a_day(made: Made) -> None:
    for days in (-1, 0, 1):
        validate_keys(made[1], now=datetime.now(UTC) + timedelta(days=days, minutes=1))


@pytest.mark.parametrize(
    "off", [VALID_AFTER - timedelta(hours=5), -timedelta(days=1, minutes=1)], ids=["ends", "begins"]
)
def test_keys_that_are_not_good_for_the_whole_of_a_run_are_refused(made: Made, off: timedelta) -> None:
    with refuses("keys-expired", str(made[1]), "KEYS"):
        validate_keys(made[1], now=datetime.now(UTC) + off)


def test_the_folder_of_another_is_not_filled_again(made: Made) -> None:
    with pytest.raises(FileExistsError):
        make_keys(made[1])


def test_whoever_may_ask_is_let_through(made: Made, guard: AccessGuard) -> None:
    guard.check(f"Bearer {RoleKeys(made[1], 'user').token('product')}")


def test_a_service_answers_nobody_without_a_token(guard: AccessGuard) -> None:
    for nothing in (None, "", "Basic dXNlcjpwYXNz"):
        with pytest.raises(Unauthenticated, match="bearer"):
            guard.check(nothing)


def test_a_token_that_is_over_is_refused(made: Made, guard: AccessGuard) -> None:
    with pytest.raises(Unauthenticated, match="expired"):
        guard.check(f"Bearer {made[0].token('user', 'product', expires=datetime.now(UTC) - timedelta(seconds=1))}")


def test_a_token_for_another_service_is_refused(made: Made, guard: AccessGuard) -> None:
    with pytest.raises(Unauthenticated, match="Audience"):
        guard.check(f"Bearer {made[0].token('user', 'payment', expires=LATER)}")


def test_a_token_that_somebody_else_signed_is_refused(guard: AccessGuard) -> None:
    with pytest.raises(Unauthenticated, match="Signature"):
        guard.check(f"Bearer {CertificateAuthority().token('user', 'product', expires=LATER)}")


def test_a_token_that_is_not_signed_is_refused(made: Made, guard: AccessGuard) -> None:
    claims = made[0].token("user", "product", expires=LATER).split(".")[1]
    header = base64.urlsafe_b64encode(json.dumps({"alg": "none", "typ": "JWT"}).encode()).decode().rstrip("=")
    with pytest.raises(Unauthenticated):
        guard.check(f"Bearer {header}.{claims}.")


def test_a_scheme_may_be_written_in_any_case(made: Made, guard: AccessGuard) -> None:
    guard.check(f"bearer {RoleKeys(made[1], 'user').token('product')}")


def test_a_role_may_call_no_service_but_the_next(made: Made, guard: AccessGuard) -> None:
    for role in set(ROLES) - {"user"}:
        with pytest.raises(Forbidden, match=f"{role} .*product"):
            guard.check(f"Bearer {made[0].token(role, 'product', expires=LATER)}")


def test_no_password_is_in_what_rabbitmq_is_told(made: Made) -> None:
    said = format_definitions(Security(("auth",), str(made[1])))
    assert all(RoleKeys(made[1], role).password not in said for role in ROLES)
    assert "guest" not in said


def test_no_user_may_administer_more_than_queues(made: Made) -> None:
    users = json.loads(format_definitions(Security(("tls", "auth"), str(made[1]))))["users"]
    assert {user["tags"] for user in users} == {""}


@pytest.mark.parametrize(
    "levels", [("mtls", "auth"), ("tls", "mtls"), ("none", "tls", "mtls", "auth"), ("mtls",), ("auth",)]
)
def test_rabbitmq_listens_at_every_level_that_is_asked_for(made: Made, levels: tuple[str, ...]) -> None:
    ports = {kind: 1000 + number for number, kind in enumerate(dict.fromkeys(choose_listener_kinds(levels).values()))}
    said = format_listeners(ports, str(made[1])) + format_mtls_listener(ports)
    assert all(str(port) in said for port in ports.values())
    assert ("verify = verify_peer" in said) == (set(levels) <= {"none", "mtls"})


def test_kafka_lets_everyone_do_what_has_no_rules_only_beside_other_levels(made: Made, tmp_path: Path) -> None:
    key = "allow.everyone.if.no.acl.found"
    assert build_tls_settings(tmp_path, Security(("auth",), str(made[1])))[key] == "false"
    assert build_tls_settings(tmp_path, Security(("tls", "auth"), str(made[1])))[key] == "true"
    assert key not in build_tls_settings(tmp_path, Security(("tls", "mtls"), str(made[1])))


def test_kafka_has_users_at_auth_alone(made: Made) -> None:
    assert not build_user_arguments(Security(("tls", "mtls"), str(made[1])))
    assert len(build_user_arguments(Security(("auth",), str(made[1])))) == 2 * len(ROLES)


def test_a_level_that_does_not_exist_is_refused_by_name() -> None:
    with refuses("unknown-security", "'tsl'", "'tls'"):
        load_profile(settings={"SECURITY": "tsl"})


def test_a_method_that_has_no_security_is_refused_by_name() -> None:
    with refuses("unknown-security", "memory", "'mtls'"):
        load_profile(settings={"TRANSPORT": "memory", "SECURITY": "mtls"})
    with refuses("unknown-security", "'tls'", kind=SettingError):
        load_transport("memory")(Setting(trial="t", security="tls"))


def test_a_cipher_is_no_setting() -> None:
    with refuses("unknown-setting", "'CIPHER'"):
        load_profile(settings={"CIPHER": "TLS_AES_256_GCM_SHA384"})


@pytest.mark.parametrize(("sender", "heard"), [("user", True), ("shipping", False), (None, False)])
async def test_an_outcome_over_rabbitmq_at_auth_is_the_user_services_alone(sender: str | None, heard: bool) -> None:
    setting = Setting(trial="t", security="auth", worker=0, workers=1)
    publisher: Any = None
    client = RabbitMQClient(publisher, TrialQueues(PIPELINE, setting), setting)
    finished = client._outcomes.register(build_order())
    body = load_codec("json").encode(OrderClosed(build_order(), "shipped", 910, "RR1", ""))
    delivery: Any = SimpleNamespace(user_id=sender, correlation_id="order-1", body=body)
    await client.receive_outcome(delivery)
    assert finished.done() is heard
    client._outcomes.abandon("order-1", finished)


def test_each_kind_of_message_is_told_by_one_role() -> None:
    assert {
        kind: find_producer_role(kind) for kind in ("place-order", "order-placed", "payment-taken", "order-closed")
    } == {
        "place-order": "buyer",
        "order-placed": "user",
        "payment-taken": "payment",
        "order-closed": "user",
    }

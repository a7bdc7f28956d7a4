"""Keys, tokens and levels, without any connection."""

import base64
import json
import stat
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bench.errors import UsageError
from bench.profile.loader import load
from bench.provision.base import Security
from bench.provision.certificates import AFTER, Authority, check, command
from bench.provision.kafka_tls import tls, users
from bench.provision.rabbitmq_tls import definitions, further, kinds, listeners
from shop.messages import OrderClosed
from tests.conftest import an_order
from transports.backends.rabbitmq.client import RabbitMQClient
from transports.backends.rabbitmq.topology import Places
from transports.base import Setting
from transports.broker.routes import PIPELINE
from transports.errors import SettingError
from transports.registry import named
from transports.security import ROLES, Forbidden, Guard, Keys, Unauthenticated, guard_of, teller_of
from transports.wire import codec_named

LATER = datetime.now(UTC) + timedelta(hours=1)
Made = tuple[Authority, Path]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    authority, folder = Authority(), tmp_path_factory.mktemp("made") / "keys"
    authority.fill(folder)
    return authority, folder


@pytest.fixture
def guard(made: Made) -> Guard:
    """Of the product service, whom the user service asks."""
    found = guard_of(Setting(trial="t", security="auth", keys=str(made[1])), "product")
    assert found is not None
    return found


def test_nobody_but_their_owner_can_read_what_is_secret(made: Made) -> None:
    secret = [p for p in made[1].rglob("*") if p.is_file() and p.name not in PUBLIC]
    assert {path.name for path in secret} >= {"key.pem", "password", "user.jwt"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in secret} == {0o600}


PUBLIC = {"authority.pem", "tokens.pem", "openssl.cnf", "certificate.pem"}


@pytest.mark.parametrize("ask", [lambda k: k.key, lambda k: k.password, lambda k: k.token("user")])
def test_a_secret_that_others_can_read_is_refused_by_its_path(ask: Callable[[Keys], object], tmp_path: Path) -> None:
    Authority().fill(tmp_path / "keys")
    for path in (tmp_path / "keys" / "buyer").iterdir():
        path.chmod(0o644)
    with pytest.raises(SettingError, match=r"buyer/\S+ can be read by others \(mode 644\)"):
        ask(Keys(tmp_path / "keys", "buyer"))


def test_a_folder_without_keys_is_refused_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"certificate\.pem"):
        check(tmp_path)


def test_keys_are_good_for_a_run_when_a_clock_is_off_by_a_day(made: Made) -> None:
    for days in (-1, 0, 1):
        check(made[1], now=datetime.now(UTC) + timedelta(days=days, minutes=1))


@pytest.mark.parametrize("off", [AFTER - timedelta(hours=5), -timedelta(days=1, minutes=1)], ids=["ends", "begins"])
def test_keys_that_are_not_good_for_the_whole_of_a_run_are_refused(made: Made, off: timedelta) -> None:
    with pytest.raises(UsageError, match="make new ones"):
        check(made[1], now=datetime.now(UTC) + off)


def test_the_folder_of_another_is_not_filled_again(made: Made, capsys: pytest.CaptureFixture[str]) -> None:
    assert command([str(made[1])]) == 1
    assert "choose another folder" in capsys.readouterr().err


def test_whoever_may_ask_is_let_through(made: Made, guard: Guard) -> None:
    guard.check(f"Bearer {Keys(made[1], 'user').token('product')}")


def test_a_service_answers_nobody_without_a_token(guard: Guard) -> None:
    for nothing in (None, "", "Basic dXNlcjpwYXNz"):
        with pytest.raises(Unauthenticated, match="without a bearer token"):
            guard.check(nothing)


def test_a_token_that_is_over_is_refused(made: Made, guard: Guard) -> None:
    with pytest.raises(Unauthenticated, match="expired"):
        guard.check(f"Bearer {made[0].token('user', 'product', expires=datetime.now(UTC) - timedelta(seconds=1))}")


def test_a_token_for_another_service_is_refused(made: Made, guard: Guard) -> None:
    with pytest.raises(Unauthenticated, match="Audience"):
        guard.check(f"Bearer {made[0].token('user', 'payment', expires=LATER)}")


def test_a_token_that_somebody_else_signed_is_refused(guard: Guard) -> None:
    with pytest.raises(Unauthenticated, match="Signature"):
        guard.check(f"Bearer {Authority().token('user', 'product', expires=LATER)}")


def test_a_token_that_is_not_signed_is_refused(made: Made, guard: Guard) -> None:
    claims = made[0].token("user", "product", expires=LATER).split(".")[1]
    header = base64.urlsafe_b64encode(json.dumps({"alg": "none", "typ": "JWT"}).encode()).decode().rstrip("=")
    with pytest.raises(Unauthenticated):
        guard.check(f"Bearer {header}.{claims}.")


def test_a_scheme_may_be_written_in_any_case(made: Made, guard: Guard) -> None:
    guard.check(f"bearer {Keys(made[1], 'user').token('product')}")


def test_a_role_may_ask_no_service_but_the_next(made: Made, guard: Guard) -> None:
    for role in set(ROLES) - {"user"}:
        with pytest.raises(Forbidden, match=f"{role} may not ask the product service"):
            guard.check(f"Bearer {made[0].token(role, 'product', expires=LATER)}")


def test_no_password_is_in_what_rabbitmq_is_told(made: Made) -> None:
    said = definitions(Security(("auth",), str(made[1])))
    assert all(Keys(made[1], role).password not in said for role in ROLES)
    assert "guest" not in said


def test_no_user_may_administer_more_than_queues(made: Made) -> None:
    users = json.loads(definitions(Security(("tls", "auth"), str(made[1]))))["users"]
    assert {user["tags"] for user in users} == {""}


@pytest.mark.parametrize(
    "levels", [("mtls", "auth"), ("tls", "mtls"), ("none", "tls", "mtls", "auth"), ("mtls",), ("auth",)]
)
def test_rabbitmq_listens_at_every_level_that_is_asked_for(made: Made, levels: tuple[str, ...]) -> None:
    ports = {kind: 1000 + number for number, kind in enumerate(dict.fromkeys(kinds(levels).values()))}
    said = listeners(ports, str(made[1])) + further(ports)
    assert all(str(port) in said for port in ports.values())
    assert ("verify = verify_peer" in said) == (set(levels) <= {"none", "mtls"})


def test_kafka_lets_everyone_do_what_has_no_rules_only_beside_other_levels(made: Made, tmp_path: Path) -> None:
    key = "allow.everyone.if.no.acl.found"
    assert tls(tmp_path, Security(("auth",), str(made[1])))[key] == "false"
    assert tls(tmp_path, Security(("tls", "auth"), str(made[1])))[key] == "true"
    assert key not in tls(tmp_path, Security(("tls", "mtls"), str(made[1])))


def test_kafka_has_users_at_auth_alone(made: Made) -> None:
    assert not users(Security(("tls", "mtls"), str(made[1])))
    assert len(users(Security(("auth",), str(made[1])))) == 2 * len(ROLES)


def test_a_level_that_does_not_exist_is_refused_by_name() -> None:
    with pytest.raises(UsageError, match=r"no security 'tsl'; did you mean 'tls'"):
        load(flags={"SECURITY": "tsl"})


def test_a_method_that_has_no_security_is_refused_by_name() -> None:
    with pytest.raises(UsageError, match=r"no security of memory 'mtls'"):
        load(flags={"TRANSPORT": "memory", "SECURITY": "mtls"})
    with pytest.raises(SettingError, match="none of this method's"):
        named("memory")(Setting(trial="t", security="tls"))


def test_a_cipher_is_no_setting() -> None:
    with pytest.raises(UsageError, match="no setting 'CIPHER'"):
        load(flags={"CIPHER": "TLS_AES_256_GCM_SHA384"})


@pytest.mark.parametrize(("sender", "heard"), [("user", True), ("shipping", False), (None, False)])
async def test_an_outcome_over_rabbitmq_at_auth_is_the_user_services_alone(sender: str | None, heard: bool) -> None:
    setting = Setting(trial="t", security="auth", worker=0, workers=1)
    publisher: Any = None
    client = RabbitMQClient(publisher, Places(PIPELINE, setting), setting)
    finished = client._outcomes.expect("order-1")
    body = codec_named("json").encode(OrderClosed(an_order(), "shipped", 910, "RR1", ""))
    delivery: Any = SimpleNamespace(user_id=sender, correlation_id="order-1", body=body)
    await client.hear(delivery)
    assert finished.done() is heard
    client._outcomes.give_up("order-1")


def test_each_kind_of_message_is_told_by_one_role() -> None:
    assert {kind: teller_of(kind) for kind in ("place-order", "order-placed", "payment-taken", "order-closed")} == {
        "place-order": "buyer",
        "order-placed": "user",
        "payment-taken": "payment",
        "order-closed": "user",
    }

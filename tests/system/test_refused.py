"""Tests that each security level refuses and logs wrong clients and still serves the others."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import aio_pika
import pytest
import pytest_asyncio
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import GroupAuthorizationFailedError, TopicAuthorizationFailedError
from aiokafka.protocol.admin import DescribeAclsRequest
from aiormq.exceptions import ChannelAccessRefused, ChannelPreconditionFailed

from bench.provision.base import Broker, Security
from bench.provision.brokers import provide_brokers
from bench.provision.certificates import CertificateAuthority
from bench.trial.tls_probe import find_entry_address, open_tls_tap, route_through_tap
from shop.messages import PaymentTaken
from tests.conftest import HOME
from tests.system.secured_shop import (
    TIMEOUT_S,
    SecuredBrokers,
    expect_refusal,
    ship_order,
    start_shop,
    wait_until_logged,
)
from transports.backends.kafka.topology import run_client
from transports.base import Transport
from transports.conformance import (
    build_place_order,
    check_a_declined_payment_releases_the_stock,
    check_a_sold_out_order_is_rejected_with_the_reason,
    check_an_order_is_shipped,
    check_many_orders_in_flight_all_finish_with_their_own_outcome,
    check_prepare_and_remove_may_be_repeated,
    check_the_same_order_twice_has_one_effect_and_one_answer,
)
from transports.dead_letters import UNREADABLE, DeadLetter
from transports.errors import Denied, Unreachable
from transports.registry import load_transport
from transports.security import LEVELS, build_amqp_options, build_kafka_options
from transports.wire import load_codec

pytestmark = [pytest.mark.slow, pytest.mark.broker]

METHODS = ("rest", "grpc", "broker", "events")
BROKERED = ("broker", "events")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def ground(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[SecuredBrokers]:
    home = tmp_path_factory.mktemp("home")
    for program in ("rabbitmq", "kafka"):
        (home / program).symlink_to(HOME / program)
    authority = CertificateAuthority()
    authority.write_all_keys(home / "keys")
    security = Security(LEVELS[1:], str(home / "keys"))
    async with provide_brokers(
        ("rabbitmq", "kafka"), given={}, home=home, say=lambda _: None, security=security
    ) as found:
        there = {name: broker for name, broker in found.items() if isinstance(broker, Broker)}
        assert there.keys() == found.keys(), found
        yield SecuredBrokers(authority, home / "keys", there, home)


PLAINTEXT = {
    "rest": "HTTP_REQUEST",
    "grpc": "WRONG_VERSION_NUMBER|HTTP_REQUEST",
    "broker": "unsupported_record_type|without using TLS",
    "events": "Unrecognized SSL message, plaintext",
}


@pytest.mark.parametrize("name", METHODS)
async def test_a_port_with_tls_takes_no_plain_text_and_is_believed_at_its_own_address_alone(
    name: str, ground: SecuredBrokers, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    setting = ground.setting(name, "tls")
    async with start_shop(name, setting, tmp_path) as transport:
        before = len(ground.log(name, tmp_path))
        plain = {server: url.replace("amqps:", "amqp:") for server, url in setting.servers.items()}
        assert isinstance(await expect_refusal(name, replace(setting, security="none", servers=plain)), Unreachable)
        await wait_until_logged(lambda: ground.log(name, tmp_path), PLAINTEXT[name], before)
        async with open_tls_tap(find_entry_address(setting), "127.0.0.3") as way:
            refused = await expect_refusal(name, route_through_tap(way, setting))
        # It is the client that refuses, and so the client that says why.
        assert isinstance(refused, Unreachable)
        assert re.search("IP address mismatch|Hostname Verification", f"{refused}{caplog.text}")
        await ship_order(transport, "good")


@pytest.mark.parametrize("name", METHODS)
async def test_a_server_of_another_authority_is_not_believed(
    name: str, ground: SecuredBrokers, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    setting, others = ground.setting(name, "tls"), tmp_path / "others"
    CertificateAuthority().write_all_keys(others)
    async with start_shop(name, setting, tmp_path) as transport:
        refused = await expect_refusal(name, replace(setting, keys=str(others)))
        assert isinstance(refused, Unreachable)
        assert re.search("(?i)certificate.verify.failed", f"{refused}{caplog.text}")
        await ship_order(transport, "good")


@pytest.mark.parametrize("name", ["rest", "grpc"])
async def test_a_server_whose_certificate_is_over_is_not_believed(
    name: str, ground: SecuredBrokers, tmp_path: Path
) -> None:
    """Brokers are of the run, and so are their certificates: what is over there is tried of their clients' at mtls."""
    setting, elsewhere = ground.setting(name, "tls"), tmp_path / "keys"
    elsewhere.mkdir()
    past = datetime.now(UTC) - timedelta(minutes=1)
    over = ground.copy_keys(elsewhere, lambda keys: ground.authority.issue_credentials(keys, "user", expires=past))
    async with start_shop(name, replace(setting, keys=over), tmp_path):
        refused = await expect_refusal(name, setting)
        assert isinstance(refused, Unreachable)
        assert re.search("(?i)expired|certificate.verify.failed", str(refused))


UNKNOWN = {
    "rest": "unknown ca|verify failed",
    "grpc": "VERIFY_FAILED",
    "broker": "(?i)unknown ca|unknown_ca",
    "events": "unable to find valid certification path",
}
EXPIRED = {
    "rest": "expired",
    "grpc": "VERIFY_FAILED|expired",
    "broker": "(?i)expired",
    "events": "validity check failed",
}
NOTHING = {
    "rest": "PEER_DID_NOT_RETURN",
    "grpc": "PEER_DID_NOT_RETURN",
    "broker": "(?i)certificate.required|no.certificate|empty",
    "events": "Empty client certificate chain",
}


@pytest.mark.parametrize("name", METHODS)
async def test_at_mtls_nobody_is_let_in_without_a_good_certificate(
    name: str, ground: SecuredBrokers, tmp_path: Path
) -> None:
    setting = ground.setting(name, "mtls")
    past = datetime.now(UTC) - timedelta(minutes=1)
    elsewhere = tmp_path / "keys"
    elsewhere.mkdir()
    wrong = {
        "nothing": (replace(setting, security="tls"), NOTHING),
        "unknown": (
            replace(
                setting,
                keys=ground.copy_keys(elsewhere, lambda keys: CertificateAuthority().issue_credentials(keys, "buyer")),
            ),
            UNKNOWN,
        ),
        "expired": (
            replace(
                setting,
                keys=ground.copy_keys(
                    elsewhere, lambda keys: ground.authority.issue_credentials(keys, "buyer", expires=past)
                ),
            ),
            EXPIRED,
        ),
    }
    async with start_shop(name, setting, tmp_path) as transport:
        for seen_by, reasons in wrong.values():
            before = len(ground.log(name, tmp_path))
            assert isinstance(await expect_refusal(name, seen_by), Unreachable)
            await wait_until_logged(lambda: ground.log(name, tmp_path), reasons[name], before)
        await ship_order(transport, "good")


BAD = {
    "rest": "does not take that token: Signature",
    "grpc": "does not take that token: Signature",
    "broker": "invalid credentials",
    "events": "invalid credentials",
}


@pytest.mark.parametrize("name", METHODS)
async def test_at_auth_nobody_is_let_in_without_his_own_token_or_password(
    name: str, ground: SecuredBrokers, tmp_path: Path
) -> None:
    setting = ground.setting(name, "auth")
    elsewhere = tmp_path / "keys"
    elsewhere.mkdir()
    async with start_shop(name, setting, tmp_path) as transport:
        before = len(ground.log(name, tmp_path))
        bad = ground.copy_keys(elsewhere, lambda keys: CertificateAuthority().issue_credentials(keys, "buyer"))
        await expect_refusal(name, replace(setting, keys=bad))
        await wait_until_logged(lambda: ground.log(name, tmp_path), BAD[name], before)
        await ship_order(transport, "good")
    logs = "".join(path.read_text() for path in tmp_path.glob("*.log")) + ground.log(name, tmp_path)
    secrets = [path.read_text() for path in ground.keys.rglob("*") if path.suffix == ".jwt" or path.name == "password"]
    assert not [secret for secret in secrets if secret in logs]


@pytest.mark.parametrize("name", ["rest", "grpc"])
async def test_a_token_that_is_over_or_of_another_role_is_refused_and_told_apart(
    name: str, ground: SecuredBrokers, tmp_path: Path
) -> None:
    setting = ground.setting(name, "auth")
    elsewhere = tmp_path / "keys"
    elsewhere.mkdir()
    now = datetime.now(UTC)
    over = ground.authority.token("buyer", "user", expires=now - timedelta(minutes=1))
    other = ground.authority.token("shipping", "user", expires=now + timedelta(hours=1))
    async with start_shop(name, setting, tmp_path) as transport:
        for token, reason in ((over, "Signature has expired"), (other, "shipping may not ask the user service")):
            keys = ground.copy_keys(
                elsewhere, lambda keys, token=token: (keys / "buyer" / "user.jwt").write_text(token)
            )
            refused = await expect_refusal(name, replace(setting, keys=keys))
            assert isinstance(refused, Denied)
            assert reason in str(refused)
            await wait_until_logged(lambda: ground.log(name, tmp_path), reason)
        await ship_order(transport, "good")


async def test_a_service_has_no_right_to_the_queue_of_another(ground: SecuredBrokers, tmp_path: Path) -> None:
    setting = ground.setting("broker", "auth")
    async with start_shop("broker", setting, tmp_path) as transport:
        connection = await aio_pika.connect(**build_amqp_options(setting, "payment"))
        async with connection:
            for ask in (
                lambda channel: channel.declare_queue("of-my-own"),
                lambda channel: _taken(channel, f"{setting.trial}.product"),
                lambda channel: channel.queue_delete(f"{setting.trial}.product"),
            ):
                with pytest.raises(ChannelAccessRefused):
                    await ask(await connection.channel())
        await wait_until_logged(
            lambda: ground.log("broker", tmp_path), "user 'payment' in vhost '/' refused|access to queue"
        )
        await ship_order(transport, "good")


async def test_a_message_that_another_service_tells_is_refused_on_rabbitmq(
    ground: SecuredBrokers, tmp_path: Path
) -> None:
    """Through the exchange a user reaches every queue, and says at the most who it is itself."""
    setting = ground.setting("broker", "auth")
    body = load_codec("json").encode(PaymentTaken(build_place_order("forged"), 1, "PAY-0"))
    async with start_shop("broker", setting, tmp_path) as transport:
        for claims in (None, "payment"):
            async with await aio_pika.connect(**build_amqp_options(setting, "buyer")) as buyer:
                message = aio_pika.Message(body, type="payment-taken", user_id=claims)
                with suppress(ChannelPreconditionFailed):  # of who says to be another one
                    await (await buyer.channel()).default_exchange.publish(message, f"{setting.trial}.shipping")
        log = partial(said_by, tmp_path, "shipping")
        await wait_until_logged(log, "nobody may not send 'payment-taken', which comes from payment")
        await wait_until_logged(lambda: ground.log("broker", tmp_path), "user_id property set to .payment")
        await ship_order(transport, "good")


def said_by(logs: Path, service: str) -> str:
    return "".join(path.read_text() for path in logs.glob(f"*-{service}.log"))


async def _taken(channel: aio_pika.abc.AbstractChannel, name: str) -> None:
    queue = await channel.get_queue(name, ensure=False)
    await queue.get(fail=False)


async def test_a_service_has_no_right_to_the_topic_or_the_group_of_another(
    ground: SecuredBrokers, tmp_path: Path
) -> None:
    setting = ground.setting("events", "auth")
    topic = f"{setting.trial}.order-placed"
    async with start_shop("events", setting, tmp_path) as transport:
        reader = AIOKafkaConsumer(topic, **build_kafka_options(setting, "payment"))
        with pytest.raises(TopicAuthorizationFailedError):
            async with run_client(reader):
                await reader.getmany(timeout_ms=5000)
        writer = AIOKafkaProducer(**build_kafka_options(setting, "payment"))
        with pytest.raises(TopicAuthorizationFailedError):
            async with run_client(writer):
                await writer.send_and_wait(topic, b"{}")
        mine, others = f"{setting.trial}.stock-reserved", f"{setting.trial}.product"
        member = AIOKafkaConsumer(mine, group_id=others, **build_kafka_options(setting, "payment"))
        with pytest.raises(GroupAuthorizationFailedError):
            async with run_client(member):
                await member.getmany(timeout_ms=5000)
        await wait_until_logged(lambda: ground.log("events", tmp_path), "User:payment is Denied")
        await ship_order(transport, "good")


async def test_a_message_that_nobody_can_read_is_kept_at_auth_on_rabbitmq(
    ground: SecuredBrokers, tmp_path: Path
) -> None:
    setting = ground.setting("broker", "auth")
    async with start_shop("broker", setting, tmp_path) as transport:
        async with await aio_pika.connect(**build_amqp_options(setting, "buyer")) as buyer:
            exchange = (await buyer.channel()).default_exchange
            await exchange.publish(aio_pika.Message(b"{", type="place-order"), f"{setting.trial}.user")
        async with asyncio.timeout(TIMEOUT_S):
            while not (letters := (await transport.read_dead_letters(5)).letters):  # noqa: ASYNC110 - nobody tells us
                await asyncio.sleep(0.05)
        assert letters == [DeadLetter(UNREADABLE, f"{setting.trial}.user", "place-order", None, b"{")]
        await ship_order(transport, "good")


async def test_a_message_that_nobody_can_read_is_kept_at_auth_on_kafka(ground: SecuredBrokers, tmp_path: Path) -> None:
    setting = ground.setting("events", "auth")
    async with start_shop("events", setting, tmp_path) as transport:
        buyer = AIOKafkaProducer(**build_kafka_options(setting, "buyer"))
        async with run_client(buyer):
            await buyer.send_and_wait(f"{setting.trial}.place-order", b"{")
        harness = AIOKafkaConsumer(
            f"{setting.trial}.unreadable", auto_offset_reset="earliest", **build_kafka_options(setting, "harness")
        )
        async with run_client(harness), asyncio.timeout(TIMEOUT_S):
            letter = await harness.getone()
        assert letter.value == b"{"
        (read,) = (await transport.read_dead_letters(5)).letters
        assert read == DeadLetter(UNREADABLE, f"{setting.trial}.place-order", "place-order", None, b"{")
        await ship_order(transport, "good")


async def test_a_trial_leaves_no_rule_on_kafka(ground: SecuredBrokers) -> None:
    transport = load_transport("events")(setting := ground.setting("events", "auth"))
    client = AIOKafkaClient(**build_kafka_options(setting, "harness"))
    await client.bootstrap()
    try:
        await transport.prepare()
        assert f"{setting.trial}.order-placed" in await rules_of(client, setting.trial)
        await transport.remove()
        async with asyncio.timeout(TIMEOUT_S):  # the broker hears of it a moment after the controller
            while await rules_of(client, setting.trial):  # noqa: ASYNC110 - nobody tells us
                await asyncio.sleep(0.05)
    finally:
        await client.close()


async def rules_of(client: AIOKafkaClient, trial: str) -> list[str]:
    """The topics and groups of a trial about which there are any."""
    found = await client.send(client.get_random_node(), DescribeAclsRequest(1, None, 1, None, None, 1, 1))
    return [name for _, name, *_ in found.resources if name.startswith(f"{trial}.")]


AT_AUTH = (
    check_an_order_is_shipped,
    check_a_sold_out_order_is_rejected_with_the_reason,
    check_a_declined_payment_releases_the_stock,
    check_many_orders_in_flight_all_finish_with_their_own_outcome,
    check_prepare_and_remove_may_be_repeated,
    check_the_same_order_twice_has_one_effect_and_one_answer,
)
"""Those in which every right is used: each outcome goes its own way."""


@pytest.mark.parametrize("name", BROKERED)
async def test_a_brokered_method_conforms_at_every_level(name: str, ground: SecuredBrokers) -> None:
    for level, checks in (
        ("tls", (check_an_order_is_shipped,)),
        ("mtls", (check_an_order_is_shipped,)),
        ("auth", AT_AUTH),
    ):

        def make(level: str = level, **changes: object) -> Transport:
            return load_transport(name)(replace(ground.setting(name, level), **changes))  # type: ignore[arg-type]

        for check in checks:
            await check(make)

"""Builds the connection arguments of RabbitMQ and Kafka clients at each security level."""

from typing import Any
from urllib.parse import quote, urlsplit

from transports.base import Setting
from transports.security.keys import find_keys
from transports.security.levels import AUTH
from transports.security.tls import build_client_context


def build_amqp_options(setting: Setting, role: str) -> dict[str, Any]:
    """Returns the arguments of aio_pika.connect and connect_robust: the URL and TLS.

    At level auth the URL has the role's user and password. Raises SettingError.
    """
    url = setting.servers["rabbitmq"]
    if setting.security == AUTH:
        parts = urlsplit(url)
        password = quote(find_keys(setting.keys, role).password, safe="")
        url = parts._replace(netloc=f"{role}:{password}@{parts.netloc.rpartition('@')[2]}").geturl()
    context = build_client_context(setting, role)
    return {"url": url} if context is None else {"url": url, "ssl_context": context}


def build_kafka_options(setting: Setting, role: str) -> dict[str, Any]:
    """Returns the arguments of aiokafka's clients: address, TLS, and user and password at level auth.

    Raises SettingError.
    """
    where = {"bootstrap_servers": setting.servers["kafka"]}
    context = build_client_context(setting, role)
    if context is None:
        return where
    if setting.security != AUTH:
        return {**where, "security_protocol": "SSL", "ssl_context": context}
    return {
        **where,
        "security_protocol": "SASL_SSL",
        "ssl_context": context,
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": role,
        "sasl_plain_password": find_keys(setting.keys, role).password,
    }

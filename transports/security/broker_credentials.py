"""How a role comes to a broker: what the broker's client library is told beside the address."""

from typing import Any
from urllib.parse import quote, urlsplit

from transports.base import Setting
from transports.security.keys import keys_of
from transports.security.levels import AUTH
from transports.security.tls import client_context


def amqp(setting: Setting, role: str) -> dict[str, Any]:
    """Arguments of aio_pika.connect and connect_robust: RabbitMQ's URL, with the role's user and password at auth.

    Raises SettingError.
    """
    url = setting.servers["rabbitmq"]
    if setting.security == AUTH:
        parts = urlsplit(url)
        password = quote(keys_of(setting.keys, role).password, safe="")
        url = parts._replace(netloc=f"{role}:{password}@{parts.netloc.rpartition('@')[2]}").geturl()
    context = client_context(setting, role)
    return {"url": url} if context is None else {"url": url, "ssl_context": context}


def kafka(setting: Setting, role: str) -> dict[str, Any]:
    """Arguments of aiokafka's clients: where Kafka is and how it is spoken to. Raises SettingError."""
    where = {"bootstrap_servers": setting.servers["kafka"]}
    context = client_context(setting, role)
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
        "sasl_plain_password": keys_of(setting.keys, role).password,
    }

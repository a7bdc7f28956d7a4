"""`fourways up`: start RabbitMQ and Kafka and keep them running."""

from bench.cli.arguments import Asked
from bench.cli.exits import run_to_end
from bench.errors import MissingServer
from bench.provision.base import Broker, Unavailable
from bench.provision.brokers import BROKER_NAMES, URL_VARIABLES, start_kept_brokers
from bench.provision.cleanup import resolve_home
from bench.provision.install import install_for
from transports.registry import list_transports


def run(asked: Asked) -> None:
    """Start what is not up, and print the URL of each. Raises MissingServer when one cannot be had."""
    home = resolve_home(asked.path("STATE"))
    install_for(list_transports(), home)
    found = run_to_end(lambda: start_kept_brokers(BROKER_NAMES, home=home, say=_say))
    brokers = [broker for broker in found.values() if isinstance(broker, Broker)]
    for broker in brokers:
        _say(f"{URL_VARIABLES[broker.name]}={broker.url}   # {broker.version}, {broker.provided_by}")
    if brokers:
        _say("the next runs use what is up; `make down` stops it")
    if missing := [broker.why for broker in found.values() if isinstance(broker, Unavailable)]:
        raise MissingServer("; ".join(missing), code="missing-server")


def _say(sentence: str) -> None:
    print(sentence, flush=True)

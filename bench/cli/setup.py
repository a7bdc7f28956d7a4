"""`fourways setup`: install what native brokers need."""

from bench.cli.arguments import Asked
from bench.provision.cleanup import resolve_home
from bench.provision.install import install_for


def run(asked: Asked) -> None:
    """Install for the transports named, or for all. What cannot be installed is said, with what to type."""
    install_for(asked.value("TRANSPORT"), resolve_home(asked.path("STATE")), insist=True)

"""`fourways down`: stop what `up` started, and clean up after runs that were killed."""

from bench.cli.arguments import Asked
from bench.cli.exits import run_to_end
from bench.provision.brokers import stop_kept_brokers
from bench.provision.cleanup import resolve_home


def run(asked: Asked) -> None:
    """Stop the brokers that are kept. Raises InUse while a run uses any of them."""
    home = resolve_home(asked.path("STATE"))
    run_to_end(lambda: stop_kept_brokers(home=home, say=lambda said: print(said, flush=True)))

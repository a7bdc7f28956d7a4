"""`fourways web`: the services of one method, and Locust's web page to load them."""

from rich.console import Console

from bench.cli.arguments import Asked
from bench.cli.exits import run_to_end
from bench.cli.servers import install_brokers_for, paths_of
from bench.profile.loader import load_profile
from bench.runner.web import check_web_profile, serve_page


def run(asked: Asked) -> None:
    """Serve until it is stopped. Raises UsageError, MissingServer, OperationFailed."""
    console = Console(stderr=True)
    profile = load_profile(str(asked.value("PROFILE")), asked.profile_words)
    check_web_profile(profile)
    install_brokers_for(asked, profile.transports)
    given = set(asked.profile_words)
    run_to_end(
        lambda: serve_page(
            profile,
            paths_of(asked),
            int(asked.value("WEB_PORT")),
            lambda said: console.print(said, highlight=False),
            given,
        )
    )

"""`fourways web`: the services of one method, and Locust's web page to load them."""

from bench.cli.arguments import Asked
from bench.cli.exits import run_to_end
from bench.profile.loader import load_profile


def run(asked: Asked) -> None:
    """Serve until it is stopped. Raises UsageError, MissingServer, OperationFailed."""
    profile = load_profile(str(asked.value("PROFILE")), asked.profile_words)
    from rich.console import Console  # noqa: PLC0415 - a typo has been told by now

    from bench.cli.servers import install_servers_for, paths_of  # noqa: PLC0415
    from bench.runner.web import check_web_profile, serve_page  # noqa: PLC0415

    check_web_profile(profile)
    install_servers_for(asked, profile)
    console, port, given = Console(stderr=True), int(asked.value("WEB_PORT")), set(asked.profile_words)
    run_to_end(
        lambda: serve_page(profile, paths_of(asked), port, lambda said: console.print(said, highlight=False), given)
    )

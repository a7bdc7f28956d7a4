"""`fourways harness soak`: does a service's memory grow over many orders?"""

from bench.cli.arguments import Asked
from bench.cli.exits import run_to_end
from bench.errors import OperationFailed
from bench.profile.loader import load_profile


def run(asked: Asked) -> None:
    """Print each service's memory at half of the orders and at the end. Raises OperationFailed when one grows."""
    profile = load_profile(str(asked.value("PROFILE")), asked.profile_words)
    from rich.console import Console  # noqa: PLC0415 - a typo has been told by now

    from bench.cli.output import print_json  # noqa: PLC0415
    from bench.cli.servers import install_servers_for, paths_of  # noqa: PLC0415
    from bench.runner.soak import build_soak_table, run_soak  # noqa: PLC0415

    install_servers_for(asked, profile)
    console, orders = Console(stderr=asked.json), int(asked.value("ORDERS"))
    found = run_to_end(lambda: run_soak(profile, paths_of(asked), orders, lambda s: console.print(s, highlight=False)))
    console.print(build_soak_table(found))
    if asked.json:
        print_json(found)
    if not all(one.bounded for one in found):
        raise OperationFailed("a service's memory is not bounded: see the rows that say NO", code="memory-grows")

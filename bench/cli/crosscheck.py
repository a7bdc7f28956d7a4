"""`fourways harness crosscheck`: the same services measured with tools that others wrote."""

from rich.console import Console

from bench.calibration.crosscheck.compare import CrosscheckLoad, run_crosscheck
from bench.calibration.crosscheck.install import install_tools
from bench.cli.arguments import Asked
from bench.cli.exits import run_to_end
from bench.cli.output import print_json
from bench.provision.cleanup import resolve_home
from bench.provision.install import install_for
from transports.registry import list_transports


def run(asked: Asked) -> None:
    """Print ours beside theirs. Raises LoadError, StartFailed, ToolFailed."""
    home = resolve_home(asked.path("STATE"))
    install_for(list_transports(), home)
    install_tools(home)
    load = CrosscheckLoad(int(asked.value("RATE")), round(asked.value("SECONDS_EACH")), int(asked.value("ROUNDS")))
    found = run_to_end(lambda: run_crosscheck(load, home, Console(stderr=asked.json)))
    if asked.json:
        print_json(found)

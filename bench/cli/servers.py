"""Finds the folders and servers of a run from what was asked, and installs what its brokers need."""

from collections.abc import Sequence
from pathlib import Path

from bench.cli.arguments import Asked
from bench.paths import RESULTS, ROOT
from bench.profile.matrix import expand_cells
from bench.profile.schema import Profile
from bench.provision import postgres
from bench.provision.brokers import URL_VARIABLES
from bench.provision.cleanup import resolve_home
from bench.provision.install import install_for, install_postgres
from bench.runner.environment import RunPaths


def paths_of(asked: Asked) -> RunPaths:
    """Where the run's results and state lie, and which servers were given by URL."""
    by_variable = {variable: name for name, variable in URL_VARIABLES.items()}
    given = {
        by_variable.get(variable) or variable.removesuffix("_URL").lower(): url
        for variable, url in asked.servers.items()
        if variable != "KEYS" and (variable in by_variable or variable.endswith("_URL"))
    }
    keys = asked.servers.get("KEYS")
    return RunPaths(
        checkout=ROOT,
        home=resolve_home(asked.path("STATE")),
        results=asked.path("RESULTS") if "RESULTS" in asked.command.settings else RESULTS,
        given=given,
        keys=Path(keys) if keys else None,
    )


def install_brokers_for(asked: Asked, transports: Sequence[str]) -> None:
    """Install what native brokers of these transports need, except for those that are given by URL."""
    given = [name for name, variable in URL_VARIABLES.items() if variable in asked.servers]
    install_for(transports, resolve_home(asked.path("STATE")), given=given)


def install_servers_for(asked: Asked, profile: Profile) -> None:
    """Install what native servers of this profile need, PostgreSQL only where a cell has its store there."""
    install_brokers_for(asked, profile.transports)
    if postgres.URL_VARIABLE not in asked.servers and any(cell.needs_database for cell in expand_cells(profile)):
        install_postgres()

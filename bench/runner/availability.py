"""Finds why a cell cannot be measured, for instance because its broker is missing."""

from collections.abc import Mapping

from bench.profile.fault import BROKER
from bench.profile.schema import CellSettings
from bench.provision import postgres
from bench.provision.base import Broker, Unavailable
from bench.provision.brokers import URL_VARIABLES

NETWORK = "network"
"""What can be missing beside servers."""


def find_unavailable_reason(cell: CellSettings, shared: Mapping[str, Broker | Unavailable]) -> str:
    """Returns why a cell with this profile cannot be measured; empty when it can."""
    fault = cell.profile.fault
    servers = [shared[need] for need in sorted(cell.kind.traits.needs)]
    database = [shared[postgres.NAME]] if cell.needs_database else []
    missing = [server.why for server in (*servers, *database) if isinstance(server, Unavailable)]
    if missing or fault is None:
        return "; ".join(missing)
    there = [server for server in servers if isinstance(server, Broker)]
    if fault.of_network:
        network = shared.get(NETWORK)
        if isinstance(network, Unavailable):
            return network.why
        if other := [broker for broker in there if broker.near and broker.security != cell.profile.security]:
            return (
                f"{fault.name} at SECURITY={cell.profile.security} needs a {other[0].name} of that "
                "level alone: through the "
                "network it is reached at one; measure it in a run without other levels"
            )
        far = [broker for broker in there if not broker.near]
    elif fault.part == BROKER:
        # One that is kept is `make up`'s, which knows it by the process that it started.
        far = [broker for broker in there if not broker.pids or (fault.action, broker.provided_by) == ("kill", "kept")]
    else:
        far = []
    instead = {"kept": "type `make down`", "compose": "it runs in a container; install it on this machine instead"}
    return "; ".join(
        f"{fault.name} needs a {broker.name} that the run itself starts: "
        + instead.get(broker.provided_by, f"unset {URL_VARIABLES.get(broker.name, f'{broker.name.upper()}_URL')}")
        for broker in far
    )

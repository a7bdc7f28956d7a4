"""Why a cell cannot be measured with the servers that a run has."""

from collections.abc import Mapping

from bench.profile.fault import BROKER
from bench.profile.schema import Cell, Profile
from bench.provision import VARIABLES, Broker, Unavailable

NETWORK = "network"
"""What can be missing beside servers."""


def why_not(cell: Cell, profile: Profile, shared: Mapping[str, Broker | Unavailable]) -> str:
    """Why a cell, at which the profile is so, cannot be measured; empty when it can."""
    fault = profile.fault
    servers = [shared[need] for need in sorted(cell.kind.traits.needs)]
    missing = [server.why for server in servers if isinstance(server, Unavailable)]
    if missing or fault is None:
        return "; ".join(missing)
    there = [server for server in servers if isinstance(server, Broker)]
    if fault.of_network:
        network = shared.get(NETWORK)
        if isinstance(network, Unavailable):
            return network.why
        if other := [broker for broker in there if broker.near and broker.security != profile.security]:
            return (
                f"{fault.name} at SECURITY={profile.security} needs a {other[0].name} of that level alone: through the "
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
        + instead.get(broker.provided_by, f"unset {VARIABLES.get(broker.name, f'{broker.name.upper()}_URL')}")
        for broker in far
    )

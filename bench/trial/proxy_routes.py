"""Chooses which addresses each process reaches through the fault proxy.

In a chain the callers of the faulty part go through it, elsewhere the part itself on its way to the broker.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from bench.profile.fault import Fault
from bench.provision.base import Broker
from bench.provision.toxiproxy import proxied_address
from transports.base import Setting

BUYER = "buyer"
"""The name of the load process, which is no service."""
_LOOPBACK_ADDRESS = re.compile(r"127\.0\.0\.1:\d+")


@dataclass(frozen=True, slots=True)
class ProxyRoutes:
    """The proxied addresses of a trial; none unless its fault is one of the network."""

    fault: Fault | None
    setting: Setting
    brokers: Sequence[Broker]
    """The brokers that the trial's messages pass; none in a chain."""

    @property
    def addresses(self) -> tuple[str, ...]:
        """host:port of everything that is reached through the proxy."""
        if self.fault is None or not self.fault.of_network:
            return ()
        if self.brokers:
            return tuple(broker.near for broker in self.brokers)
        return self.setting.addresses_of(self.fault.part)

    def seen_by(self, who: str) -> Setting:
        """Returns the setting for a service, or for the buyer, with proxied addresses where it needs them."""
        if self.fault is None or not self.fault.of_network:
            return self.setting
        part = self.fault.part
        if not self.brokers:
            if who == part:
                return self.setting
            there = ",".join(map(proxied_address, self.setting.addresses_of(part)))
            return replace(self.setting, addresses={**self.setting.addresses, part: there})
        if who != part:
            return self.setting
        servers = {
            broker.name: _LOOPBACK_ADDRESS.sub(proxied_address(broker.near), self.setting.servers[broker.name])
            for broker in self.brokers
        }
        return replace(self.setting, servers={**self.setting.servers, **servers})

"""Who goes by way of the network that a fault is to cut or slow.

In a chain whoever asks the part, elsewhere the part itself on its way to the broker.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from bench.profile.fault import Fault
from bench.provision.base import Broker
from bench.provision.toxiproxy import far
from transports.base import Setting

BUYER = "buyer"
"""Who is no service: the load process."""
_NEAR = re.compile(r"127\.0\.0\.1:\d+")


@dataclass(frozen=True, slots=True)
class Links:
    """Of a trial; there are none unless its fault is one of the network."""

    fault: Fault | None
    setting: Setting
    brokers: Sequence[Broker]
    """Those that the trial's messages pass; none in a chain."""

    @property
    def addresses(self) -> tuple[str, ...]:
        """host:port of all that is reached through the network."""
        if self.fault is None or not self.fault.of_network:
            return ()
        if self.brokers:
            return tuple(broker.near for broker in self.brokers)
        return self.setting.addresses_of(self.fault.part)

    def seen_by(self, who: str) -> Setting:
        """The setting as a service, or the buyer, is told it."""
        if self.fault is None or not self.fault.of_network:
            return self.setting
        part = self.fault.part
        if not self.brokers:
            if who == part:
                return self.setting
            there = ",".join(map(far, self.setting.addresses_of(part)))
            return replace(self.setting, addresses={**self.setting.addresses, part: there})
        if who != part:
            return self.setting
        servers = {
            broker.name: _NEAR.sub(far(broker.near), self.setting.servers[broker.name]) for broker in self.brokers
        }
        return replace(self.setting, servers={**self.setting.servers, **servers})

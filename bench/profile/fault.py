"""What is taken from a trial for a while: which part, how, when and for how long."""

from typing import Literal

import msgspec

from bench.errors import UsageError
from shop.workflow import SERVICES

Action = Literal["stop", "kill", "cut", "delay"]


ACTIONS: tuple[Action, ...] = ("stop", "kill", "cut", "delay")


BROKER = "broker"
"""The part that a method's server is, whatever its name."""


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """``stop``: its process does nothing (SIGSTOP, SIGCONT). ``kill``: it ends (SIGKILL), and is started again.
    ``cut``: nothing comes through the network to it, and arrives afterwards. ``delay``: everything takes DELAY_MS
    longer each way."""

    action: Action
    part: str
    """A service, or ``broker``."""
    at_s: float
    """From the opening of the window."""
    for_s: float

    @property
    def name(self) -> str:
        return f"{self.action}-{self.part}"

    @property
    def of_network(self) -> bool:
        """Whether it is the way to a part that suffers, and not the part."""
        return self.action in ("cut", "delay")


def parse_fault(text: str, *, at_s: float, for_s: float) -> Fault | None:
    """The fault that ``stop-payment`` and the like name; None for ``none``. Raises UsageError."""
    if text == "none":
        return None
    action, _, part = text.partition("-")
    if action not in ACTIONS or part not in (*SERVICES, BROKER):
        raise UsageError(
            f"FAULT is none, or {', '.join(ACTIONS[:-1])} or {ACTIONS[-1]}, a hyphen and one of "
            f"{', '.join((*SERVICES, BROKER))}, for instance stop-payment; not {text!r}",
            code="unknown-fault",
        )
    fault = Fault(action=action, part=part, at_s=at_s, for_s=for_s)
    if fault.of_network and part == BROKER:
        raise UsageError(
            f"FAULT={text} would be every service's way to the broker; say stop-broker, or {action} and a service, "
            "whose way to the broker it then is",
            code="fault-of-every-way",
        )
    return fault

"""Defines what all trials of a run share."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bench.profile.interpreters import OWN
from bench.provision.base import Broker
from bench.provision.services import OWN_PYTHON
from bench.trial.speed_probe import SpeedProbe


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialContext:
    """What all trials of a run share: brokers, folders and keys."""

    run_id: str
    brokers: Mapping[str, Broker]
    folder: Path
    """Marks processes as the run's own and holds the services' databases."""
    logs: Path
    home: Path | None = None
    """The folder that set-up keeps, with the proxy program; only for a fault of the network."""
    raw: Path | None = None
    """The folder that keeps every order, trial by trial."""
    dead_letters: Path | None = None
    """The folder that keeps what the services could not carry on, trial by trial."""
    speed_probe: SpeedProbe = field(default_factory=SpeedProbe)
    keys: str = ""
    """The folder with the keys of all roles, at any level of security but none."""
    pythons: Mapping[str, Path] = field(default_factory=lambda: {OWN: OWN_PYTHON})
    """By interpreter, with what services are started; the harness's own among them."""

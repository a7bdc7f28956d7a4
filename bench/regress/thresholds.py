"""Reads regress.toml: which methods are compared, which metrics are counted, and from when a change fails."""

import tomllib
from collections.abc import Mapping
from typing import Any

import msgspec

from bench.errors import Unmeasured
from bench.regress.judge import Threshold

FILE = "regress.toml"
"""In the root of a tree."""


class Gate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """From when a metric fails, and where not so."""

    share: float = 0.0
    least: float = 0.0
    lowest: bool = False
    why: str = ""
    """Of a metric that is not counted."""
    counted: bool = True
    of: Mapping[str, Mapping[str, Any]] = {}
    """By method, what differs there."""

    def threshold(self) -> Threshold:
        return Threshold(share=self.share, least=self.least, lowest=self.lowest)


class Gates(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What regress.toml holds."""

    methods: tuple[str, ...]
    metrics: Mapping[str, Gate]
    timed: Mapping[str, Gate] = {}

    def thresholds(self, method: str) -> dict[str, Threshold]:
        """Returns the threshold of each metric that is counted for a method."""
        return _list_thresholds(self.metrics, method)

    def timed_thresholds(self, method: str) -> dict[str, Threshold]:
        """Returns the threshold of each metric that is timed for a method."""
        return _list_thresholds(self.timed, method)

    def not_counted(self, method: str) -> dict[str, str]:
        """Returns the metrics that are not counted for a method, each with the reason."""
        gates = {name: _pick(gate, method) for name, gate in self.metrics.items()}
        return {name: gate.why for name, gate in gates.items() if not gate.counted}


def _list_thresholds(gates: Mapping[str, Gate], method: str) -> dict[str, Threshold]:
    chosen = {name: _pick(gate, method) for name, gate in gates.items()}
    return {name: gate.threshold() for name, gate in chosen.items() if gate.counted}


def _pick(gate: Gate, method: str) -> Gate:
    """The gate as it is for this method."""
    return msgspec.structs.replace(gate, **gate.of.get(method, {}))


def parse_gates(text: str, whose: str) -> Gates:
    """Returns what the text of a regress.toml says. Raises Unmeasured where it cannot be read."""
    try:
        return msgspec.convert(tomllib.loads(text), Gates)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise Unmeasured(f"{FILE} of {whose} cannot be read: {error}; mend it there", code="bad-thresholds") from error

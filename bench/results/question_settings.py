"""What `fourways advise` may be asked for: settings of a profile, and needs."""

from dataclasses import replace
from typing import Any

from bench.results.setting_spec import SettingSpec
from bench.results.settings import SETTINGS


def _question(name: str, key: str, spec: SettingSpec, **changes: Any) -> SettingSpec:
    return replace(spec, **{"name": name, "key": key, **changes})


QUESTION: dict[str, SettingSpec] = {
    spec.name: spec
    for spec in (
        _question("SIZE", "size_bytes", SETTINGS["PAYLOAD"]),
        _question("SHAPE", "shape", SETTINGS["SHAPE"]),
        _question("FORMAT", "format", SETTINGS["CODEC"], help="the format of every message; without it any"),
        _question("RATE", "rate_per_s", SETTINGS["RATE"], kind="number", help="the arrival rate: orders a second"),
        _question(
            "BURST",
            "burst",
            SETTINGS["BURST_PEAK"],
            default=1,
            least=1,
            help="how many times RATE a burst is at; 1: no bursts",
        ),
        _question("SECURITY", "security", SETTINGS["SECURITY"]),
        _question("DURABILITY", "durability", SETTINGS["DURABILITY"]),
        SettingSpec(
            name="NEEDS",
            key="needs",
            kind="names",
            help="what a method has to have, with commas: ordered, replay, redelivery, queued, browser, d1, d2, d3",
            default=[],
        ),
    )
}
"""What `fourways advise` may be asked for, in the words of a profile."""

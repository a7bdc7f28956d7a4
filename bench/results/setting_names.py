"""Other names of settings: those of schema 5, and those that people use."""

from collections.abc import Mapping

RENAMED: Mapping[str, str] = {"TRACE": "REPLAY", "HOPS": "TRACE_EVERY", "PRODUCT": "BACKEND", "COLD": "CONNECTIONS"}
"""Settings of schema 5 that have another name now."""
SYNONYMS: Mapping[str, str] = {
    "SIZE": "PAYLOAD",
    "FORMAT": "CODEC",
    "METHOD": "TRANSPORT",
    "PAYLOAD": "SIZE",
    "CODEC": "FORMAT",
}
"""Other names that people use for a setting, understood where a command does not have the name itself."""
RENAMED_KEYS: Mapping[str, str] = {
    "trace": "replay",
    "hops_every": "trace_every",
    "product": "backend",
    "cold": "connections",
}
"""The same as keys of a profile, and of a manifest of schema 5."""

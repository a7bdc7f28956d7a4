"""Finds what differs in the settings and the environment of two runs, and what that keeps from being told."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.results.set_tables import SETS_PLAN_NAME

ENVIRONMENT_KEYS = ("machine", "python", "interpreters", "versions", "brokers", "git")
"""Keys of a manifest."""
SETTING_KEYS = ("profile", "facts")
VARYING_KEYS = ("machine.load_1m", "machine.fsync_us", ".object_code_ns")
"""Ends of what is measured anew in each run of machine and interpreters: it differs always and makes no other
machine."""
BROKER_AGE_KEYS = frozenset({"released", "newest_known", "how_old_days"})
"""Of a broker, what follows from its version and from the day on which somebody looked for newer ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A setting or a part of the environment that differs between the runs; "" where a run does not have it."""

    what: str
    a: str
    b: str


def find_differences(a: Mapping[str, Any], b: Mapping[str, Any], keys: Sequence[str]) -> Iterator[Difference]:
    """Yield what differs below these keys of two manifests."""
    for key in keys:
        ours, theirs = (dict(_flatten(manifest.get(key) or {}, key)) for manifest in (a, b))
        for what in dict.fromkeys([*ours, *theirs]):
            if ours.get(what) != theirs.get(what):
                yield Difference(what=what.removeprefix("profile."), a=ours.get(what, ""), b=theirs.get(what, ""))


def _flatten(tree: Any, path: str) -> Iterator[tuple[str, str]]:
    """Every value of nested tables by its dotted path, as text; what a run's cells are is seen in the cells."""
    if isinstance(tree, Mapping):
        for key, value in tree.items():
            if (path, key) != ("profile", "designed") and not (path.startswith("brokers.") and key in BROKER_AGE_KEYS):
                yield from _flatten(value, f"{path}.{key}")
    elif isinstance(tree, list):
        yield path, ", ".join(map(str, tree))
    else:
        yield path, f"{tree:g}" if isinstance(tree, float) else str(tree)


def find_caveats(a: Mapping[str, Any], b: Mapping[str, Any], environment: Sequence[Difference]) -> Iterator[str]:
    """Yield a sentence on each thing that keeps a difference from being the doing of what was changed."""
    changed = [change.what for change in environment if not change.what.endswith(VARYING_KEYS)]
    machine = [what.removeprefix("machine.") for what in changed if what.startswith("machine.")]
    rebuilt = [change.what for change in environment if change.a and change.b and change.what in changed]
    if any(what.startswith("python.") for what in changed) or any(what.startswith("interpreters.") for what in rebuilt):
        machine.append("build of Python")  # another build turns round which method is faster, as another machine may
    if machine:
        yield (
            f"The runs are of different machines, or of one that was changed ({', '.join(machine)}): a difference may "
            "be the machine's."
        )
    if (a.get("plan") == SETS_PLAN_NAME) != (b.get("plan") == SETS_PLAN_NAME):
        yield "One run is in sets of slices, the other in whole trials: what a window shows may differ by that alone."
    if any(manifest.get("git", {}).get("dirty") for manifest in (a, b)):
        yield "A working tree differed from its commit, so the measurement cannot be repeated exactly."

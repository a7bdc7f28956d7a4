"""Chooses slices or whole trials for `fourways bench`, where nobody says which."""

from collections.abc import Mapping

from bench.errors import UsageError
from bench.profile.loader import load_profile
from bench.profile.schema import Profile

SLICE_S = 0.5
MAX_SLICE_S = 1.0
SLICE_ORDERS = 75
"""How many orders a slice should have: its median is mostly chance with fewer."""
WHOLE_TRIALS_ALONE = frozenset(
    {
        "arrivals-in-slices",
        "connections-in-slices",
        "duration-of-slices",
        "fault-in-slices",
        "search-in-slices",
        "too-many-arms",
    }
)
"""Codes of refusals of what is measured in whole trials alone."""


def load_bench_profile(profile: str, settings: Mapping[str, str]) -> Profile:
    """Loads a profile for `fourways bench`: the default one in slices, unless SLICE is typed.

    A slice is half a second, or as much longer as 75 orders take. Beyond a second, and where something is asked for
    that slices cannot have, such as DURATION or a fault, there are whole trials. Raises as ``load_profile`` does.
    """
    if profile.lower() != "default" or "SLICE" in settings:
        return load_profile(profile, settings)
    slice_s = SLICE_S
    try:
        found = load_profile(profile, {**settings, "SLICE": f"{SLICE_S}s"})
        slice_s = max(SLICE_S, SLICE_ORDERS / min(found.rates_per_s))
        if SLICE_S < slice_s <= MAX_SLICE_S:
            found = load_profile(profile, {**settings, "SLICE": f"{slice_s:.2f}s"})
    except UsageError as error:
        if error.code not in WHOLE_TRIALS_ALONE:
            raise
        slice_s = 0.0
    return found if 0 < slice_s <= MAX_SLICE_S else load_profile(profile, settings)

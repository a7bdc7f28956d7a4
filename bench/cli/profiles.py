"""Resolves the profile that was asked for, before anything heavy is imported, so that a typo is told at once."""

from bench.cli.arguments import Asked
from bench.errors import UsageError
from bench.profile.loader import load_profile
from bench.profile.schema import Profile
from bench.profile.slices import load_bench_profile


def resolve_asked(asked: Asked) -> Profile | None:
    """The profile with what was typed over it; None where RESUME= goes on with that of a run. Raises UsageError."""
    if "RESUME" not in asked.words:
        load = load_bench_profile if asked.command.name == "bench" else load_profile
        return load(str(asked.value("PROFILE")), asked.profile_words)
    if asked.profile_words.keys() - {"ROUNDS"} or "PROFILE" in asked.words:
        raise UsageError(
            "a run goes on with the settings that it began with; give RESUME= alone, or with more ROUNDS=",
            code="resume-with-settings",
        )
    return None

"""Which runs a command is about: by id, by name or by folder."""

from collections.abc import Mapping
from pathlib import Path

from bench.errors import UsageError
from bench.paths import REFERENCE

"""The runs that are kept with the code."""


def folder_of(name: str, results: Path, *, is_kept: bool = True) -> Path:
    """Of a run that is named by its folder, by its id below ``results``, as ``latest``, or, where ``is_kept``, by
    the name of one that is kept.

    Raises UsageError where there is no such folder.
    """
    path = Path(name)
    below = (results, REFERENCE) if is_kept else (results,)
    for place in [path] if len(path.parts) > 1 else [folder / path for folder in below]:
        if place.is_dir():
            return place.resolve() if place.name == "latest" else place
    known = f"the id or the folder of one in {results}, {'latest, or one of: ' if is_kept else 'or latest'}"
    raise UsageError(
        f"there is no run {name}; give {known}{', '.join(sorted(kept_runs())) if is_kept else ''}", code="unknown-run"
    )


def kept_runs() -> Mapping[str, Path]:
    """The folders of runs below results/reference, by name."""
    return {path.parent.name: path.parent for path in sorted(REFERENCE.glob("*/manifest.json"))}


def named_runs(names: str, results: Path) -> Mapping[str, Path]:
    """The folders of runs named with commas between them; without any the kept ones. Raises UsageError."""
    listed = [name.strip() for name in names.split(",") if name.strip()]
    return {name: folder_of(name, results) for name in listed} if listed else kept_runs()


def two_runs(a: str, b: str, results: Path) -> tuple[Path, Path]:
    """The folders of the runs that A= and B= name. Raises UsageError."""
    for word, name in (("A", a), ("B", b)):
        if not name:
            raise UsageError(f"{word}= is missing; give two runs, for instance A=default B=latest", code="missing-run")
    return folder_of(a, results), folder_of(b, results)

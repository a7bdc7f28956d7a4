"""Finds the folders of runs by id, by name or by path."""

from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path

from bench.errors import UsageError
from bench.paths import REFERENCE


def find_run_folder(name: str, results: Path, *, is_kept: bool = True) -> Path:
    """Return the folder of a run given as a path, as an id below ``results``, or as ``latest``.

    With ``is_kept`` the name of a reference run is found too. Raises UsageError where there is no such folder.
    """
    path = Path(name)
    below = (results, REFERENCE) if is_kept else (results,)
    for place in [path] if len(path.parts) > 1 else [folder / path for folder in below]:
        if place.is_dir():
            return place.resolve() if place.name == "latest" else place
    kept = tuple(sorted(find_reference_runs())) if is_kept else ()
    near = get_close_matches(name.lower(), kept, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(('latest', *kept))}"
    raise UsageError(
        f"there is no run {name!r}; give the id or the folder of one in {results}; {hint}", code="unknown-run"
    )


def find_reference_runs() -> Mapping[str, Path]:
    """Return the folders of the reference runs, which are kept in results/reference, by name."""
    return {path.parent.name: path.parent for path in sorted(REFERENCE.glob("*/manifest.json"))}


def find_runs(names: str, results: Path) -> Mapping[str, Path]:
    """Return the folders of runs named with commas, by name; without names the reference runs. Raises UsageError."""
    listed = [name.strip() for name in names.split(",") if name.strip()]
    return {name: find_run_folder(name, results) for name in listed} if listed else find_reference_runs()


def find_two_runs(a: str, b: str, results: Path) -> tuple[Path, Path]:
    """Return the folders of the runs that A= and B= name. Raises UsageError."""
    for word, name in (("A", a), ("B", b)):
        if not name:
            raise UsageError(f"{word}= is missing; give two runs, for instance A=default B=latest", code="missing-run")
    return find_run_folder(a, results), find_run_folder(b, results)

"""Renders the reference pages of the docs: settings, measures and exit codes, each from the table that code obeys.

`make reference` writes them to docs/reference; a test holds them to it.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from bench.errors import ExitCode, Refusal
from bench.paths import ROOT
from bench.results.measures import MEASURES, PERCENTILES, MeasureSpec, merged_measures
from bench.results.setting_spec import SettingSpec
from bench.results.settings import SETTINGS

_MERGE_WORDS: Mapping[str, str] = {
    "": "computed",
    "mean": "mean, weighted by finished orders",
    "all": "true if true of all",
    "words": "all, with commas",
    "counts": "sum by name",
    "parts": "sum part by part",
    "list": "joined",
    "digest": "hash of hashes",
    "observer": "of the process that watched",
    "audit": "sum by number",
    "services_audit": "sum by number",
}


def render_settings() -> str:
    """Return docs/reference/settings.md."""
    lines = [
        "# Settings",
        "",
        "`make reference` writes this page from the table in `bench/results/settings.py`.",
        "",
        "NAME is typed for make and for `fourways` (`RATE=300`), the flag for `fourways` (`--rate 300`), and",
        "the key stands in a profile (`scenarios/profiles/NAME.toml`) and in the manifest. A factor is what",
        "a block of a profile may vary. The column is that of trials.csv; without one the setting stands in",
        "the manifest alone.",
        "",
        *_render_table(
            ("name", "flag", "key", "kind", "unit", "default", "factor", "column", "is"),
            (_setting_cells(spec) for spec in SETTINGS.values()),
        ),
    ]
    return "\n".join(lines) + "\n"


def _setting_cells(spec: SettingSpec) -> Sequence[str]:
    default = spec.default
    if isinstance(default, bool):
        default = "yes" if default else "no"
    elif isinstance(default, list | tuple):
        default = ",".join(map(str, default))
    kind = spec.kind if not spec.choices else f"{spec.kind}: {', '.join(_code(word) for word in spec.choices)}"
    return (
        _code(spec.name),
        _code(spec.flag),
        _code(spec.key),
        kind,
        spec.unit,
        "" if default in (None, {}) else _code(str(default)),
        "yes" if spec.factor else "",
        _code(spec.column),
        spec.help,
    )


def render_measures() -> str:
    """Return docs/reference/measures.md."""
    inner = [spec for spec in merged_measures() if not spec.column]
    lines = [
        "# Measures",
        "",
        "`make reference` writes this page from the table in `bench/results/measures.py`.",
        "",
        "Each has a column of trials.csv, and a latency one for each of",
        f"{', '.join(_code(name) for name in PERCENTILES)}.",
        "Merged says how the values of several load processes become one; a computed measure follows from",
        "merged ones. Where no way is better, the cell is empty.",
        "",
        *_render_table(
            ("column", "unit", "better", "merged", "is"),
            (_measure_cells(spec) for spec in MEASURES.values() if spec.column),
        ),
        "",
        "Load processes report these as well, from which others are computed; they have no column.",
        "",
        *_render_table(("name", "unit", "better", "merged", "is"), map(_measure_cells, inner)),
    ]
    return "\n".join(lines) + "\n"


def _measure_cells(spec: MeasureSpec) -> Sequence[str]:
    name = f"{spec.name}_*" if spec.merge == "histogram" and spec.column else spec.name
    return (_code(name), spec.unit, spec.better, _MERGE_WORDS.get(spec.merge, spec.merge), spec.help)


def render_exit_codes() -> str:
    """Return docs/reference/exit-codes.md."""
    said = {ExitCode.OK: "It did what was asked.", ExitCode.STOPPED: "It was stopped, for instance with Ctrl-C."}
    said |= {kind.exit_code: (kind.__doc__ or "").partition("\n")[0] for kind in Refusal.__subclasses__()}
    lines = [
        "# Exit codes",
        "",
        "`make reference` writes this page from `bench/errors.py`. Every command ends with one of these.",
        "",
        *_render_table(("code", "name", "means"), ((str(int(code)), code.name, said[code]) for code in ExitCode)),
        "",
        "A refusal is one sentence on standard error, with a stable code of its own in square brackets.",
    ]
    return "\n".join(lines) + "\n"


def _render_table(heading: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [heading, ["---"] * len(heading), *rows]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines]


def _code(word: str) -> str:
    return f"`{word}`" if word else ""


PAGES: Mapping[str, Callable[[], str]] = {
    "settings.md": render_settings,
    "measures.md": render_measures,
    "exit-codes.md": render_exit_codes,
}
FOLDER = ROOT / "docs" / "reference"


def write_pages(folder: Path = FOLDER) -> None:
    """Write all pages."""
    folder.mkdir(exist_ok=True)
    for name, render in PAGES.items():
        (folder / name).write_text(render(), encoding="utf-8")

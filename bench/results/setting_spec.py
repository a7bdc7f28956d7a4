"""Defines what a setting declares: name, kind, unit, default, help, column, and how its levels are compared."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal[
    "names", "word", "text", "path", "count", "number", "numbers", "fraction", "size", "seconds", "flag", "clients"
]
"""How a value is typed; bench/profile/parsing.py reads each kind."""
Role = Literal["method", "workload", "tuning", "procedure"]
"""``method``: what a method is made of. ``workload``: what is asked of it and promised by it. ``tuning``: a choice that
some methods do not have. ``procedure``: how it is measured, which is no property of a cell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingSpec:
    """One setting. ``name`` is typed (RATE=, --rate), ``key`` stands in a profile and in the manifest."""

    name: str
    key: str
    kind: Kind
    help: str
    default: Any = None
    """As a profile would have it; None: none, or one that follows from other settings and is said in ``help``."""
    unit: str = ""
    choices: tuple[str, ...] = ()
    """Words that it takes; plug-ins may add to those of ``transports`` and ``clients``."""
    aliases: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Other words that people use, and what they mean."""
    least: float = 0
    most: float | None = None
    zero: bool = False
    """Whether 0 is a value, and what ``help`` says of it."""
    role: Role = "procedure"
    factor: bool = False
    """Whether a block of a profile may vary it."""
    column: str = ""
    """Of trials.csv; empty: it stands in the manifest alone."""
    base: tuple[Any, ...] = ()
    """The level of a factor that the others are compared with, the first of these that is there; else the least."""
    needs_base: bool = False
    """Whether its levels are no degrees of one another, so that there is no ratio without the base."""
    highest_is_base: bool = False
    """Whether the greatest level is the base where no ``base`` is named."""
    context_place: int = 0
    """Of a factor at whose levels the effects of the others are told: its place among these. 0: it is none of them."""
    uncounted: frozenset[str] = frozenset()
    """Measures that cannot be counted at its levels."""
    label: str = ""
    """What stands before a level in a cell's name, where the level alone says too little."""

    @property
    def flag(self) -> str:
        """As an option of the command: ``--warm-up``."""
        return f"--{self.name.lower().replace('_', '-')}"

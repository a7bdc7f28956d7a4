"""What is asked of `make advise`: KEY=VALUE in the words of a profile, refused by name where it makes no sense."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec

from bench.advise.needs import NEEDS
from bench.errors import UsageError, unknown_word
from bench.load.workload.orders import SHAPES
from bench.profile.loader import load
from bench.profile.parsing import bytes_of
from bench.profile.schema import DURABILITIES
from transports.security import LEVELS
from transports.wire import codecs

WORDS = {
    "SIZE": "size_bytes",
    "SHAPE": "shape",
    "FORMAT": "format",
    "RATE": "rate_per_s",
    "BURST": "burst",
    "SECURITY": "security",
    "DURABILITY": "durability",
    "NEEDS": "needs",
}
"""What may be said on the command line, and the field that it stands for."""


class Question(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A use, of which a method is wanted. What a person leaves out is as `make bench` measures it."""

    size_bytes: Annotated[int, msgspec.Meta(ge=1)]
    """Of the order's compact JSON."""
    shape: Literal["document", "structured"]
    format: str | None = None
    """The codec; None: any, each method's own where it was measured."""
    rate_per_s: Annotated[float, msgspec.Meta(gt=0)]
    burst: Annotated[float, msgspec.Meta(ge=1)] = 1.0
    """How many times the mean rate orders come at in a burst; 1: as a Poisson process has it."""
    security: Literal["none", "tls", "mtls", "auth"]
    durability: Literal["fast", "safe"]
    needs: tuple[str, ...] = ()
    """Words of bench.advise.needs."""


def asked(words: Mapping[str, str]) -> Question:
    """The question in these words; an empty one is one not given. Raises UsageError with a sentence."""
    usual = load()
    raw: dict[str, Any] = {
        "size_bytes": usual.payload_bytes,
        "shape": usual.shape,
        "rate_per_s": usual.rates_per_s[0],
        "security": usual.security,
        "durability": usual.durability,
    }
    for word, text in words.items():
        if word not in WORDS:
            raise unknown_word("setting", word, tuple(WORDS))
        if text.strip():
            raw[WORDS[word]] = _READ.get(word, str.strip)(text.strip())
    for word, known in _KNOWN.items():
        if (value := raw.get(WORDS[word])) is not None and value not in known:
            raise unknown_word(word.lower(), str(value), known)
    for need in raw.get("needs", ()):
        if need not in NEEDS:
            raise unknown_word("need", need, tuple(NEEDS))
    try:
        return msgspec.convert(raw, Question)
    except msgspec.ValidationError as error:
        word = next((word for word, field in WORDS.items() if f"$.{field}" in str(error)), "it")
        raise UsageError(
            f"{word} cannot be {words.get(word)}: {str(error).partition(' - at')[0].lower()}", code="bad-question"
        ) from error


def _size_bytes(text: str) -> int:
    if (size_bytes := bytes_of(text)) is None:
        raise UsageError(
            f"SIZE must be a positive number of bytes, for instance 200 or 64KiB, not {text!r}", code="bad-size"
        )
    return size_bytes


def _number(word: str, least: str) -> Any:
    def read(text: str) -> float:
        try:
            number = float(text)
        except ValueError:
            number = float("nan")
        if not 0 < number < float("inf"):
            raise UsageError(f"{word} must be a number, {least}, not {text!r}", code="bad-number")
        return number

    return read


_READ: Mapping[str, Any] = {
    "SIZE": _size_bytes,
    "RATE": _number("RATE", "orders a second and more than none"),
    "BURST": _number("BURST", "how many times RATE a burst is at, 1 or more"),
    "NEEDS": lambda text: tuple(dict.fromkeys(need for part in text.split(",") if (need := part.strip().lower()))),
}
_KNOWN = {"SHAPE": tuple(SHAPES), "FORMAT": codecs(), "SECURITY": LEVELS, "DURABILITY": DURABILITIES}

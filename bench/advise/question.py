"""Parses and validates the question of `make advise`, given as KEY=VALUE words."""

from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec

from bench.advise.needs import NEEDS
from bench.errors import unknown_word
from bench.profile.parsing import parse
from bench.results.question_settings import QUESTION


class Question(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The use that a method is wanted for. What is left out defaults to what `make bench` measures."""

    size_bytes: Annotated[int, msgspec.Meta(ge=1)]
    """The size of the order's compact JSON."""
    shape: Literal["document", "structured"]
    format: str | None = None
    """The codec; None: any, each method's own where it was measured."""
    rate_per_s: Annotated[float, msgspec.Meta(gt=0)]
    burst: Annotated[float, msgspec.Meta(ge=1)] = 1.0
    """The rate in a burst, in times of the mean rate; 1: a Poisson process without bursts."""
    security: Literal["none", "tls", "mtls", "auth"]
    durability: Literal["fast", "safe"]
    needs: tuple[str, ...] = ()
    """Words of bench.advise.needs."""


def parse_question(words: Mapping[str, str]) -> Question:
    """Returns the question in these words. Raises UsageError with a sentence; an empty word is one of them."""
    for word in words:
        if word not in QUESTION:
            raise unknown_word("setting", word, tuple(QUESTION))
    given = {spec.key: words.get(name, spec.default) for name, spec in QUESTION.items()}
    raw = {spec.key: parse(spec, value) for spec in QUESTION.values() if (value := given[spec.key]) is not None}
    for need in raw["needs"]:
        if need not in NEEDS:
            raise unknown_word("need", need, tuple(NEEDS))
    return msgspec.convert(raw, Question)

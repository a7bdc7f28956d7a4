"""The exceptions that every transport raises, in one tree.

    TransportError
    ├── Unreachable      no server listens there, or the connection was lost
    ├── NotAccepted      the transport did not take the message
    │   ├── TooLarge     because it is over the size limit
    │   ├── Denied       because its sender may not send it
    │   └── ContentConflict  because its order id was used before, for other content
    ├── NoOutcome        it was sent, and no answer came before the deadline
    ├── Unreadable       the body cannot be decoded
    └── Failed           the other side answered that it failed
        └── Unavailable  because it cannot store for now; the same message may succeed later

A refusal by the shop (out of stock, card declined) is an outcome and raises nothing. Each transport translates its
library's exceptions in one place, with ``raise ... from``. Results record the name of the class.
"""

import re
from collections.abc import Iterable
from difflib import get_close_matches


class TransportError(Exception):
    """Base class: the transport failed. ``str(error)`` is a sentence."""

    @property
    def code(self) -> str:
        """The class name as a code: ``no-outcome`` for NoOutcome."""
        return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", type(self).__name__).lower()


class Unreachable(TransportError):
    pass


class NotAccepted(TransportError):
    pass


class TooLarge(NotAccepted):
    def __init__(self, size_bytes: int, limit_bytes: int) -> None:
        super().__init__(
            f"a message of {size_bytes:,} bytes is over the limit of {limit_bytes:,} bytes; "
            "send less or raise the size limit"
        )


class Denied(NotAccepted):
    pass


class ContentConflict(NotAccepted):
    pass


class NoOutcome(TransportError):
    pass


class Unreadable(TransportError):
    pass


class Failed(TransportError):
    pass


class Unavailable(Failed):
    """A passing error: it says nothing about the message. A consumer waits, and a caller may send it again."""


class SettingError(ValueError):
    """A setting cannot be met.

    ``str(error)`` says which one and what to set instead; ``code`` does not change when the sentence is reworded.
    """

    def __init__(self, sentence: str, *, code: str = "bad-setting") -> None:
        super().__init__(sentence)
        self.code = code


MAX_LISTED = 8
"""The most known words that are listed for a word that is like none of them."""


def describe_unknown(what: str, name: str, known: tuple[str, ...], others: Iterable[str] = ()) -> str:
    """One sentence about a name that is none of ``known``: with the nearest one, or with all where they are few.

    ``others`` are understood too: they may be the nearest, and are not listed.
    """
    by_lower = {word.lower(): word for word in (*known, *others)}
    if near := get_close_matches(name.lower(), by_lower, n=1):
        return f"no {what} {name!r}; did you mean {by_lower[near[0]]!r}?"
    if len(known) <= MAX_LISTED:
        return f"no {what} {name!r}; there are: {', '.join(known)}"
    return f"no {what} {name!r}, nor anything like it; --help lists what there is"

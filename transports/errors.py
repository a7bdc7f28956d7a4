"""What can go wrong between two services, in one vocabulary for every method.

    TransportError
    ├── Unreachable      nobody listens there, or the connection was lost
    ├── NotAccepted      the method did not take the message
    │   ├── TooLarge     because it is over the size limit
    │   └── Denied       because of who sends it
    ├── NoOutcome        taken, but nothing came back before the deadline
    ├── Unreadable       what came cannot be decoded
    └── Failed           the other side answered that it failed

A refusal by the shop (out of stock, card declined) is not an error: it is an outcome. Each transport translates its
library's exceptions in one place, with ``raise ... from``. The class name is what a record keeps.
"""

import re
from difflib import get_close_matches


class TransportError(Exception):
    """The machinery failed. ``str(error)`` is a sentence."""

    @property
    def code(self) -> str:
        """Its class's name as a code: ``no-outcome`` of NoOutcome."""
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


class NoOutcome(TransportError):
    pass


class Unreadable(TransportError):
    pass


class Failed(TransportError):
    pass


class SettingError(ValueError):
    """A setting that cannot be honoured; ``str(error)`` says which and what would do, ``code`` stays when it is reworded."""

    def __init__(self, sentence: str, *, code: str = "bad-setting") -> None:
        super().__init__(sentence)
        self.code = code


def unknown(what: str, name: str, known: tuple[str, ...]) -> str:
    """One sentence about a name that is none of ``known``: with the nearest one, or with all of them."""
    near = get_close_matches(name.lower(), known, n=1)
    return f"no {what} {name!r}; " + (f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(known)}")

"""What a person may need of a method beyond speed; each follows from the traits that the method declares."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from shop.store import Durability
from transports.base import Acceptance, Traits

CHECKS = "tests/contract/test_conformance.py"
BROKER, EVENTS, FOREIGN = (f"tests/system/test_{name}.py" for name in ("broker", "events", "foreign_clients"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """``has`` and ``lacks`` say it of a method; ``shown_by`` is the test that holds the trait to its word."""

    has: str
    lacks: str
    shown_by: str
    met: Callable[[Traits, Durability], bool]


def _survives(level: int) -> Callable[[Traits, Durability], bool]:
    """At least D``level``: traits say it in the first two characters of a sentence."""
    return lambda traits, durability: int(traits.survives[durability][1]) >= level


NEEDS: Mapping[str, Need] = {
    "ordered": Need(
        has="keeps the messages of one order in the order in which they were sent",
        lacks="may deliver the messages of one order in another order than they were sent",
        shown_by=CHECKS,
        met=lambda traits, _: traits.ordered,
    ),
    "replay": Need(
        has="keeps what was consumed, and another consumer can read it again from the beginning",
        lacks="keeps nothing that was consumed, so that it cannot be read again",
        shown_by=f"{EVENTS}::test_what_was_consumed_can_be_read_again_from_the_beginning_by_others, "
        f"{BROKER}::test_what_was_consumed_is_gone",
        met=lambda traits, _: traits.replays,
    ),
    "redelivery": Need(
        has="delivers a message again when its consumer dies before it is done",
        lacks="delivers nothing again: when a service dies, whoever asked has to ask again",
        shown_by=f"{BROKER}::test_what_was_handled_and_not_acknowledged_comes_again_and_has_one_effect, "
        f"{EVENTS}::test_what_was_handled_and_not_committed_comes_again_and_has_one_effect",
        met=lambda traits, _: traits.redelivers,
    ),
    "queued": Need(
        has="takes an order while the services that will handle it are away",
        lacks="takes no order unless every service answers while the buyer waits",
        shown_by=CHECKS,
        met=lambda traits, _: traits.accepted is not Acceptance.ON_OUTCOME,
    ),
    "browser": Need(
        has="can be called by a browser as it is",
        lacks="cannot be called by a browser without a gateway in front of it",
        shown_by=f"{FOREIGN}::test_a_page_of_the_service_orders_as_a_browser_does, "
        f"{FOREIGN}::test_grpc_has_no_answer_to_what_a_browser_can_send",
        met=lambda traits, _: traits.browsers,
    ),
    "d1": Need(
        has="keeps an accepted order through a service's death",
        lacks="loses an accepted order with a service's death",
        shown_by="tests/system/test_durability.py",
        met=_survives(1),
    ),
    "d2": Need(
        has="keeps an accepted order through the death of a service and of the broker",
        lacks="may lose an accepted order with the death of a service or of the broker",
        shown_by="tests/system/test_durability.py",
        met=_survives(2),
    ),
    "d3": Need(
        has="has an accepted order on the disk",
        lacks="has not waited for the disk when it accepts an order",
        shown_by="tests/system/test_durability.py",
        met=_survives(3),
    ),
}
"""By the word in NEEDS=."""

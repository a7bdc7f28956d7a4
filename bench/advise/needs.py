"""Defines the needs beyond speed that a person may name, each checked against traits."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from shop.store import Durability
from transports.base import Acceptance, Traits

CONFORMANCE_TEST = "tests/contract/test_conformance.py"
BROKER_TEST, EVENTS_TEST, FOREIGN_CLIENTS_TEST = (
    f"tests/system/test_{name}.py" for name in ("broker", "events", "foreign_clients")
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """A need: how to say that a method meets it (``has``) or not (``lacks``), and the test that shows the trait.

    ``met`` tells from the traits and a durability class whether a method meets it.
    """

    has: str
    lacks: str
    shown_by: str
    met: Callable[[Traits, Durability], bool]


def _survives_level(level: int) -> Callable[[Traits, Durability], bool]:
    """Returns a check that an accepted order survives at durability ``level`` or better (D0 to D3).

    Traits state the level in the first two characters of a sentence.
    """
    return lambda traits, durability: int(traits.survives[durability][1]) >= level


NEEDS: Mapping[str, Need] = {
    "ordered": Need(
        has="keeps the messages of one order in the order in which they were sent",
        lacks="may deliver the messages of one order in another order than they were sent",
        shown_by=CONFORMANCE_TEST,
        met=lambda traits, _: traits.ordered,
    ),
    "replay": Need(
        has="keeps what was consumed, and another consumer can read it again from the beginning",
        lacks="keeps nothing that was consumed, so that it cannot be read again",
        shown_by=f"{EVENTS_TEST}::test_what_was_consumed_can_be_read_again_from_the_beginning_by_others, "
        f"{BROKER_TEST}::test_what_was_consumed_is_gone",
        met=lambda traits, _: traits.replays,
    ),
    "redelivery": Need(
        has="delivers a message again when its consumer dies before it is done",
        lacks="delivers nothing again: when a service dies, the caller has to send it again",
        shown_by=f"{BROKER_TEST}::test_what_was_handled_and_not_acknowledged_comes_again_and_has_one_effect, "
        f"{EVENTS_TEST}::test_what_was_handled_and_not_committed_comes_again_and_has_one_effect",
        met=lambda traits, _: traits.redelivers,
    ),
    "queued": Need(
        has="takes an order while the services that will handle it are away",
        lacks="takes no order unless every service answers while the buyer waits",
        shown_by=CONFORMANCE_TEST,
        met=lambda traits, _: traits.accepted is not Acceptance.ON_OUTCOME,
    ),
    "browser": Need(
        has="can be called by a browser as it is",
        lacks="cannot be called by a browser without a gateway in front of it",
        shown_by=f"{FOREIGN_CLIENTS_TEST}::test_a_page_of_the_service_orders_as_a_browser_does, "
        f"{FOREIGN_CLIENTS_TEST}::test_grpc_has_no_answer_to_what_a_browser_can_send",
        met=lambda traits, _: traits.browsers,
    ),
    "d1": Need(
        has="keeps an accepted order through a service's death",
        lacks="loses an accepted order with a service's death",
        shown_by="tests/system/test_durability.py",
        met=_survives_level(1),
    ),
    "d2": Need(
        has="keeps an accepted order through the death of a service and of the broker",
        lacks="may lose an accepted order with the death of a service or of the broker",
        shown_by="tests/system/test_durability.py",
        met=_survives_level(2),
    ),
    "d3": Need(
        has="has an accepted order on the disk",
        lacks="has not waited for the disk when it accepts an order",
        shown_by="tests/system/test_durability.py",
        met=_survives_level(3),
    ),
}
"""The needs, by the word in NEEDS=."""

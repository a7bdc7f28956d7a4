"""What a method promises beyond numbers: its traits, and what others' tools do with it; and the test that shows it."""

from collections.abc import Iterator, Mapping
from typing import Literal

from bench.advise.method import Method
from bench.advise.needs import BROKER, EVENTS, FOREIGN, NEEDS
from transports.base import Acceptance

TOOLS: Mapping[str, tuple[str, str]] = {
    "rest": (
        "describes itself on an OpenAPI page from which an order can be tried",
        f"{FOREIGN}::test_the_example_of_the_openapi_page_ships",
    ),
    "grpc": (
        "describes itself by reflection, from which a client can be built that knows nothing else",
        f"{FOREIGN}::test_an_order_built_from_reflection_alone_ships",
    ),
    "broker": (
        "shows its queues with the broker's own command",
        f"{FOREIGN}::test_rabbitmq_itself_lists_the_queues_of_a_trial_and_none_after_it",
    ),
    "events": (
        "shows its topics and groups with the broker's own commands",
        f"{FOREIGN}::test_kafka_itself_lists_the_topics_and_groups_of_a_trial_and_none_after_it",
    ),
}
"""By pairing, what others' tools can do with it."""
PRESSURE: Mapping[str, str] = {"broker": f"{BROKER}::test_a_service_takes_no_more_than_its_prefetch"}
"""By pairing, the test that more than a service takes at once waits outside of it."""


def promises(method: Method) -> Iterator[tuple[Literal["pro", "con"], str, str, str]]:
    """Pro or con, subject, sentence and source. Nothing for a transport that is not installed here."""
    traits = method.traits
    if traits is None:
        return
    for word, need in NEEDS.items():
        if not word.startswith("d"):
            met = need.met(traits, "fast")
            yield "pro" if met else "con", word, need.has if met else need.lacks, _declared(need.shown_by, method)
    chain = traits.accepted is Acceptance.ON_OUTCOME
    for durability, survives in traits.survives.items():
        yield (
            "con" if survives.startswith("D0") else "pro",
            f"durability {durability}",
            f"of what is accepted with durability {durability} there survives: {survives}",
            _declared(NEEDS["d1"].shown_by, method),
        )
    if chain:
        said = f"has no back-pressure of its own: a service takes {traits.concurrency}"
        yield "con", "back-pressure", said, "declared"
    else:
        said = f"has back-pressure: a service takes {traits.concurrency}, and what is more waits in the broker"
        yield "pro", "back-pressure", said, _declared(PRESSURE.get(method.pairing, NEEDS["queued"].shown_by), method)
    if method.pairing in TOOLS:
        text, source = TOOLS[method.pairing]
        yield "pro", "tools", text, source


def _declared(shown_by: str, method: Method) -> str:
    """A product's promises are tested with the method whose own it is."""
    elsewhere = method.product and (BROKER in shown_by or EVENTS in shown_by)
    return f"declared; {'of its product, with another method: ' if elsewhere else ''}{shown_by}"

"""Builds the claims that follow from a method's declared traits, with their tests."""

from collections.abc import Iterator, Mapping
from typing import Literal

from bench.advise.method import Method
from bench.advise.needs import BROKER_TEST, EVENTS_TEST, FOREIGN_CLIENTS_TEST, NEEDS
from transports.base import Acceptance

TOOL_CLAIMS: Mapping[str, tuple[str, str]] = {
    "rest": (
        "describes itself on an OpenAPI page from which an order can be tried",
        f"{FOREIGN_CLIENTS_TEST}::test_the_example_of_the_openapi_page_ships",
    ),
    "grpc": (
        "describes itself by reflection, from which a client can be built that knows nothing else",
        f"{FOREIGN_CLIENTS_TEST}::test_an_order_built_from_reflection_alone_ships",
    ),
    "broker": (
        "shows its queues with the broker's own command",
        f"{FOREIGN_CLIENTS_TEST}::test_rabbitmq_itself_lists_the_queues_of_a_trial_and_none_after_it",
    ),
    "events": (
        "shows its topics and groups with the broker's own commands",
        f"{FOREIGN_CLIENTS_TEST}::test_kafka_itself_lists_the_topics_and_groups_of_a_trial_and_none_after_it",
    ),
}
"""What tools of others can do with a pairing, and the test of it, by pairing."""
BACK_PRESSURE_TESTS: Mapping[str, str] = {"broker": f"{BROKER_TEST}::test_a_service_takes_no_more_than_its_prefetch"}
"""The test that messages beyond a service's prefetch wait outside of it, by pairing."""


def build_trait_claims(method: Method) -> Iterator[tuple[Literal["pro", "con"], str, str, str]]:
    """Yields pro or con, subject, sentence and source; nothing when the transport is not installed here."""
    traits = method.traits
    if traits is None:
        return
    for word, need in NEEDS.items():
        if not word.startswith("d"):
            met = need.met(traits, "fast")
            yield (
                "pro" if met else "con",
                word,
                need.has if met else need.lacks,
                _declared_source(need.shown_by, method),
            )
    chain = traits.accepted is Acceptance.ON_OUTCOME
    for durability, survives in traits.survives.items():
        yield (
            "con" if survives.startswith("D0") else "pro",
            f"durability {durability}",
            f"of what is accepted with durability {durability} there survives: {survives}",
            _declared_source(NEEDS["d1"].shown_by, method),
        )
    if chain:
        said = f"has no back-pressure of its own: a service takes {traits.concurrency}"
        yield "con", "back-pressure", said, "declared"
    else:
        said = f"has back-pressure: a service takes {traits.concurrency}, and what is more waits in the broker"
        yield (
            "pro",
            "back-pressure",
            said,
            _declared_source(BACK_PRESSURE_TESTS.get(method.pairing, NEEDS["queued"].shown_by), method),
        )
    if method.pairing in TOOL_CLAIMS:
        text, source = TOOL_CLAIMS[method.pairing]
        yield "pro", "tools", text, source


def _declared_source(shown_by: str, method: Method) -> str:
    """Returns the source of a declared trait; a product is tested with the method whose own it is."""
    elsewhere = method.backend and (BROKER_TEST in shown_by or EVENTS_TEST in shown_by)
    return f"declared; {'of its backend, with another method: ' if elsewhere else ''}{shown_by}"

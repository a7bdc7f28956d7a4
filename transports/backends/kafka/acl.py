"""Who may do what on Kafka, as rules of its authorizer (ACLs): aiokafka's admin client has no calls for them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import for_code
from aiokafka.protocol.admin import CreateAclsRequest, DeleteAclsRequest

from transports.errors import NotAccepted

# Numbers of the protocol: org.apache.kafka.common.acl and .resource.
_RESOURCE = {"topic": 2, "group": 3}
_OPERATION = {"read": 3, "write": 4}
_ANY, _LITERAL, _ALLOW = 1, 3, 3


@dataclass(frozen=True, slots=True)
class Right:
    """A role may read or write a topic, or read (be a member of) a group."""

    role: str
    operation: Literal["read", "write"]
    resource: Literal["topic", "group"]
    name: str


class _Creations(CreateAclsRequest):  # type: ignore[misc]
    """Of many rules, which Kafka writes down together; aiokafka's own is of one."""

    def __init__(self, rules: Sequence[tuple[Any, ...]]) -> None:
        self._rules = rules

    def build(self, request_struct_class: Any) -> Any:
        return request_struct_class(self._rules)


class _Deletions(DeleteAclsRequest):  # type: ignore[misc]
    """The same of filters of rules."""

    def __init__(self, filters: Sequence[tuple[Any, ...]]) -> None:
        self._filters = filters

    def build(self, request_struct_class: Any) -> Any:
        return request_struct_class(self._filters)


async def grant(client: AIOKafkaClient, rights: Sequence[Right]) -> None:
    """Idempotent. Raises KafkaError, and NotAccepted where Kafka keeps no rules."""
    rules = [
        (
            _RESOURCE[right.resource],
            right.name,
            _LITERAL,
            f"User:{right.role}",
            "*",
            _OPERATION[right.operation],
            _ALLOW,
        )
        for right in rights
    ]
    response = await client.send(client.get_random_node(), _Creations(rules))
    for right, (code, message) in zip(rights, response.creation_responses, strict=True):
        if code:
            raise NotAccepted(f"Kafka did not take a right for {right.name}: {message or for_code(code).__name__}")


async def revoke(client: AIOKafkaClient, rights: Sequence[Right]) -> None:
    """All rules about these topics and groups; those that are not there are no error. Raises KafkaError."""
    places = dict.fromkeys((right.resource, right.name) for right in rights)
    filters = [(_RESOURCE[resource], name, _LITERAL, None, None, _ANY, _ANY) for resource, name in places]
    await client.send(client.get_random_node(), _Deletions(filters))

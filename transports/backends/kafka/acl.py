"""Creates and deletes Kafka ACL rules, for which aiokafka's admin client has no calls."""

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
_ANY_OPERATION, _LITERAL, _ALLOW = 1, 3, 3


@dataclass(frozen=True, slots=True)
class AclRule:
    """A rule that allows a role to read or write a topic, or to read (be a member of) a group."""

    role: str
    operation: Literal["read", "write"]
    resource: Literal["topic", "group"]
    name: str


class _CreateRulesRequest(CreateAclsRequest):  # type: ignore[misc]
    """A request that creates many rules at once; aiokafka's own creates one."""

    def __init__(self, rules: Sequence[tuple[Any, ...]]) -> None:
        self._rules = rules

    def build(self, request_struct_class: Any) -> Any:
        return request_struct_class(self._rules)


class _DeleteRulesRequest(DeleteAclsRequest):  # type: ignore[misc]
    """A request that deletes the rules that match any of many filters."""

    def __init__(self, filters: Sequence[tuple[Any, ...]]) -> None:
        self._filters = filters

    def build(self, request_struct_class: Any) -> Any:
        return request_struct_class(self._filters)


async def create_rules(client: AIOKafkaClient, rights: Sequence[AclRule]) -> None:
    """Creates the rules. Idempotent. Raises KafkaError, and NotAccepted if Kafka has no authorizer that keeps rules."""
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
    response = await client.send(client.get_random_node(), _CreateRulesRequest(rules))
    for right, (code, message) in zip(rights, response.creation_responses, strict=True):
        if code:
            raise NotAccepted(f"Kafka did not take a right for {right.name}: {message or for_code(code).__name__}")


async def delete_rules(client: AIOKafkaClient, rights: Sequence[AclRule]) -> None:
    """Deletes all rules about the topics and groups of ``rights``; missing ones are no error. Raises KafkaError."""
    places = dict.fromkeys((right.resource, right.name) for right in rights)
    filters = [
        (_RESOURCE[resource], name, _LITERAL, None, None, _ANY_OPERATION, _ANY_OPERATION) for resource, name in places
    ]
    await client.send(client.get_random_node(), _DeleteRulesRequest(filters))

"""What orders.proto calls the services and their methods."""

from collections.abc import Mapping
from dataclasses import dataclass

from shop.messages import KIND
from shop.workflow import REQUEST
from transports.wire import orders_pb2 as pb

CODEC_METADATA = "fourways-codec"
"""Says which codec a body is in when it is not protobuf: Python's grpc does not show a content-subtype."""


@dataclass(frozen=True, slots=True)
class Method:
    service: str
    """Its full name, ``fourways.orders.User``."""
    name: str
    kind: str
    """The kind of message that it takes."""

    @property
    def path(self) -> str:
        return f"/{self.service}/{self.name}"


def _methods() -> Mapping[str, Method]:
    methods: dict[str, Method] = {}
    for service, request in REQUEST.items():
        described = pb.DESCRIPTOR.services_by_name[service.capitalize()]
        (method,) = (m for m in described.methods if m.input_type.name == request.__name__)
        methods[service] = Method(described.full_name, method.name, KIND[request])
    return methods


METHODS = _methods()
"""By service of the shop."""

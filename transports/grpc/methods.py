"""Reads the gRPC service and method names from orders.proto."""

from collections.abc import Mapping
from dataclasses import dataclass

from shop.messages import KIND_BY_TYPE
from shop.workflow import REQUEST_TYPES
from transports.wire import orders_pb2 as pb

CODEC_METADATA = "fourways-codec"
"""Says which codec a body is in when it is not protobuf: Python's grpc does not show a content-subtype."""


PUSHBACK_METADATA = "grpc-retry-pushback-ms"
"""The milliseconds for which a server asks its caller to wait (gRFC A6); with UNAVAILABLE it says that the service is
there and cannot store."""


@dataclass(frozen=True, slots=True)
class RpcMethod:
    service: str
    """Its full name, ``fourways.orders.User``."""
    name: str
    kind: str
    """The kind of message that it takes."""

    @property
    def path(self) -> str:
        return f"/{self.service}/{self.name}"


def _read_methods() -> Mapping[str, RpcMethod]:
    methods: dict[str, RpcMethod] = {}
    for service, request in REQUEST_TYPES.items():
        described = pb.DESCRIPTOR.services_by_name[service.capitalize()]
        (method,) = (m for m in described.methods if m.input_type.name == request.__name__)
        methods[service] = RpcMethod(described.full_name, method.name, KIND_BY_TYPE[request])
    return methods


METHODS = _read_methods()
"""The methods, by service of the shop."""

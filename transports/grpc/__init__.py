"""The gRPC transport: unary calls on grpc.aio, orders.proto, reflection and health."""

from transports.grpc.transport import GrpcTransport

__all__ = ["GrpcTransport"]

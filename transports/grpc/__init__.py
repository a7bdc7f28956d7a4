"""gRPC: unary calls on grpc.aio, a real .proto, reflection and health."""

from transports.grpc.transport import GrpcTransport

__all__ = ["GrpcTransport"]

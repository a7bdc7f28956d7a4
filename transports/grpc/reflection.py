"""Answers server reflection under both of its names, v1 and v1alpha.

grpcio-reflection has v1alpha alone. v1 has the same messages under another package, so the same servicer answers both;
newer clients ask for v1 first, and some for nothing else.
"""

from functools import cache

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool
from grpc_reflection.v1alpha import _async, reflection_pb2, reflection_pb2_grpc
from grpc_reflection.v1alpha.reflection import SERVICE_NAME as V1ALPHA

V1 = V1ALPHA.replace(".v1alpha.", ".v1.")


def enable_reflection(server: grpc.aio.Server, *services: str) -> None:
    """Makes the server list ``services``, by their full names, and reflection itself."""
    _describe_v1()
    servicer = _async.ReflectionServicer((*services, V1, V1ALPHA))
    reflection_pb2_grpc.add_ServerReflectionServicer_to_server(servicer, server)
    handler = grpc.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo,
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(V1, {"ServerReflectionInfo": handler}),))


@cache
def _describe_v1() -> None:
    """Adds v1's description to the process, made from v1alpha's: a client may ask about every listed service."""
    file = descriptor_pb2.FileDescriptorProto()
    reflection_pb2.DESCRIPTOR.CopyToProto(file)
    file.name, file.package = file.name.replace("/v1alpha/", "/v1/"), file.package.replace(".v1alpha", ".v1")
    for field in (field for message in file.message_type for field in message.field if field.type_name):
        field.type_name = field.type_name.replace(".v1alpha.", ".v1.")
    for method in (method for service in file.service for method in service.method):
        method.input_type = method.input_type.replace(".v1alpha.", ".v1.")
        method.output_type = method.output_type.replace(".v1alpha.", ".v1.")
    descriptor_pool.Default().AddSerializedFile(file.SerializeToString())

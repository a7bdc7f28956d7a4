"""Tests gRPC server reflection under both names, asked by a client that knows the name alone."""

from collections.abc import AsyncIterator

import grpc
import pytest
import pytest_asyncio
from google.protobuf import descriptor_pb2
from grpc_reflection.v1alpha import reflection_pb2 as wire

from transports.grpc.methods import METHODS
from transports.grpc.reflection import V1, V1ALPHA, enable_reflection

ORDERS = METHODS["user"].service


@pytest_asyncio.fixture
async def channel() -> AsyncIterator[grpc.aio.Channel]:
    server = grpc.aio.server()
    enable_reflection(server, ORDERS)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as opened:
        yield opened
    await server.stop(None)


async def ask(
    channel: grpc.aio.Channel, version: str, request: wire.ServerReflectionRequest
) -> wire.ServerReflectionResponse:
    """Asks one question of the service called ``version``."""
    call = channel.stream_stream(
        f"/{version}/ServerReflectionInfo",
        request_serializer=wire.ServerReflectionRequest.SerializeToString,
        response_deserializer=wire.ServerReflectionResponse.FromString,
    )([request])
    (answer,) = [answer async for answer in call]
    assert isinstance(answer, wire.ServerReflectionResponse)
    return answer


@pytest.mark.parametrize("version", [V1, V1ALPHA])
async def test_both_names_list_the_same_services(version: str, channel: grpc.aio.Channel) -> None:
    answer = await ask(channel, version, wire.ServerReflectionRequest(list_services=""))
    names = {service.name for service in answer.list_services_response.service}
    assert names == {ORDERS, "grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection"}


@pytest.mark.parametrize("version", [V1, V1ALPHA])
@pytest.mark.parametrize("service", [ORDERS, V1, V1ALPHA])
async def test_every_service_that_is_listed_is_described(version: str, service: str, channel: grpc.aio.Channel) -> None:
    answer = await ask(channel, version, wire.ServerReflectionRequest(file_containing_symbol=service))
    package, _, name = service.rpartition(".")
    files = map(descriptor_pb2.FileDescriptorProto.FromString, answer.file_descriptor_response.file_descriptor_proto)
    (described,) = (file for file in files if file.package == package)
    (found,) = (one for one in described.service if one.name == name)
    for method in found.method:
        assert method.input_type.startswith(f".{package}.")
        assert method.output_type.startswith(f".{package}.")


@pytest.mark.parametrize("version", [V1, V1ALPHA])
async def test_what_is_not_there_is_an_error_in_the_answer(version: str, channel: grpc.aio.Channel) -> None:
    answer = await ask(channel, version, wire.ServerReflectionRequest(file_containing_symbol="no.Such"))
    assert answer.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]

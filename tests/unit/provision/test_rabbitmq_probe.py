"""Tests that a RabbitMQ that is not up yet is asked without a warning."""

import asyncio
import gc

from bench.provision import rabbitmq


async def test_a_connection_that_is_accepted_and_closed_is_no_answer() -> None:
    """As a container engine's proxy does until the server behind it listens."""
    accepted = 0

    async def close_at_once(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal accepted
        accepted += 1
        writer.close()

    server = await asyncio.start_server(close_at_once, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        assert await rabbitmq.probe_version(f"amqp://guest:guest@127.0.0.1:{port}/") is None
    assert accepted == 2  # by the look at the port, and by the client
    await asyncio.to_thread(gc.collect)  # where no event loop runs, which the client's clean-up would miss

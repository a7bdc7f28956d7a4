"""Tests that a run counts dead letters by reason, keeps them, and says so."""

import asyncio
from base64 import b64decode
from collections.abc import Mapping

import aio_pika
import msgspec
import pytest
from aio_pika.exceptions import DeliveryError

from tests.system.command_line import SHORT_RUN, BenchCommandLine, is_completed, wait_until
from tests.system.kafka_trial import list_trial_topics, start_producer

pytestmark = [pytest.mark.slow, pytest.mark.broker]

GARBAGE = b"\xffgarbage"


async def put_on_rabbitmq(servers: Mapping[str, str], trial: str) -> str:
    queue = f"{trial}.user"
    async with await aio_pika.connect(servers["rabbitmq"]) as connection, asyncio.timeout(60):
        channel = await connection.channel(on_return_raises=True)
        while True:
            try:
                await channel.default_exchange.publish(aio_pika.Message(GARBAGE, type="place-order"), queue)
                return queue
            except DeliveryError:  # the trial has no queue yet
                await asyncio.sleep(0.05)


async def put_on_kafka(servers: Mapping[str, str], trial: str) -> str:
    topic = f"{trial}.place-order"
    async with asyncio.timeout(60):
        while topic not in await list_trial_topics(servers, trial):  # noqa: ASYNC110 - the trial makes it
            await asyncio.sleep(0.05)
    async with start_producer(servers) as foreign:
        await foreign.send_and_wait(topic, GARBAGE)
    return topic


@pytest.mark.parametrize(("method", "put"), [("broker", put_on_rabbitmq), ("events", put_on_kafka)])
def test_a_run_counts_and_keeps_what_nobody_could_read(
    bench: BenchCommandLine, servers: Mapping[str, str], method: str, put: object
) -> None:
    assert callable(put)
    with bench.running(f"TRANSPORT={method}", *SHORT_RUN, "DURATION=3") as running:
        wait_until((bench.results / "latest" / "manifest.json").is_file)
        run_id = bench.open_latest_run().manifest["run_id"]
        source = asyncio.run(put(servers, f"fw-{run_id.rpartition('-')[2]}r1s1"))
        said, _ = running.communicate(timeout=120)
    run = bench.open_latest_run()
    (trial,) = run.trials().to_dict("records")
    counts = {reason: trial[f"dead_letters_{reason}"] for reason in ("unreadable", "refused", "failed", "parked")}
    assert counts == {"unreadable": 1, "refused": 0, "failed": 0, "parked": 0}, said
    assert "dead-letters" in trial["caveats"].split(";")
    assert trial["complete"]
    (path,) = (run.path / "dead-letters").iterdir()
    letter, last = (msgspec.json.decode(line) for line in path.read_bytes().splitlines())
    assert path.name == f"r1-s1-{method}.jsonl"
    assert (letter["reason"], letter["source"], letter["kind"]) == ("unreadable", source, "place-order")
    assert (letter["order_id"], b64decode(letter["body"])) == (None, GARBAGE)
    assert last == {"total": 1, "kept": 1, "most_kept": 1000}


def test_a_run_without_dead_letters_has_no_folder_of_them(bench: BenchCommandLine) -> None:
    done = bench.run("TRANSPORT=broker,events", *SHORT_RUN)
    assert is_completed(done), done.stdout + done.stderr
    run = bench.open_latest_run()
    assert not (run.path / "dead-letters").exists()
    assert (run.trials()[["dead_letters_unreadable", "dead_letters_parked"]] == 0).all(axis=None)

"""Runs load generators that others wrote and reads latencies from their raw output.

Latencies are microseconds. What a tool sends in the first seconds is left out, as our warm-up is.
"""

import asyncio
import base64
import csv
import json
import re
from asyncio.subprocess import PIPE
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from statistics import median

from google.protobuf.json_format import MessageToDict

from bench.errors import OperationFailed
from bench.load.workload.orders import Workload
from transports.wire import load_codec, orders_pb2

COLD_RECORDS = 5_000
WARM_RECORDS = 15_000
"""EndToEndLatency's mean was seen at 2.7 ms over 1,000 records, 1.5 over 5,000 and 0.75 over 20,000."""


class ToolFailed(OperationFailed):
    """A tool is missing, ended with an error, or said something unexpected; ``str(error)`` is a sentence."""


async def run_vegeta(
    tools: Path, folder: Path, address: str, workload: Workload, per_s: int, warm_up_s: int, seconds: int
) -> list[float]:
    """Posts distinct orders at a constant rate; returns the latency of each after the warm-up. Raises ToolFailed."""
    total = per_s * (warm_up_s + seconds)
    targets = folder / "targets.json"
    codec = load_codec("json")
    with targets.open("w", encoding="utf-8") as file:
        for number in range(total):
            body = base64.b64encode(codec.encode(workload.order(number))).decode()
            header = {"Content-Type": ["application/json"]}
            target = {"method": "POST", "url": f"http://{address}/place-order", "header": header, "body": body}
            file.write(json.dumps(target) + "\n")
    raw = folder / "vegeta.bin"
    arguments = ["-format=json", "-lazy", f"-targets={targets}", f"-rate={per_s}/1s", f"-output={raw}"]
    await _run_command([tools / "vegeta", "attack", f"-duration={warm_up_s + seconds}s", *arguments])
    # Columns: when, code, latency in ns, and so on; see `vegeta encode`.
    lines = list(csv.reader((await _run_command([tools / "vegeta", "encode", "-to=csv", raw])).splitlines()))
    if any(line[1] != "200" for line in lines):
        raise ToolFailed(
            f"vegeta saw answers other than 200: {sorted({line[1] for line in lines})}", code="tool-failed"
        )
    begin_ns = min(int(line[0]) for line in lines)
    return [int(line[2]) / 1000 for line in lines if int(line[0]) - begin_ns >= warm_up_s * 1e9]


async def run_ghz(
    tools: Path, folder: Path, address: str, workload: Workload, per_s: int, warm_up_s: int, seconds: int
) -> list[float]:
    """Sends orders over one connection at a constant rate; returns latencies after the warm-up. Raises ToolFailed."""
    total = per_s * (warm_up_s + seconds)
    codec = load_codec("protobuf")
    orders = []
    for number in range(total):
        message = orders_pb2.PlaceOrder.FromString(codec.encode(workload.order(number)))
        orders.append(MessageToDict(message, preserving_proto_field_name=True))
    data = folder / "orders.json"
    data.write_text(json.dumps(orders), "utf-8")
    proto = Path(orders_pb2.__file__).with_name("orders.proto")
    call = ["--insecure", "--proto", proto, "--call", "fourways.orders.User/Place", "--data-file", data]
    load = ["--rps", per_s, "--total", total, "--async", "--concurrency", 50, "--connections", 1]
    said = json.loads(await _run_command([tools / "ghz", *call, *load, "--format", "json", address]))
    details = said["details"]
    if any(detail["status"] != "OK" for detail in details):
        raise ToolFailed(f"ghz saw {said['statusCodeDistribution']}", code="tool-failed")
    at_s = [_parse_timestamp_s(detail["timestamp"]) for detail in details]
    begin_s = min(at_s)
    return [detail["latency"] / 1000 for detail, at in zip(details, at_s, strict=True) if at - begin_s >= warm_up_s]


def _parse_timestamp_s(timestamp: str) -> float:
    """Of a time in Go's notation, which has nanoseconds where Python takes microseconds."""
    return datetime.fromisoformat(re.sub(r"(\.\d{6})\d*", r"\1", timestamp).replace("Z", "+00:00")).timestamp()


async def run_perf_test(jars: Path, url: str, per_s: int, warm_up_s: int, seconds: int, size_bytes: int) -> float:
    """Runs RabbitMQ's PerfTest; returns the median of its seconds' median latencies. Raises ToolFailed.

    It has one publisher with confirms, one consumer and a transient queue. Its total has the first seconds in it, in
    which a JVM is slow.
    """
    # To its client a URL that ends in a slash names the virtual host "".
    load = ["--rate", per_s, "--time", warm_up_s + seconds, "--size", size_bytes, "--confirm", 100, "--autoack"]
    said = await _run_command(
        ["java", "-cp", f"{jars}/*", "com.rabbitmq.perf.PerfTest", "--uri", url.rstrip("/"), *load]
    )
    found = re.findall(r"time (\d+)\.\d+ s, .* consumer latency: \d+/(\d+)/", said)
    medians_us = [float(median_us) for at_s, median_us in found if int(at_s) > warm_up_s]
    if not medians_us:
        raise ToolFailed(f"PerfTest said no latencies: {said[-200:]!r}", code="tool-failed")
    return median(medians_us)


async def run_end_to_end_latency(jars: Path, bootstrap: str, topic: str, size_bytes: int) -> float:
    """Runs Kafka's EndToEndLatency; returns the mean latency of its warm records. Raises ToolFailed.

    It sends one record after the other, each waited for by a consumer, and reports a single mean of a JVM's cold
    records and its warm ones. What a long run took beyond a short one belongs to the warm ones alone.
    """
    sums_us = []
    for records in (COLD_RECORDS, COLD_RECORDS + WARM_RECORDS):
        arguments = [bootstrap, topic, records, "all", size_bytes]
        said = await _run_command(["java", "-cp", f"{jars}/*", "org.apache.kafka.tools.EndToEndLatency", *arguments])
        found = re.search(r"Avg latency: ([\d.]+) ms", said)
        if not found:
            raise ToolFailed(f"EndToEndLatency said no mean: {said[-200:]!r}", code="tool-failed")
        sums_us.append(float(found[1]) * 1000 * records)
    return (sums_us[1] - sums_us[0]) / WARM_RECORDS


async def _run_command(command: Sequence[object]) -> str:
    """Runs a command and returns its standard output. Raises ToolFailed."""
    words = [str(word) for word in command]
    try:
        process = await asyncio.create_subprocess_exec(*words, stdout=PIPE, stderr=PIPE)
    except FileNotFoundError as error:
        raise ToolFailed(
            f"{words[0]} is not there; type `make crosscheck`, which installs it (Go and Java)", code="tool-failed"
        ) from error
    try:
        out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise ToolFailed(
            f"{Path(words[0]).name} failed: {err.decode(errors='replace').strip()[-300:]}", code="tool-failed"
        )
    return out.decode()

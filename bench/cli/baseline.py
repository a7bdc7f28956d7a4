"""`fourways harness baseline`: our cost beside the barest chain of the same libraries."""

from rich.console import Console

from bench.calibration.baseline.arms import build_orders
from bench.calibration.baseline.measure import BaselineLoad
from bench.calibration.baseline.run import BARE_TRANSPORTS, run_baseline
from bench.cli.arguments import Asked
from bench.cli.exits import run_to_end
from bench.cli.output import print_json
from bench.cli.servers import install_brokers_for, paths_of
from bench.errors import UsageError, unknown_word


def run(asked: Asked) -> None:
    """Print both arms and their ratio, met or not. Raises UsageError, OperationFailed."""
    transports = asked.value("TRANSPORT")
    for name in transports:
        if name not in BARE_TRANSPORTS:
            raise unknown_word("bare chain of transport", name, BARE_TRANSPORTS)
    if not transports:
        raise UsageError(f"no transport to measure; give some of {', '.join(BARE_TRANSPORTS)}", code="no-transport")
    load = BaselineLoad(
        orders=int(asked.value("ORDERS")),
        payload_bytes=int(asked.value("PAYLOAD")),
        seconds=float(asked.value("SECONDS_EACH")),
    )
    try:
        build_orders(1, load.payload_bytes)
    except ValueError as error:
        raise UsageError(f"PAYLOAD is too small: {error}", code="payload-too-small") from error
    install_brokers_for(asked, transports)
    rounds, console = int(asked.value("ROUNDS")), Console(stderr=asked.json)
    report = run_to_end(lambda: run_baseline(transports, rounds, load, paths_of(asked), console))
    if asked.json:
        print_json(report.content())

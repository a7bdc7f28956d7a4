"""Parses the command line of the baseline comparison."""

import argparse
from pathlib import Path
from typing import NoReturn

import msgspec

from bench.calibration.baseline.measure import BaselineLoad
from bench.paths import ROOT
from bench.profile.parsing import bytes_of
from transports.errors import describe_unknown

BARE_TRANSPORTS = ("rest", "grpc", "broker", "events")


class BaselineOptions(msgspec.Struct, frozen=True, kw_only=True):
    transports: tuple[str, ...]
    rounds: int
    load: BaselineLoad
    out: Path
    home: Path


class _SentenceParser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Prints one sentence and exits with code 2."""
        self.exit(2, f"{message}\n")


def parse_options(arguments: list[str]) -> BaselineOptions:
    """Returns the options. Raises SystemExit: 2 with a sentence for a wrong argument, 0 for --help."""
    default = BaselineLoad()
    parser = _SentenceParser(
        prog="python -m bench.calibration.baseline", description="Our cost against the bare libraries."
    )
    parser.add_argument("--transport", type=_parse_transports, default=BARE_TRANSPORTS, help=",".join(BARE_TRANSPORTS))
    parser.add_argument("--rounds", type=_parse_count, default=4, help="each measures both arms")
    parser.add_argument("--orders", type=_parse_count, default=default.orders, help="of the closed loop")
    parser.add_argument(
        "--payload", type=_parse_bytes, default=default.payload_bytes, help="bytes of an order's JSON, or 64KiB"
    )
    parser.add_argument("--seconds", type=_parse_seconds, default=default.seconds, help="of the open loop")
    parser.add_argument("--out", type=Path, default=ROOT / "results", help="the folder for JSON and text")
    parser.add_argument("--home", type=Path, default=ROOT / ".fourways", help="brokers' data, jars and our logs")
    given = parser.parse_args(arguments)
    load = BaselineLoad(orders=given.orders, payload_bytes=given.payload, seconds=given.seconds)
    return BaselineOptions(transports=given.transport, rounds=given.rounds, load=load, out=given.out, home=given.home)


def _parse_transports(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    for name in names or ("",):
        if name not in BARE_TRANSPORTS:
            raise argparse.ArgumentTypeError(describe_unknown("bare chain for transport", name, BARE_TRANSPORTS))
    return names


def _parse_count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not int(text):
        raise argparse.ArgumentTypeError(f"a whole number from 1 on is needed, not {text!r}")
    return int(text)


def _parse_bytes(text: str) -> int:
    if (size := bytes_of(text)) is None:
        raise argparse.ArgumentTypeError(
            f"a positive number of bytes is needed, for instance 200 or 64KiB, not {text!r}"
        )
    return size


def _parse_seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0.1 <= seconds <= 3600:
        raise argparse.ArgumentTypeError(f"a number of seconds from 0.1 to 3600 is needed, not {text!r}")
    return seconds

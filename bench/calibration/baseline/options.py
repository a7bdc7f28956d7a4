"""What `python -m bench.calibration.baseline` takes."""

import argparse
from pathlib import Path
from typing import NoReturn

import msgspec

from bench.calibration.baseline.measure import Load
from bench.paths import ROOT
from bench.profile.parsing import bytes_of
from transports.registry import unknown

TRANSPORTS = ("rest", "grpc", "broker", "events")


class Options(msgspec.Struct, frozen=True, kw_only=True):
    transports: tuple[str, ...]
    rounds: int
    load: Load
    out: Path
    home: Path


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """One sentence, exit code 2."""
        self.exit(2, f"{message}\n")


def options(arguments: list[str]) -> Options:
    """Raises SystemExit: 2 with a sentence for what cannot be, 0 for --help."""
    default = Load()
    parser = _Parser(prog="python -m bench.calibration.baseline", description="Our cost against the bare libraries.")
    parser.add_argument("--transport", type=_transports, default=TRANSPORTS, help=",".join(TRANSPORTS))
    parser.add_argument("--rounds", type=_count, default=4, help="each measures both arms")
    parser.add_argument("--orders", type=_count, default=default.orders, help="of the closed loop")
    parser.add_argument(
        "--payload", type=_bytes, default=default.payload_bytes, help="bytes of an order's JSON, or 64KiB"
    )
    parser.add_argument("--seconds", type=_seconds, default=default.seconds, help="of the open loop")
    parser.add_argument("--out", type=Path, default=ROOT / "results", help="the folder for JSON and text")
    parser.add_argument("--home", type=Path, default=ROOT / ".fourways", help="brokers' data, jars and our logs")
    given = parser.parse_args(arguments)
    load = Load(orders=given.orders, payload_bytes=given.payload, seconds=given.seconds)
    return Options(transports=given.transport, rounds=given.rounds, load=load, out=given.out, home=given.home)


def _transports(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    for name in names or ("",):
        if name not in TRANSPORTS:
            raise argparse.ArgumentTypeError(unknown("bare chain for transport", name, TRANSPORTS))
    return names


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not int(text):
        raise argparse.ArgumentTypeError(f"a whole number from 1 on is needed, not {text!r}")
    return int(text)


def _bytes(text: str) -> int:
    if (size := bytes_of(text)) is None:
        raise argparse.ArgumentTypeError(
            f"a positive number of bytes is needed, for instance 200 or 64KiB, not {text!r}"
        )
    return size


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0.1 <= seconds <= 3600:
        raise argparse.ArgumentTypeError(f"a number of seconds from 0.1 to 3600 is needed, not {text!r}")
    return seconds

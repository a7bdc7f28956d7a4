"""`python -m bench.provision up|down`: what `make up` and `make down` do."""

import argparse
import asyncio
import signal
import sys
from pathlib import Path

from bench.errors import InUse
from bench.paths import STATE
from bench.provision.base import Unavailable
from bench.provision.brokers import BROKER_NAMES, URL_VARIABLES, start_kept_brokers, stop_kept_brokers

HOME = STATE
STOPPED = 130


def _say(sentence: str) -> None:
    print(sentence, flush=True)


async def _up(home: Path) -> int:
    found = await start_kept_brokers(BROKER_NAMES, home=home, say=_say)
    missing = [broker for broker in found.values() if isinstance(broker, Unavailable)]
    for broker in found.values():
        if not isinstance(broker, Unavailable):
            _say(f"{URL_VARIABLES[broker.name]}={broker.url}   # {broker.version}, {broker.provided_by}")
    for broker in missing:
        print(broker.why, file=sys.stderr)
    if len(missing) < len(found):
        _say("the next runs use what is up; `make down` stops it")
    return 1 if missing else 0


async def main(what: str, home: Path) -> int:
    """The exit code of up or down."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    if what == "up":
        return await _up(home)
    try:
        await stop_kept_brokers(home=home, say=_say)
    except InUse as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def command() -> int:
    """The exit code: 0 done, 1 a broker cannot be had, 2 not understood, 130 stopped."""
    parser = argparse.ArgumentParser(prog="python -m bench.provision", description=__doc__)
    parser.add_argument("what", choices=("up", "down"))
    parser.add_argument("--home", type=Path, default=HOME, help="brokers' data and jars")
    given = parser.parse_args()
    try:
        return asyncio.run(main(given.what, given.home))
    except (KeyboardInterrupt, asyncio.CancelledError):
        print("stopped; nothing is left running", file=sys.stderr)
        return STOPPED
    except OSError as error:
        print(f"{error.filename or 'the system'}: {error.strerror or error}; see to it and try again", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(command())

"""`python -m bench.provision up|down`: what `make up` and `make down` do."""

import asyncio
import signal
import sys
from pathlib import Path

from bench.provision.base import InUse, Unavailable
from bench.provision.brokers import NAMES, VARIABLES, down, up

HOME = Path(__file__).parents[2] / ".fourways"


def _say(sentence: str) -> None:
    print(sentence, flush=True)


async def _up() -> int:
    found = await up(NAMES, home=HOME, say=_say)
    missing = [broker for broker in found.values() if isinstance(broker, Unavailable)]
    for broker in found.values():
        if not isinstance(broker, Unavailable):
            _say(f"{VARIABLES[broker.name]}={broker.url}   # {broker.version}, {broker.provided_by}")
    for broker in missing:
        print(broker.why, file=sys.stderr)
    if len(missing) < len(found):
        _say("the next runs use what is up; `make down` stops it")
    return 1 if missing else 0


async def main(what: str) -> int:
    """The exit code of up or down."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    if what == "up":
        return await _up()
    try:
        await down(home=HOME, say=_say)
    except InUse as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    if sys.argv[1:] not in (["up"], ["down"]):
        sys.exit("usage: python -m bench.provision up|down")
    try:
        sys.exit(asyncio.run(main(sys.argv[1])))
    except (KeyboardInterrupt, asyncio.CancelledError):
        sys.exit("stopped; nothing is left running")

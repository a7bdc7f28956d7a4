"""Keeps what lies in a trial's dead-letter queue, before the queue is removed."""

import logging
from base64 import b64encode
from pathlib import Path

import msgspec

from transports.base import Transport
from transports.dead_letters import DeadLetters
from transports.errors import TransportError

_log = logging.getLogger(__name__)

MAX_KEPT = 1_000
"""The most dead letters of a trial that are kept: the oldest."""


async def keep_dead_letters(transport: Transport, path: Path) -> None:
    """Writes the dead letters of a trial to ``path``; without any there is no file.

    Those of a broker that is gone have gone with it. The trial's columns count them all the same.
    """
    try:
        path.unlink(missing_ok=True)  # of a trial that is measured again
        found = await transport.read_dead_letters(MAX_KEPT)
        if found.total:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(format_lines(found))
    except (TransportError, OSError) as error:
        _log.warning("dead letters could not be kept: %s", error)


def format_lines(found: DeadLetters) -> bytes:
    """Returns a JSON line for each dead letter, and a last one that says how many there were and how many are kept."""
    lines = [
        {
            "reason": letter.reason,
            "source": letter.source,
            "kind": letter.kind,
            "order_id": letter.order_id,
            "body": b64encode(letter.body).decode(),
        }
        for letter in found.letters
    ]
    last = {"total": found.total, "kept": len(lines), "most_kept": MAX_KEPT}
    return b"".join(msgspec.json.encode(line) + b"\n" for line in (*lines, last))

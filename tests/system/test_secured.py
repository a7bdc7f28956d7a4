"""Tests orders on all four methods with mutual TLS and with credentials.

From the start of the run's brokers to the trial's row; tests/system/test_refused.py covers plain TLS.
"""

import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from bench.errors import ExitCode
from bench.provision.certificates import make_keys
from tests.system.command_line import SHORT_RUN, BenchCommandLine, how_refused

pytestmark = [pytest.mark.slow, pytest.mark.broker]

PROFILE = """\
also = []
deadline_s = 5
warm_up_max_s = 0
broker_warm_up_s = 0

[[block]]
security = ["mtls", "auth"]
"""


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[BenchCommandLine]:
    """Without brokers that are given."""
    made = BenchCommandLine(tmp_path, {})
    yield made
    for process in made.processes():
        process.kill()


@dataclass(frozen=True)
class Done:
    """A run of all methods at both levels, whose keys are known here."""

    bench: BenchCommandLine
    said: str
    keys: Path
    seen: set[str]
    """Every word of every command line meanwhile."""


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    folder = tmp_path_factory.mktemp("secured")
    bench, keys, seen = BenchCommandLine(folder, {}), make_keys(folder / "keys"), set[str]()
    bench.env["KEYS"] = str(keys)
    profile = folder / "levels.toml"
    profile.write_text(PROFILE)
    with bench.running(f"PROFILE={profile}", *SHORT_RUN) as process:
        while process.poll() is None:
            for child in bench.processes():
                with suppress(psutil.Error):
                    seen.update(child.cmdline())
            time.sleep(0.1)  # looking takes a core, which what is looked at needs
        assert process.stdout is not None
        said = process.stdout.read()
    left = bench.left()
    for child in bench.processes():
        child.kill()
    assert process.returncode in (ExitCode.OK, ExitCode.DOUBTFUL), said
    assert left == []
    return Done(bench, said, keys, seen)


def test_every_method_ships_with_the_same_cipher(done: Done) -> None:
    trials = done.bench.open_latest_run().trials()
    assert trials["complete"].all(), trials["caveats"].tolist()
    assert len(set(zip(trials["transport"], trials["security"], strict=True))) == len(trials) == 8
    assert set(trials["negotiated_cipher"]) == {"TLS_AES_128_GCM_SHA256"}
    said = done.bench.open_latest_run().manifest["tls"]
    assert {line.split(", ")[0] for line in said.values()} == {"TLSv1.3"}
    assert {line.split(", ")[2] for name, line in said.items() if not name.startswith("grpc")} <= {
        "X25519",
        "secp256r1",
    }
    # An order's bytes are on the wire once more for what TLS puts around them, and are counted at the same ports.
    assert (trials["wire_bytes_per_order"] > 0).all()


def test_secrets_are_in_no_command_line_and_in_no_file_of_a_run(done: Done) -> None:
    assert "kafka.Kafka" in done.seen
    secrets = [path.read_text() for path in done.keys.rglob("*") if path.suffix == ".jwt" or path.name == "password"]
    written = done.said + "".join(
        path.read_text(errors="replace")
        for path in done.bench.results.rglob("*")
        if path.is_file() and not path.is_symlink()
    )
    assert len(secrets) > 8
    assert not [secret for secret in secrets if secret in written or any(secret in word for word in done.seen)]


@pytest.mark.parametrize("level", ["tls", "mtls", "auth"])
def test_a_broker_that_lacks_the_level_is_told_of_before_the_first_trial(bench: BenchCommandLine, level: str) -> None:
    done = bench.run("TRANSPORT=broker,events", f"SECURITY={level}", *SHORT_RUN)
    assert how_refused(done) == (3, "missing-server")
    assert "RABBITMQ_URL=amqp://guest:***@127.0.0.1:" in done.stderr
    assert f"SECURITY={level}" in done.stderr
    assert "KAFKA_BOOTSTRAP=" in done.stderr
    assert not bench.results.exists()


def test_keys_that_others_can_read_are_refused_before_anything_starts(alone: BenchCommandLine, tmp_path: Path) -> None:
    key = make_keys(tmp_path / "keys") / "payment" / "key.pem"
    key.chmod(0o640)
    alone.env["KEYS"] = str(tmp_path / "keys")
    done = alone.run("TRANSPORT=rest", "SECURITY=mtls", *SHORT_RUN)
    assert how_refused(done) == (2, "open-keys")
    assert f"chmod 600 {key}" in done.stderr
    assert alone.runs() == []

"""Starts a container engine of the tests' own, which ends with them and leaves nothing outside its folder."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

START_TIMEOUT_S = 60
STOP_TIMEOUT_S = 60

# Docker keeps a key, plugins and sockets at fixed places. Here they are in memory, seen by this daemon alone.
OWN_PLACES = ("/etc/docker", "/run/docker", "/run/containerd")
SCRIPT = """
for place in $PLACES; do mkdir -p $place && mount -t tmpfs tmpfs $place || exit; done
setpriv --pdeathsig TERM "$@" &
daemon=$!
end() {
  docker rm -f -v $(docker ps -aq)
  docker network prune -f
  kill $daemon
  wait $daemon
  rm -rf "$FOLDER"
}
trap end TERM
wait $daemon
"""
"""Runs the daemon. What a test leaves is removed before the daemon ends, since the bridge of a network outlives it."""


class NoEngine(Exception):
    """No engine can be started here; says why."""


@contextmanager
def start_engine(folder: Path) -> Iterator[Mapping[str, str]]:
    """Context manager: a dockerd with all that it keeps in ``folder``, which it removes on exit.

    Yields the environment variables by which clients find it. It changes no firewall rule: a port published at
    loopback goes through Docker's proxy with or without them. Raises NoEngine.
    """
    if missing := [name for name in ("dockerd", "docker", "setpriv", "unshare") if not shutil.which(name)]:
        raise NoEngine(f"{missing[0]} is not installed: type `sudo apt-get install docker.io docker-compose`")
    if os.geteuid() != 0:
        raise NoEngine("dockerd of our own needs root")
    folder.mkdir()
    strange = [place for place in map(Path, OWN_PLACES) if not place.exists()]
    log, socket = folder / "dockerd.log", f"unix://{folder}/docker.sock"
    env = {"DOCKER_HOST": socket, "DOCKER_CONFIG": str(folder)}
    command = (
        *("dockerd", "--data-root", folder / "data", "--exec-root", folder / "exec", "--pidfile", folder / "pid"),
        *("-H", socket, "--bridge", "none", "--iptables=false", "--ip6tables=false"),
        *("--ip-forward=false", "--ip-masq=false"),
    )
    # The kernel tells the script when a test is killed.
    mortal = ("setpriv", "--pdeathsig", "TERM", "unshare", "--mount", "sh", "-c", SCRIPT, "sh")
    with log.open("wb") as out:
        process = subprocess.Popen(
            [*mortal, *command],
            env={**os.environ, **env, "PLACES": " ".join(OWN_PLACES), "FOLDER": str(folder)},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    try:
        _wait_until_it_answers(process, env, log)
        yield env
    finally:
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        shutil.rmtree(folder, ignore_errors=True)
        for place in strange:
            with suppress(OSError):
                place.rmdir()


def _wait_until_it_answers(process: "subprocess.Popen[bytes]", env: Mapping[str, str], log: Path) -> None:
    give_up = time.monotonic() + START_TIMEOUT_S
    ask = ["docker", "version", "--format", "{{.Server.Version}}"]
    while subprocess.run(ask, env={**os.environ, **env}, capture_output=True, timeout=30, check=False).returncode:
        if process.poll() is not None or time.monotonic() > give_up:
            lines = log.read_text(errors="replace").strip().splitlines()
            raise NoEngine(f"dockerd does not start here: {lines[-1] if lines else 'it said nothing'}")
        time.sleep(0.1)

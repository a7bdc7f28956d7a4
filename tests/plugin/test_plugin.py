"""Tests the example transport: installed as a package of its own, used without changes here."""

import itertools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.errors import ExitCode
from bench.paths import ROOT
from bench.provision.brokers import URL_VARIABLES
from bench.provision.ports import find_free_ports
from bench.results.store import RunFolder
from shop.workflow import SERVICES
from tests.conftest import refuses
from tests.system.command_line import SHORT_RUN
from transports.base import Setting, Transport
from transports.conformance import CHECKS, ConformanceCheck
from transports.conformance_faults import FAULT_CHECKS
from transports.errors import SettingError
from transports.registry import load_transport

pytestmark = pytest.mark.slow

FRAMES = ROOT / "examples" / "transport-frames"
ENDED = (ExitCode.OK, ExitCode.DOUBTFUL)
"""A run of short trials is doubtful."""
_trials = (f"plugin-{os.getpid()}-{number}" for number in itertools.count())

NEEDY = """
from dataclasses import replace

from fourways_frames import FramesTransport


class NatsTransport(FramesTransport):
    traits = replace(FramesTransport.traits, needs=frozenset({"nats"}))

    def facts(self):
        return {"server": self.setting.servers["nats"]}
"""


RUDE = """
from contextlib import asynccontextmanager
from dataclasses import replace

from bench.calibration.selftest.stub import StubTransport


class Rude(StubTransport):
    traits = replace(StubTransport.traits, in_process=False)

    @asynccontextmanager
    async def connect(self):
        raise RuntimeError("not in the mood")
        yield

    async def remove(self):
        raise RuntimeError("nor now")
"""

MUTE = """
from transports.memory import MemoryTransport
from dataclasses import replace


class Mute(MemoryTransport):
    traits = replace(MemoryTransport.traits, survives={"fast": "D0: nothing"})
"""


def a_python(folder: Path, *arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    """A Python process of Fourways that has ``folder`` as one more place of installed distributions."""
    env = {name: value for name, value in os.environ.items() if name not in URL_VARIABLES.values()}
    env |= {"PYTHONPATH": str(folder), **variables}
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env=env, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the distribution is installed, for these tests alone."""
    source, installed = tmp_path_factory.mktemp("source") / "frames", tmp_path_factory.mktemp("site")
    shutil.copytree(FRAMES, source, ignore=shutil.ignore_patterns("__pycache__"))  # a build writes beside its source
    offline = ("--no-index", "--no-deps", "--no-build-isolation", "--disable-pip-version-check")
    done = a_python(installed, "-m", "pip", "install", "-q", *offline, "--target", str(installed), str(source))
    assert done.returncode == 0, done.stderr
    return installed


def declare(folder: Path, entry_point: str) -> None:
    """What an installer leaves of a distribution that says ``name = module:Class``."""
    about = folder / "fourways_other-0.1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: fourways-other\nVersion: 0.1\n")
    (about / "entry_points.txt").write_text(f"[fourways.transports]\n{entry_point}\n")


@pytest.fixture
def needy(site: Path, tmp_path: Path) -> Path:
    """The same with a second distribution, whose transport needs a server that Fourways does not provide."""
    both = tmp_path / "site"
    shutil.copytree(site, both)
    (both / "fourways_nats.py").write_text(NEEDY)
    declare(both, "nats = fourways_nats:NatsTransport")
    return both


@pytest.fixture
def bench(tmp_path: Path) -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """``bench(site, setting, …)`` is `make bench` with results under tmp_path / "results"."""
    where = (f"RESULTS={tmp_path / 'results'}", f"STATE={tmp_path / 'home'}")

    def run(site: Path, *settings: str, **variables: str) -> "subprocess.CompletedProcess[str]":
        return a_python(site, "-m", "bench", "bench", *where, *settings, **variables)

    return run


@pytest.fixture
def make(site: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Transport]]:
    """What the conformance checks ask for: a transport with a trial and addresses of its own."""
    monkeypatch.syspath_prepend(site)
    kind = load_transport("frames")

    def made(**changes: Any) -> Transport:
        addresses = {s: f"127.0.0.1:{p}" for s, p in zip(SERVICES, find_free_ports(len(SERVICES)), strict=True)}
        settings: dict[str, Any] = {"codec": kind.traits.codec} | changes
        return kind(Setting(trial=next(_trials), addresses=addresses, **settings))

    yield made
    for module in [name for name in sys.modules if name.partition(".")[0] == "fourways_frames"]:
        del sys.modules[module]


def test_an_installed_distribution_is_found_by_its_entry_point(site: Path) -> None:
    ask = "import json; from transports.registry import list_transports; print(json.dumps(list_transports()))"
    with_it, without = (json.loads(a_python(place, "-c", ask).stdout) for place in (site, site / "none"))
    assert set(with_it) - set(without) == {"frames"}


@pytest.mark.parametrize("check", (*CHECKS, *FAULT_CHECKS), ids=lambda check: check.__name__.removeprefix("check_"))
async def test_the_plugin_conforms(make: Callable[..., Transport], check: ConformanceCheck) -> None:
    await check(make)


def test_the_plugin_is_measured_like_the_others(
    site: Path, bench: Callable[..., "subprocess.CompletedProcess[str]"], tmp_path: Path
) -> None:
    done = bench(site, "TRANSPORT=memory,frames", *SHORT_RUN)
    assert done.returncode in ENDED, done.stderr
    trials = RunFolder.open(tmp_path / "results" / "latest").trials().set_index("cell")
    assert trials["complete"].all(), trials["caveats"].tolist()
    assert trials.loc["frames", "finished"] == trials.loc["memory", "finished"] > 0
    assert trials.loc["frames", "wire_bytes_per_order"] > 4 * 1024  # an order of 1 KiB on four hops
    manifest = RunFolder.open(tmp_path / "results" / "latest").manifest
    assert manifest["traits"]["frames"]["style"] == "chain"
    assert "asyncio streams" in manifest["facts"]["frames"]["server"]


@pytest.mark.parametrize(
    ("value", "wrong"),
    [
        ("fourways_nowhere:T", "'fourways_nowhere'"),
        ("transports.memory:MemoryTransprot", "'MemoryTransprot'"),
        ("transports.errors:Failed", "not a Transport"),
        ("transports.base:Transport", "connect and serve"),
    ],
)
def test_an_entry_point_that_is_wrong_is_refused_with_what_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str, wrong: str
) -> None:
    declare(tmp_path, f"mine = {value}")
    monkeypatch.syspath_prepend(tmp_path)
    with refuses("bad-transport", "'mine'", value, wrong, "docs/adding-a-transport.md", kind=SettingError):
        load_transport("mine")


def test_a_plugin_that_does_not_say_what_survives_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mute.py").write_text(MUTE)
    declare(tmp_path, "mute = mute:Mute")
    monkeypatch.syspath_prepend(tmp_path)
    with refuses("bad-transport", "'mute'", "durability safe", kind=SettingError):
        load_transport("mute")


def test_what_a_plugin_loses_is_counted_and_its_numbers_are_shown(
    tmp_path: Path, bench: Callable[..., "subprocess.CompletedProcess[str]"]
) -> None:
    declare(tmp_path, "stub = bench.calibration.selftest.stub:StubTransport")
    profile = tmp_path / "stub.toml"
    profile.write_text('transports = ["stub"]\n[options.stub]\nservice_ms = 50\nsilent_every = 20\n')
    few = ("ROUNDS=1", "DURATION=2", "RATE=400", "WARM_UP=0.5", "WARM_UP_MAX=0", "DEADLINE=2")
    done = bench(tmp_path, f"PROFILE={profile}", *few)
    assert "Traceback" not in done.stderr
    (cell,) = RunFolder.open(tmp_path / "results" / "latest").summary()["cells"]
    assert cell["orders"]["unfinished"] == cell["orders"]["planned"] // 20
    assert 50_000 <= cell["metrics"]["finish_p50_us"]["estimate"] < 70_000
    assert cell["metrics"]["finish_p99_us"]["estimate"] == "inf"
    assert "> 2 s" in done.stdout


def test_a_plugin_may_raise_what_it_likes_and_the_run_ends_with_its_words(
    tmp_path: Path, bench: Callable[..., "subprocess.CompletedProcess[str]"]
) -> None:
    (tmp_path / "rude.py").write_text(RUDE)
    declare(tmp_path, "rude = rude:Rude")
    done = bench(tmp_path, "TRANSPORT=rude,memory", *SHORT_RUN)
    assert done.returncode == 6
    assert "Traceback" not in done.stdout + done.stderr
    assert "RuntimeError: not in the mood" in " ".join(done.stdout.split())
    trials = RunFolder.open(tmp_path / "results" / "latest").trials().set_index("cell")
    assert trials.loc["memory", "complete"]


def test_a_misspelt_plugin_is_refused_with_its_name(
    site: Path, bench: Callable[..., "subprocess.CompletedProcess[str]"]
) -> None:
    done = bench(site, "TRANSPORT=frame")
    assert (done.returncode, done.stdout) == (2, "")
    assert "'frames'" in done.stderr


def test_a_server_that_is_not_given_is_refused_with_what_to_type(
    needy: Path, bench: Callable[..., "subprocess.CompletedProcess[str]"], tmp_path: Path
) -> None:
    done = bench(needy, "TRANSPORT=nats", *SHORT_RUN)
    assert (done.returncode, len(done.stderr.splitlines())) == (3, 1)
    assert "nats" in done.stderr
    assert "NATS_URL=" in done.stderr
    assert not (tmp_path / "results").exists()


def test_a_server_that_is_not_given_leaves_the_other_methods_measured(
    needy: Path, bench: Callable[..., "subprocess.CompletedProcess[str]"], tmp_path: Path
) -> None:
    profile = tmp_path / "mine.toml"
    profile.write_text('transports = ["memory", "nats"]\n')
    done = bench(needy, f"PROFILE={profile}", *SHORT_RUN)
    assert done.returncode in ENDED, done.stderr
    run = RunFolder.open(tmp_path / "results" / "latest")
    assert list(run.trials()["cell"]) == ["memory"]
    assert run.manifest["skipped"].keys() == {"nats"}
    assert "NATS_URL=" in run.manifest["skipped"]["nats"]


@pytest.mark.parametrize("url", ["nats://127.0.0.1:4222", "nats://nats.invalid"])
def test_a_server_given_by_url_reaches_the_transport(
    needy: Path, bench: Callable[..., "subprocess.CompletedProcess[str]"], tmp_path: Path, url: str
) -> None:
    done = bench(needy, "TRANSPORT=nats", *SHORT_RUN, NATS_URL=url)
    assert done.returncode in ENDED, done.stderr
    run = RunFolder.open(tmp_path / "results" / "latest")
    assert run.trials()["complete"].all(), run.trials()["caveats"].tolist()
    assert run.manifest["facts"]["nats"]["server"] == url
    assert run.manifest["brokers"]["nats"]["provided_by"] == "given"


def test_a_server_of_a_plugin_is_a_word_too_and_a_misspelt_one_is_refused_with_its_name(
    needy: Path, bench: Callable[..., "subprocess.CompletedProcess[str]"]
) -> None:
    done = bench(needy, "NATZ_URL=x")
    assert (done.returncode, done.stdout) == (2, "")
    assert "'NATS_URL'" in done.stderr
    done = bench(needy, "NATS_URL=nats://h", "TRANSPORT=nast")
    assert "'nats'" in done.stderr

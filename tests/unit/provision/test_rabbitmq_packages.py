"""Tests that RabbitMQ is unpacked whole or not at all, with programs that stand in for those of apt."""

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from bench.errors import OperationFailed, StartFailed
from bench.provision import rabbitmq
from bench.provision import rabbitmq_packages as packages
from bench.provision.install import fetch_rabbitmq, install_for
from bench.provision.rabbitmq import Installation, find_installation
from bench.provision.rabbitmq_packages import find_unpacked, unpack_rabbitmq

pytestmark = pytest.mark.slow

ELF = Path("/bin/true")
LIBRARIES = "usr/lib/some-linux-gnu"

# Each stands in for a program of apt and notes how it was called. `update` fails for the suites in $folder/unreachable.
APT_GET = """
echo "apt-get $*" >> "$folder/calls"
case "$*" in
  *indextargets*) printf '%s\\n' "$codename|contrib||http://other/" "$codename|main||http://mirror/";;
  *update*) [ ! -s "$folder/complaint" ] || { cat "$folder/complaint" >&2; exit 100; };;
  *print-uris*) printf "'http://mirror/%s' %s 1 SHA256:0\\n" a erlang-base_29_amd64.deb b perl_5_amd64.deb;;
  *download*) touch package.deb;;
esac
"""
APT_CACHE = 'cat "$folder/shown"'
DPKG = 'cp -r "$folder/tree/." "$3"'


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine whose mirror has RabbitMQ 4.3.6; what its programs do can be changed by files in the folder."""
    folder = tmp_path / "machine"
    programs = folder / "bin"
    programs.mkdir(parents=True)
    for name, script in {"apt-get": APT_GET, "apt-cache": APT_CACHE, "dpkg": DPKG}.items():
        (programs / name).write_text(f"#!/bin/sh\nfolder='{folder}' codename=here\n{script}", "utf-8")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    monkeypatch.setattr(packages, "_read_codename", lambda: "here")
    (folder / "shown").write_text("Version: 1:4.3.6-1\n", "utf-8")
    build_tree(folder / "tree")
    return folder


def build_tree(tree: Path) -> None:
    """What the packages hold: a C library, an Erlang that says ok, and RabbitMQ."""
    texts = {
        f"{LIBRARIES}/ld-linux-some.so.2": "",
        "usr/lib/erlang/releases/29/OTP_VERSION": "29.1.1\n",
        "usr/lib/erlang/bin/erl": '#!/bin/sh\n    ROOTDIR=/usr/lib/erlang\n[ -d "$ROOTDIR/releases" ] && printf ok\n',
        "usr/lib/rabbitmq/lib/rabbitmq_server-4.3.6/sbin/rabbitmq-server": "#!/bin/sh\n",
    }
    for path, text in texts.items():
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_text(text, "utf-8")
    (tree / "usr/lib/erlang/bin/erl").chmod(0o755)
    shutil.copy(ELF, tree / "usr/lib/erlang/bin/epmd")


def calls(machine: Path) -> list[str]:
    return (machine / "calls").read_text("utf-8").splitlines() if (machine / "calls").exists() else []


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "a home").mkdir()
    return tmp_path / "a home"


def refusal(home: Path) -> str:
    """The code with which unpacking is refused, with nothing left behind."""
    with pytest.raises(OperationFailed) as refused:
        unpack_rabbitmq(home, lambda sentence: None)
    assert sorted(path.name for path in home.iterdir()) == ["rabbitmq.lock"]
    assert "\n" not in str(refused.value)
    return refused.value.code


def test_what_the_packages_hold_is_there_and_says_its_versions(machine: Path, home: Path) -> None:
    made = unpack_rabbitmq(home, lambda sentence: None)
    assert (made.suite, made.version, made.erlang) == ("forky", "4.3.6", "29.1.1")
    assert made.server.exists()
    assert find_unpacked(home) == made
    assert sorted(path.name for path in home.iterdir()) == ["rabbitmq", "rabbitmq.lock"]


def test_only_what_a_server_needs_is_downloaded(machine: Path, home: Path) -> None:
    unpack_rabbitmq(home, lambda sentence: None)
    (download,) = [call for call in calls(machine) if " download " in call]
    assert download.endswith(" download erlang-base")


def test_programs_use_the_libraries_that_came_with_them(machine: Path, home: Path) -> None:
    unpack_rabbitmq(home, lambda sentence: None)
    libraries = home.resolve() / "rabbitmq" / LIBRARIES
    epmd = home / "rabbitmq/usr/lib/erlang/bin/epmd"
    for question, answer in {
        "--print-interpreter": str(libraries / "ld-linux-some.so.2"),
        "--print-rpath": str(libraries),
    }.items():
        said = subprocess.run([packages._find_patchelf(), question, epmd], capture_output=True, text=True, check=True)
        assert said.stdout.strip() == answer


def test_what_is_there_is_not_fetched_again(machine: Path, home: Path) -> None:
    first = unpack_rabbitmq(home, lambda sentence: None)
    before = calls(machine)
    assert unpack_rabbitmq(home, pytest.fail) == first
    assert calls(machine) == before


def test_what_is_half_unpacked_is_begun_anew(machine: Path, home: Path) -> None:
    (home / "rabbitmq").mkdir()
    (home / "rabbitmq" / "half").touch()
    (home / "rabbitmq.new").mkdir()
    assert find_unpacked(home) is None
    unpack_rabbitmq(home, lambda sentence: None)
    assert not (home / "rabbitmq" / "half").exists()
    assert not (home / "rabbitmq.new").exists()


def test_what_was_moved_is_begun_anew(machine: Path, home: Path, tmp_path: Path) -> None:
    """The paths of its libraries are those of the folder for which it was made."""
    unpack_rabbitmq(home, lambda sentence: None)
    moved = home.rename(tmp_path / "moved")
    assert find_unpacked(moved) is None
    assert unpack_rabbitmq(moved, lambda sentence: None).root == str(moved / "rabbitmq")


def test_a_state_that_links_to_it_has_it(machine: Path, home: Path, tmp_path: Path) -> None:
    made = unpack_rabbitmq(home, lambda sentence: None)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "rabbitmq").symlink_to(home / "rabbitmq")
    assert find_unpacked(tmp_path / "other") == made


def test_a_system_without_apt_is_told(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(home))
    assert refusal(home) == "no-apt-get"


def test_a_missing_patchelf_is_told(machine: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "_find_patchelf", lambda: str(home / "none"))
    assert refusal(home) == "no-patchelf"


def test_too_little_space_is_told_before_anything_is_fetched(
    machine: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packages, "SPACE_MIB", 1 << 40)
    assert refusal(home) == "no-space"
    assert calls(machine) == []


@pytest.mark.parametrize(
    ("complaint", "code"),
    [
        ("E: Failed to fetch http://mirror/: no route to host", "packages-unreachable"),
        ("E: Write error - write (28: No space left on device)", "no-space"),
    ],
)
def test_what_stops_apt_has_a_code(machine: Path, home: Path, complaint: str, code: str) -> None:
    (machine / "complaint").write_text(f"W: a warning\n{complaint}\n", "utf-8")
    assert refusal(home) == code


def test_a_mirror_that_has_no_newer_one_is_told(machine: Path, home: Path) -> None:
    (machine / "shown").write_text("Version: 3.10.8-1\n", "utf-8")
    assert refusal(home) == "no-newer-rabbitmq"
    assert len([call for call in calls(machine) if call.endswith(" update")]) == len(packages.SUITES)


def test_sources_that_name_no_mirror_are_told(machine: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "_read_codename", lambda: "elsewhere")
    assert refusal(home) == "no-mirror"


def test_an_erlang_that_does_not_run_is_told(machine: Path, home: Path) -> None:
    (machine / "tree/usr/lib/erlang/bin/erl").write_text("#!/bin/sh\necho no such library; exit 1\n", "utf-8")
    assert refusal(home) == "erlang-does-not-run"


def test_the_unpacked_one_comes_before_the_systems_own(machine: Path, home: Path) -> None:
    unpack_rabbitmq(home, lambda sentence: None)
    found = find_installation(home)
    assert found is not None
    assert (found.provided_by, found.version) == ("unpacked", "4.3.6")
    assert Path(found.epmd).exists()


OWN = {"with the system's own": Installation("native", "/own", "/epmd", "3.10.8"), "with none": None}


@pytest.mark.parametrize("own", OWN.values(), ids=OWN.keys())
def test_set_up_ends_well_without_packages_and_says_what_is_used(
    machine: Path,
    home: Path,
    own: Installation | None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (machine / "complaint").write_text("E: offline\n", "utf-8")
    monkeypatch.setattr("bench.provision.install.find_installation", lambda home: own)
    assert fetch_rabbitmq(home) is (own is not None)
    said = capsys.readouterr().err
    assert "[packages-unreachable]" in said
    assert ("3.10.8" in said and "days behind" in said) is (own is not None)


def test_a_failure_is_not_repeated_by_every_command(
    machine: Path, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (machine / "complaint").write_text("E: offline\n", "utf-8")
    monkeypatch.setattr("bench.provision.install.find_installation", lambda home: OWN["with the system's own"])
    fetch_rabbitmq(home)
    before = calls(machine)
    assert fetch_rabbitmq(home)
    assert calls(machine) == before
    fetch_rabbitmq(home, insist=True)
    assert len(calls(machine)) > len(before)


@pytest.mark.parametrize(
    ("given", "fetched"),
    [({}, ["rabbitmq", "kafka"]), ({"rabbitmq": "amqp://"}, ["kafka"]), ({"kafka": "host:1"}, ["rabbitmq"])],
)
def test_a_broker_that_is_given_is_not_installed(
    given: Mapping[str, str], fetched: list[str], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def note(name: str) -> bool:
        asked.append(name)
        return True

    monkeypatch.setattr("bench.provision.install.find_missing_packages", list)
    monkeypatch.setattr("bench.provision.install.fetch_rabbitmq", lambda home, insist: note("rabbitmq"))
    monkeypatch.setattr("bench.provision.install.fetch_kafka", lambda home: note("kafka"))
    install_for(["broker", "events"], home, given=given)
    assert asked == fetched


async def test_the_unpacked_one_starts_in_a_path_with_spaces(
    machine: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own scripts split the path in which they lie at spaces, unless it is given to them without any."""
    made = unpack_rabbitmq(home, lambda sentence: None)
    (node := home / "run-1" / "rabbitmq").mkdir(parents=True)
    told: dict[str, str] = {}

    def spawn(command: object, *, folder: Path, log: Path, env: Mapping[str, str]) -> None:
        told.update(env)
        raise StartFailed("nothing is started here", code="for-the-test")

    monkeypatch.setattr(rabbitmq, "spawn", spawn)
    with pytest.raises(StartFailed):
        await rabbitmq.start(node, home=home)
    assert " " not in told["RABBITMQ_SCRIPTS_DIR"]
    assert (node / told["RABBITMQ_SCRIPTS_DIR"]).samefile(made.server.parent)
    assert told["PATH"].startswith(f"{made.programs}:")

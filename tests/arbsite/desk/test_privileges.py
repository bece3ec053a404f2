"""`make run` as root, and what another user of the machine can do to a desk."""

import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from django.conf import settings

from arbsite.desk import embedded, home, privileges
from tests.arbsite.desk.test_up import Desk, _until, desk
from tests.support.rooms import PACKAGES

__all__ = ["desk"]

STRANGER = 65534  # nobody
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="another user can be tried by root only")
# What of a checkout it takes to run it.
CHECKOUT = ("manage.py", *PACKAGES, "templates", "static")
TRIES = """
import os, socket, sys
from pathlib import Path

for path in map(Path, sys.argv[1:]):
    try:
        if path.suffix == ".sock" or path.name.startswith(".s."):
            with socket.socket(socket.AF_UNIX) as door:
                door.connect(str(path))
        elif path.is_dir():
            list(path.iterdir())
        else:
            path.read_bytes()
        print("got into", path)
    except (PermissionError, FileNotFoundError):
        pass
    if os.access(path.parent, os.W_OK):
        print("may write", path.parent)
print("tried", len(sys.argv) - 1)
"""


def _as_stranger(*paths: Path) -> str:
    """Paths open to a user of the machine that is neither root nor the desk's."""
    done = subprocess.run(
        ["/usr/bin/env", "python3", "-c", TRIES, *map(str, paths)],
        user=STRANGER, group=STRANGER, extra_groups=[], env={"PATH": "/usr/bin:/bin"}, cwd="/",
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.stdout.strip() + done.stderr


@AS_ROOT
@pytest.mark.timeout(180)
def test_another_user_of_the_machine_gets_into_nothing_of_a_running_desk(desk: Desk) -> None:
    desk.start()
    place = embedded.postgres_place(desk.home, embedded.postgres_user())
    _until((desk.home / "lake").exists, 30, "the lake")
    found = [*desk.home.iterdir(), *(desk.home / "run").iterdir()]
    names = {path.name for path in found}
    assert names >= {
        "secret-key",
        "operator-password",
        "supervisord.conf",
        "logs",
        "redis.sock",
        "supervisor.sock",
    }
    # PostgreSQL's own user passes through the first two where root stays root; Prometheus reads the third.
    found = [path for path in found if path.name not in {"run", "postgres", home.METRICS_TARGETS}]
    found += [place / "postgres" / "PG_VERSION", embedded.run_dir(place) / "postgres" / ".s.PGSQL.5432"]
    assert _as_stranger(*found) == f"tried {len(found)}"


@AS_ROOT
def test_on_an_ordinary_machine_root_is_refused_where_it_cannot_be_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(privileges, "CONTAINER_FILES", ())
    closed = tmp_path / "python"
    closed.touch(mode=0o600)
    with pytest.raises(
        privileges.RootError, match=r"does not run as root.*cannot run .*python in .*ordinary user"
    ):
        privileges.give_up_root(tmp_path / "home", {}, str(closed))
    said = privileges.give_up_root(tmp_path / "home", {"CI": "true"}, str(closed))
    assert said.startswith("Running as root, as this is a container: it cannot run")
    assert os.geteuid() == 0


@AS_ROOT
def test_a_directory_that_is_no_desks_is_not_given_away(tmp_path: Path) -> None:
    (tmp_path / "letters").touch()
    with pytest.raises(privileges.RootError, match="is not empty and no desk's home"):
        privileges._hand_over(tmp_path)
    assert (tmp_path / "letters").stat().st_uid == 0


@pytest.fixture
def open_checkout() -> Iterator[tuple[Path, str]]:
    """A checkout that everybody may read, and a Python that everybody may run."""
    python = f"/usr/bin/python{sys.version_info.major}.{sys.version_info.minor}"
    packages = next(path for path in sys.path if path.endswith("site-packages"))
    place = Path(tempfile.mkdtemp(prefix="arbdesk-test-"))
    place.chmod(0o755)
    for name in CHECKOUT:
        source, target = settings.BASE_DIR / name, place / name
        shutil.copytree(source, target) if source.is_dir() else shutil.copy(source, target)
    # What redis asks for before Python 3.11.3; the packages may have been installed for a later one.
    (place / "async_timeout.py").write_text("from asyncio import timeout\n")
    (place / "node_modules").symlink_to((settings.BASE_DIR / "node_modules").resolve())
    try:
        imports = f"import sys; sys.path.append({packages!r}); import django"
        user = embedded.postgres_user()
        if user is None or not embedded.can_run([python, "-c", imports], user):
            pytest.skip(f"there is no {python} that everybody may run with {packages}")
        yield place, packages
    finally:
        shutil.rmtree(place)


@AS_ROOT
@pytest.mark.timeout(240)
def test_root_is_given_up_where_the_desks_own_user_can_run_it(
    desk: Desk, open_checkout: tuple[Path, str]
) -> None:
    desk.checkout, packages = open_checkout
    desk.python = f"/usr/bin/python{sys.version_info.major}.{sys.version_info.minor}"
    for _ in range(2):  # a home that was handed over is taken up again
        desk.start(PYTHONPATH=packages, HOME="/root")
        assert f"runs as the user {embedded.POSTGRES_USER!r}" in desk.text()
        processes = desk.processes()
        assert len(processes) >= 8
        assert {process.username() for process in processes} == {embedded.POSTGRES_USER}
        assert {uid for process in processes for uid in process.uids()} & {0} == set()
        assert {group for process in processes for group in _groups(process)} & {0} == set()
        assert stat.S_IMODE(desk.home.stat().st_mode) == 0o700
        secret = desk.home / "secret-key"
        assert (secret.owner(), stat.S_IMODE(secret.stat().st_mode)) == (embedded.POSTGRES_USER, 0o600)
        desk.stop(signal.SIGINT)
        assert desk.processes() == []


def _groups(process: psutil.Process) -> set[int]:
    line = next(
        each for each in Path(f"/proc/{process.pid}/status").read_text().splitlines() if each[:7] == "Groups:"
    )
    return {int(number) for number in line.split()[1:]}


# --- files ---------------------------------------------------------------------------------------


def test_what_others_could_read_is_closed_at_the_start_and_named(tmp_path: Path) -> None:
    place = home.Home(tmp_path / "home")
    assert place.closed() == []
    for name, mode in {"secret-key": 0o644, "operator-password": 0o666, "mine": 0o600}.items():
        (place.path / name).touch()
        (place.path / name).chmod(mode)
    (place.path / "lake").mkdir()
    (place.path / "lake").chmod(0o777)
    (place.run / "redis.sock").touch()
    (place.run / "redis.sock").chmod(0o777)
    said = place.closed()
    assert sorted(line.split()[0].rsplit("/", 1)[1] for line in said) == [
        "lake", "operator-password", "redis.sock", "secret-key",
    ]  # fmt: skip
    assert any("secret-key was open to other users (644) and is closed now" in line for line in said)
    for path in (
        *map(place.path.joinpath, ("secret-key", "operator-password", "lake")),
        place.run / "redis.sock",
    ):
        assert path.stat().st_mode & 0o077 == 0
    assert place.closed() == []


def test_a_file_of_somebody_else_and_a_link_to_what_is_open_are_named(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root makes files of others")
    place = home.Home(tmp_path / "home")
    (place.path / "theirs").touch()
    os.chown(place.path / "theirs", STRANGER, STRANGER)
    outside = tmp_path / "outside"
    outside.mkdir()
    outside.chmod(0o755)
    (place.path / "lake").symlink_to(outside)
    said = "; ".join(place.closed())
    assert f"theirs belongs to the user {STRANGER}" in said
    assert f"leads to {outside}, which is open to other users" in said
    assert outside.stat().st_mode & 0o777 == 0o755


def test_a_run_directory_that_somebody_else_put_there_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under /tmp, where a home's path is too long for sockets, anybody may be first."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    elsewhere.chmod(0o755)
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path))
    deep = tmp_path / ("x" * 120)
    (tmp_path / f"arbdesk-{os.getuid()}-{embedded._digest(deep)}").symlink_to(elsewhere)
    with pytest.raises(embedded.EmbeddedServerError, match="belongs to another user"):
        embedded.run_dir(deep)
    assert elsewhere.stat().st_mode & 0o777 == 0o755

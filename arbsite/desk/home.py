"""The home of one `make run`: its directories, its secrets, its lock, and what a second terminal reads."""

import fcntl
import os
import secrets
import shutil
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from arbsite.desk import embedded
from arbsite.desk.aside import set_aside
from arbsite.environment import STACK_ENV

SHORTEST_KEY = 32
"""A secret key of ours has 67 characters: a shorter one was cut off, or is none."""

SHARED_NAMES = (
    "DATABASE_URL", "REDIS_URL", "SECRET_KEY", "ARB_HOME", "FEED", "HTTPS", "MFA", "PORT", "SIMULATOR_URL",
)  # fmt: skip


METRICS_TARGETS = "metrics-targets.json"
"""The one file that others may read: Prometheus, which has a user of its own, finds ports in it."""


class HomeInUseError(Exception):
    """Another `make run` works in this home; the argument is its process id."""


class Home:
    """The directory everything of one installation lies in (var/live, var/sim or ARB_HOME)."""

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        self.path.mkdir(parents=True, exist_ok=True)
        # Root lets PostgreSQL's own user pass through; everything inside has its own mode.
        self.path.chmod(0o711 if os.geteuid() == 0 else 0o700)
        self.logs = self.path / "logs"
        for folder in (self.logs, self.path / "run", self.path / "redis"):
            if not folder.is_dir():
                set_aside([folder], "it is no directory")
        self.logs.mkdir(mode=0o700, exist_ok=True)
        self.run = embedded.run_dir(self.path)

    @property
    def password_file(self) -> Path:
        """File of the operator's first password, so that every start can show it."""
        return self.path / "operator-password"

    def secret_key(self) -> str:
        """Django's secret key of this home, made at the first call.

        One that is damaged is set aside: what was signed and sealed with it is lost with it.
        """
        file = self.path / "secret-key"
        kept = read_private(file, at_least=SHORTEST_KEY)
        if not kept:
            write_private(file, secrets.token_urlsafe(50))
        return kept or read_private(file)

    def clear_run(self) -> None:
        """Empty the directory of sockets and process ids: of a run that is over, they only stand in the way.

        Owning the home, and with no process of an earlier run left.
        """
        for left in self.run.iterdir():
            if left.is_dir() and not left.is_symlink():
                shutil.rmtree(left)
            else:
                left.unlink()

    def closed(self) -> list[str]:
        """Close what others could read or write in here: what it was, for the operator to know.

        Only the first level and the sockets: a directory that is closed closes all that is in it.
        """
        found = [path for path in (*self.path.iterdir(), *self.run.iterdir()) if path.name != METRICS_TARGETS]
        return [repaired for path in sorted(found) if (repaired := _close(path, self.run))]

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Own this home; the kernel lets go of it however this process ends.

        Raises:
            HomeInUseError: another process owns it.
        """
        lock = self.path / "up.lock"
        if not lock.is_file():
            set_aside([lock], "it is no file")
        with lock.open("a+", errors="replace") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                file.seek(0)
                raise HomeInUseError(file.read().strip()) from error
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            yield


def read_private(path: Path, at_least: int = 1) -> str:
    """The one line that a file of ours holds, of printable ASCII; "" when there is none.

    What is no such file, or holds fewer characters, is damaged and set aside.
    """
    if not path.exists() and not path.is_symlink():
        return ""
    try:
        if not path.is_file():
            raise OSError("it is no file")
        text = path.read_text("ascii").strip()
    except (OSError, ValueError) as error:
        set_aside([path], error)
        return ""
    if len(text) >= at_least and text.isprintable() and "'" not in text:
        return text
    set_aside([path], "it is not what was written there")
    return ""


def _close(path: Path, run: Path) -> str:
    """Close one file or directory; what was open, in words, empty where nothing was."""
    about = path.lstat()
    if stat.S_ISLNK(about.st_mode):
        is_open = path.exists() and path.stat().st_mode & 0o077
        return f"{path} leads to {path.resolve()}, which is open to other users" if is_open else ""
    if about.st_uid not in (os.geteuid(), embedded.postgres_uid()):
        return f"{path} belongs to the user {about.st_uid}: remove it, or it may be changed under the desk"
    passed_through = path == run and os.geteuid() == 0  # by PostgreSQL's own user
    mode = stat.S_IMODE(about.st_mode)
    if not mode & (0o066 if passed_through else 0o077):
        return ""
    path.chmod(mode & (0o711 if passed_through else 0o700))
    return f"{path} was open to other users ({mode:o}) and is closed now"


def write_private(path: Path, text: str) -> None:
    """Write a file only its owner may read, complete or not at all."""
    fresh = path.with_name(path.name + ".new")
    for way in (fresh, path):
        if way.is_dir():
            set_aside([way], "it is a directory")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    fresh.replace(path)


@contextmanager
def announced(environment: Mapping[str, str]) -> Iterator[None]:
    """Let `manage.py …` in a second terminal find the running stack, for as long as it runs."""
    text = "".join(f"{name}='{environment[name]}'\n" for name in SHARED_NAMES if name in environment)
    STACK_ENV.parent.mkdir(exist_ok=True)
    write_private(STACK_ENV, text)
    try:
        yield
    finally:
        if STACK_ENV.is_file() and STACK_ENV.read_bytes() == text.encode():  # else a newer run's
            STACK_ENV.unlink()

"""The home of one `make run`: its directories, its secrets, its lock, and what a second terminal reads."""

import fcntl
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from arbsite import embedded
from arbsite.environment import STACK_ENV

SHARED_NAMES = ("DATABASE_URL", "REDIS_URL", "SECRET_KEY", "ARB_HOME", "FEED", "HTTPS", "MFA", "PORT")


class HomeInUseError(Exception):
    """Another `make run` works in this home; the argument is its process id."""


class Home:
    """The directory everything of one installation lies in (var/live, var/sim or ARB_HOME)."""

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        self.path.mkdir(parents=True, exist_ok=True)
        # Root lets PostgreSQL's own user pass through; every secret inside has its own mode.
        self.path.chmod(0o711 if os.geteuid() == 0 else 0o700)
        self.logs = self.path / "logs"
        self.logs.mkdir(mode=0o700, exist_ok=True)
        self.run = embedded.run_dir(self.path)

    @property
    def password_file(self) -> Path:
        """Where the operator's first password is kept, so that every start can show it."""
        return self.path / "operator-password"

    def secret_key(self) -> str:
        """Django's secret key of this home, made at the first call."""
        file = self.path / "secret-key"
        if not file.exists():
            write_private(file, secrets.token_urlsafe(50))
        return file.read_text().strip()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Own this home; the kernel lets go of it however this process ends.

        Raises:
            HomeInUseError: another process owns it.
        """
        with (self.path / "up.lock").open("a+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                file.seek(0)
                raise HomeInUseError(file.read().strip()) from error
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            yield


def write_private(path: Path, text: str) -> None:
    """Write a file only its owner may read, complete or not at all."""
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    fresh.replace(path)


@contextmanager
def announced(environment: Mapping[str, str]) -> Iterator[None]:
    """Let `manage.py …` in a second terminal find the running stack, for as long as it runs."""
    text = "".join(f"{name}='{environment[name]}'\n" for name in SHARED_NAMES)
    STACK_ENV.parent.mkdir(exist_ok=True)
    write_private(STACK_ENV, text)
    try:
        yield
    finally:
        if STACK_ENV.exists() and STACK_ENV.read_text() == text:  # else a newer run's
            STACK_ENV.unlink()

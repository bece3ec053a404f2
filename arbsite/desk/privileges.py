"""`make run` as root: the desk gives root up for a user of its own before it starts anything."""

import os
import pwd
from collections.abc import Iterator, Mapping
from pathlib import Path

from arbsite.desk import embedded
from arbsite.desk.embedded import POSTGRES_USER
from arbsite.environment import BASE_DIR, STACK_ENV

# What says that root here is root of a container, which is thrown away, or of a continuous integration.
CONTAINER_FILES = (Path("/.dockerenv"), Path("/run/.containerenv"))
CONTAINER_VARIABLES = ("CI", "container", "KUBERNETES_SERVICE_HOST")


class RootError(Exception):
    """The desk must not run as root here; the message says what to do."""


def give_up_root(home: Path, environment: Mapping[str, str], python: str) -> str:
    """Become the desk's own user, where we are root: what to say of it, empty for any other user.

    `home` and what is in it is handed to that user, if it is new or a desk's. In a container and in a
    continuous integration root stays root where that user cannot run `python` on this checkout; PostgreSQL
    has a user of its own there all the same.

    Raises:
        RootError: that user cannot run the desk, and this is an ordinary machine; or `home` is no desk's.
    """
    if os.geteuid() != 0:
        return ""
    embedded.postgres_user()  # made, if it is missing
    if problem := _problem(home, python):
        if is_container(environment):
            return f"Running as root, as this is a container: {problem}."
        raise RootError(
            f"The desk does not run as root, and its user {POSTGRES_USER!r} cannot run it here: {problem}. "
            "Run it as an ordinary user, or put the checkout and its Python where all may read them: /opt."
        )
    _hand_over(home)
    user = pwd.getpwnam(POSTGRES_USER)
    os.setgroups([])
    os.setgid(user.pw_gid)
    os.setuid(user.pw_uid)
    return f"Root was given up: the desk runs as the user {POSTGRES_USER!r}."


def own_home(home: Path) -> dict[str, str]:
    """Environment by which programs and libraries find the files of a user, if root was given up."""
    return {} if os.geteuid() == 0 else {"HOME": str(home), "USER": POSTGRES_USER, "LOGNAME": POSTGRES_USER}


def is_container(environment: Mapping[str, str]) -> bool:
    """Whether this is a container or a continuous integration."""
    return any(environment.get(name) for name in CONTAINER_VARIABLES) or any(
        file.exists() for file in CONTAINER_FILES
    )


def _problem(home: Path, python: str) -> str:
    """Why the desk's user cannot run it here; empty when it can."""
    imports = "import arbsite.environment, supervisor.supervisord, psycopg"
    if not embedded.can_run([python, "-c", imports], POSTGRES_USER, cwd=BASE_DIR):
        return f"it cannot run {python} in {BASE_DIR}"
    existing = next(path for path in (home, *home.parents) if path.is_dir())
    parent = existing.parent if existing == home else existing
    if not embedded.can_run(["/bin/sh", "-c", 'cd "$1"', "sh", str(parent)], POSTGRES_USER):
        return f"it cannot go to {parent}"
    return ""


def _hand_over(home: Path) -> None:
    """Give a desk's home to its user; `var`, where a second terminal finds the running desk, with it.

    Raises:
        RootError: there are files, and they are not a desk's.
    """
    home.mkdir(parents=True, exist_ok=True)
    if any(home.iterdir()) and not (home / "up.lock").exists():
        raise RootError(f"{home} is not empty and no desk's home; set ARB_HOME to another place.")
    STACK_ENV.parent.mkdir(exist_ok=True)
    user = pwd.getpwnam(POSTGRES_USER)
    for path in (STACK_ENV.parent, *_tree(home)):
        os.chown(path, user.pw_uid, user.pw_gid, follow_symlinks=False)


def _tree(top: Path) -> Iterator[Path]:
    yield top
    for directory, directories, files in os.walk(top):  # follows no symbolic links
        yield from (Path(directory) / name for name in (*directories, *files))

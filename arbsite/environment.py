"""Sources of configuration: the process environment, a running `make run`, then `.env`."""

import os
import sys
from base64 import b64decode
from collections import ChainMap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import unquote, urlsplit

import environ
from django.core.exceptions import ImproperlyConfigured

BASE_DIR = Path(__file__).resolve().parent.parent
# ENV_FILE names the one file to read (/dev/null: none), for what must depend on nothing that lies around.
ENV_FILE = os.environ.get("ENV_FILE")
DOTENV = Path(ENV_FILE) if ENV_FILE else BASE_DIR / ".env"
# What a running `make run` leaves here, so that `manage.py …` in a second terminal speaks to it.
STACK_ENV = BASE_DIR / "var" / "stack.env"
FILES = (DOTENV,) if ENV_FILE else (STACK_ENV, DOTENV)
# Every process of a `make run` carries this in its environment, its children too: so all can be found.
MARKER = "ARB_STACK"


KEY_BYTES = 32
SECRET_WORDS = ("SECRET", "PASSWORD", "TOKEN", "_KEY", "CREDENTIAL", "PASSPHRASE")


class Settings(environ.Env):  # type: ignore[misc]
    """django-environ, but a value that cannot be what it should be is named, not guessed at."""

    BOOLEAN_FALSE_STRINGS = ("false", "off", "no", "n", "0")

    def get_value(self, var: str, cast: Any = None, *arguments: Any, **options: Any) -> Any:
        """The variable's value.

        Raises:
            ImproperlyConfigured: it is no number, or neither true nor false.
        """
        text = str(self.ENVIRON.get(var, "false")).strip().lower()
        if cast is bool and text not in self.BOOLEAN_TRUE_STRINGS + self.BOOLEAN_FALSE_STRINGS:
            raise ImproperlyConfigured(f"{var} is {text!r}; set it to true or false.")
        try:
            return super().get_value(var, cast, *arguments, **options)
        except ValueError as error:
            raise ImproperlyConfigured(f"{var} is {text!r}; set it to a number.") from error

    def keys(self, var: str, default: list[str]) -> list[str]:
        """A list of keys as `manage.py sealing_keys` prints them.

        Raises:
            ImproperlyConfigured: one is none. It is not shown.
        """
        found: list[str] = self.list(var, default=default)
        for key in found:
            try:
                right = len(b64decode(key, altchars=b"-_", validate=True)) == KEY_BYTES
            except ValueError:
                right = False
            if not right:
                raise ImproperlyConfigured(f"{var} is no key; `manage.py sealing_keys` makes it.")
        return found


def within_make_run() -> bool:
    """Whether this is `manage.py up`, a process of one, or a command beside one that runs."""
    return sys.argv[1:2] == ["up"] or MARKER in os.environ or (STACK_ENV in FILES and STACK_ENV.is_file())


def read(*files: Path) -> "ChainMap[str, str]":
    """The process environment over `files`, the first file over the next; missing files are empty.

    `os.environ` itself is left alone: what a file says must not pass for what the operator set.
    An empty value counts as not set: that is how `.env` templates and Compose leave things out.
    """
    layers = (dict(os.environ), *map(_parse, files))
    return ChainMap(*({name: value for name, value in layer.items() if value} for layer in layers))


def _parse(path: Path) -> dict[str, str]:
    class File(environ.Env):  # type: ignore[misc]
        ENVIRON: ClassVar[dict[str, str]] = {}

    if path.is_file():
        try:
            File.read_env(path)
        except (OSError, UnicodeDecodeError) as error:
            if path != STACK_ENV:
                raise ImproperlyConfigured(f"{path} cannot be read: {error}") from error
            return {}  # of a run that was cut off; the next run writes it again
    return File.ENVIRON


def is_secret(name: str, value: str) -> bool:
    """Whether a variable holds, or opens, what not every process needs: an address with its password, too."""
    if any(word in name for word in SECRET_WORDS):
        return True
    return name in ("DATABASE_URL", "REDIS_URL", "SSH_AUTH_SOCK") or bool("://" in value and _password(value))


def secrets(values: Mapping[str, str]) -> Iterator[str]:
    """Values of the environment that must never be read in a log, passwords inside of URLs included."""
    for name, value in values.items():
        if name.startswith("EXCHANGE_KEYS_"):
            yield from value.split(":")
        elif any(word in name for word in SECRET_WORDS):
            yield value
            yield from value.split(",")  # of several keys each
        elif name.endswith(("_URL", "_PROXY")) and (password := _password(value)):
            yield password
            yield unquote(password)


def ports(*of: object) -> Iterator[int | None]:
    """The ports of numbers and URLs; None for what has none, as a Unix socket."""
    for each in of:
        try:
            yield int(str(each)) if str(each).isdigit() else urlsplit(str(each)).port
        except ValueError:
            yield None


def _password(url: str) -> str | None:
    try:
        return urlsplit(url).password
    except ValueError:  # no URL: its user says so
        return None

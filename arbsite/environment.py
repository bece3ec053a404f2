"""Where configuration comes from: the process environment, a running `make run`, then `.env`."""

import os
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


SECRET_WORDS = ("SECRET", "PASSWORD", "TOKEN")


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
        File.read_env(path)
    return File.ENVIRON


def secrets(values: Mapping[str, str]) -> Iterator[str]:
    """What of the environment must never be read in a log, passwords inside of URLs included."""
    for name, value in values.items():
        if any(word in name for word in SECRET_WORDS):
            yield value
        elif name.endswith(("_URL", "_PROXY")) and (password := _password(value)):
            yield password
            yield unquote(password)
        elif name.startswith("EXCHANGE_KEYS_"):
            yield from value.split(":")


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
    except ValueError:  # no URL: who uses it says so
        return None

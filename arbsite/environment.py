"""Where configuration comes from: the process environment, a running `make run`, then `.env`."""

import os
from collections import ChainMap
from pathlib import Path
from typing import ClassVar

import environ

BASE_DIR = Path(__file__).resolve().parent.parent
DOTENV = BASE_DIR / ".env"
# What a running `make run` leaves here, so that `manage.py …` in a second terminal speaks to it.
STACK_ENV = BASE_DIR / "var" / "stack.env"


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

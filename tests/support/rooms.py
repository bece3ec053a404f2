"""The packages that make up the product, as the import contracts list them: one list for every test."""

import tomllib
from typing import Final

from arbsite.environment import BASE_DIR

_PROJECT: Final = tomllib.loads((BASE_DIR / "pyproject.toml").read_text())
PACKAGES: Final[tuple[str, ...]] = tuple(_PROJECT["tool"]["importlinter"]["root_packages"])

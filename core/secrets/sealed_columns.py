"""Database columns with sealed texts: each app registers its own columns when Django is ready."""

from dataclasses import dataclass
from typing import Final

from django.db import models


@dataclass(frozen=True)
class SealedColumn:
    """A column that holds sealed texts; each begins with `prefix`, and other texts there are no secrets."""

    title: str
    model: type[models.Model]
    name: str
    purpose: str
    prefix: str = ""


sealed_columns: Final[list[SealedColumn]] = []
"""All there are, for `manage.py reseal`; a test finds a column that is missing here."""

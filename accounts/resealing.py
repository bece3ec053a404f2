"""Sealing of all stored secrets under a new SECRET_KEY, so that the former can go.

Each is opened with whichever key it takes and sealed again, for the same destination; nothing is shown. What
no key opens is named and left as it is: its key may still turn up. A row that somebody changes meanwhile is
left to them, for what they save is sealed under the new key.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from django.db.models import TextField
from django.db.models.functions import Cast

from accounts.access.rights import former_fingerprints
from accounts.tokens.model import ApiToken
from core.secrets import sealing
from core.secrets.sealed_columns import SealedColumn


@dataclass
class Count:
    """Outcome for one column's secrets."""

    resealed: int = 0
    already: int = 0
    unreadable: list[str] = field(default_factory=list)
    """The rows whose secret no key opens, by name."""

    def numbers(self) -> str:
        """Numbers of each, in words."""
        return f"{self.resealed} resealed, {self.already} already, {len(self.unreadable)} unreadable"


def reseal(column: SealedColumn, *, dry_run: bool, seen: Callable[[], object] = lambda: None) -> Count:
    """Seal a column's secrets under SECRET_KEY; with `dry_run` only count. `seen` is called for each row."""
    count = Count()
    for row, text in _texts(column):
        sealed = text.removeprefix(column.prefix)
        try:
            if sealing.is_current(sealed, column.purpose):
                count.already += 1
            else:
                fresh = column.prefix + sealing.resealed(sealed, column.purpose)
                if not dry_run:
                    _rows(column).filter(pk=row.pk, **{column.name: text}).update(**{column.name: fresh})
                count.resealed += 1
        except sealing.UnreadableSecret:
            count.unreadable.append(f"{row._meta.verbose_name} {row.pk} “{row}”")
        seen()
    return count


def how_many(column: SealedColumn) -> int:
    """Secrets in a column."""
    return int(_sealed(column).count())


def tokens_of_former_keys() -> int:
    """API tokens that would end with SECRET_KEY_FALLBACKS: they were not used since the key changed.

    A token's secret is not kept, so only its next use can put it under the new key.
    """
    there = ApiToken.objects.select_related("user")
    return sum(token.fingerprint in former_fingerprints(token.user) for token in there)


def former_keys() -> int:
    """Keys in SECRET_KEY_FALLBACKS."""
    return len(settings.SECRET_KEY_FALLBACKS)


def _rows(column: SealedColumn) -> Any:
    # Not the model's own manager: what is sealed differently is no change that collectors follow.
    return column.model._base_manager


def _sealed(column: SealedColumn) -> Any:
    rows = _rows(column).annotate(sealed_text=Cast(column.name, TextField()))
    return rows.filter(sealed_text__startswith=column.prefix).exclude(sealed_text="").order_by("pk")


def _texts(column: SealedColumn) -> Iterator[tuple[Any, str]]:
    """Rows with what lies in the database, which their own field would open."""
    for row in _sealed(column).iterator(chunk_size=200):
        yield row, row.sealed_text

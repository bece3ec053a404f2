"""Reading the audit: chosen entries, newest first, piece by piece, as CSV or NDJSON."""

import csv
import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.conf import settings
from django.db.models import Q, QuerySet
from django.utils.module_loading import import_string

from audit.models import Entry
from audit.tally import settle

PIECE: Final = 500
"""Entries read, and handed on, at once."""

COLUMNS: Final = (
    "id", "at", "kind", "user_id", "user", "token", "program", "address", "agent", "object_type", "object_id",
    "object", "words", "count", "before", "after",
)  # fmt: skip


@dataclass(frozen=True)
class Wanted:
    """Selection of entries; an empty field asks nothing. `before` is an entry's id: those older than it."""

    kind: str = ""
    user: str = ""
    object: str = ""
    search: str = ""
    start: datetime | None = None
    end: datetime | None = None
    before: int | None = None


def entries(wanted: Wanted) -> QuerySet[Entry]:
    """The entries that are wanted."""
    rows = Entry.objects.all()
    if wanted.kind:
        rows = rows.filter(kind=wanted.kind)
    if wanted.user:
        rows = rows.filter(of_user(wanted.user))
    if wanted.object:
        rows = rows.filter(of_object(wanted.object))
    if wanted.search:
        rows = rows.filter(found(wanted.search))
    if wanted.start:
        rows = rows.filter(at__gte=wanted.start)
    if wanted.end:
        rows = rows.filter(at__lt=wanted.end)
    return rows


def of_user(text: str) -> Q:
    """Entries of a user by name or by number."""
    by_name = Q(user_name=text)
    return by_name | Q(user_id=int(text)) if text.isdecimal() and len(text) < 19 else by_name


def of_object(text: str) -> Q:
    """Entries by the object's type, `markets.exchange`, or type and number, `markets.exchange:3`."""
    kind, _colon, number = text.partition(":")
    return Q(object_type=kind.lower()) & (Q(object_id=number) if number else Q())


def found(text: str) -> Q:
    """Entries whose object, user, address or program contains the text."""
    names = ("user_name", "object_name", "object_id", "address", "words", "program")
    return Q(*(Q(**{f"{name}__icontains": text}) for name in names), _connector=Q.OR)


def chunk(wanted: Wanted, before: int | None, most: int) -> list[Entry]:
    """The next entries, those older than one that was read already; first what was only counted so far."""
    if before is None:
        settle()
    rows = entries(wanted)
    oldest = min((each for each in (before, wanted.before) if each is not None), default=None)
    rows = rows if oldest is None else rows.filter(pk__lt=oldest)
    return list(rows.order_by("-pk")[:most])


def chunks(wanted: Wanted, most: int) -> Iterator[list[Entry]]:
    """Yield at most so many entries, some at once; nothing is held while nobody asks for more."""
    before, left = None, most
    while left > 0 and (some := chunk(wanted, before, min(PIECE, left))):
        yield some
        before, left = some[-1].pk, left - len(some)


def as_row(entry: Entry) -> dict[str, Any]:
    """Return an entry by the names of `COLUMNS`."""
    row = {
        name: getattr(entry, {"user": "user_name", "object": "object_name"}.get(name, name))
        for name in COLUMNS
    }
    return row | {"at": entry.at.isoformat(timespec="microseconds").replace("+00:00", "Z")}


def ndjson(some: Iterable[Entry]) -> bytes:
    """A JSON object a line."""
    return "".join(f"{json.dumps(as_row(entry), ensure_ascii=False)}\n" for entry in some).encode()


def csv_lines(some: Iterable[Entry]) -> bytes:
    """Comma-separated, without what a spreadsheet would take for a formula; two columns hold JSON."""
    return _csv([_cell(value) for value in as_row(entry).values()] for entry in some)


def csv_header() -> bytes:
    """The first line of a CSV file."""
    return _csv([COLUMNS])


def _csv(rows: Iterable[Iterable[Any]]) -> bytes:
    out = io.StringIO()
    csv.writer(out).writerows(rows)
    return out.getvalue().encode()


def _cell(value: Any) -> Any:
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)
    return import_string(settings.AUDIT_CSV_TEXT)(value) if isinstance(value, str) else value

"""Versions of the rows a page showed, signed into the page, to find changes when the page comes back.

A page carries a version of each row it shows. A version is a keyed digest of what people decide of the row
(audit.registry): it reveals nothing of the row, and what machines write does not change it. Nor does another
SECRET_KEY: of what is sealed the meaning counts, and a digest under a former key is good as long as that is.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from django.conf import settings
from django.core import signing
from django.db.models import Model
from django.utils.crypto import constant_time_compare, salted_hmac

from audit.registry import Audited, audited

SEEN: Final = "_seen"
"""The field of a form that says what its page showed."""

OVER: Final = "_over"
"""The button that saves over what somebody else has saved: what it showed them is its value."""

SALT: Final = "audit.seen"
VERSION: Final = 20
"""Characters of a digest: 80 bits."""

MOST_TOKEN: Final = 200_000

Key = str
Many = Mapping[tuple[type[Model], str], Mapping[Any, list[str]]]


def key_of(row: Model) -> Key:
    """Identity of a row."""
    return f"{row._meta.label_lower}:{row.pk}"


def seal(rows: Iterable[Model]) -> str:
    """Sign the versions of these rows, as they were read for a page."""
    return signing.dumps([datetime.now(UTC).timestamp(), versions(rows)], salt=SALT, compress=True)


def versions(rows: Iterable[Model]) -> dict[Key, str]:
    """A version of each row that is registered with the audit."""
    return {key: _digest(text, str(settings.SECRET_KEY)) for key, text in _texts(rows).items()}


def _texts(rows: Iterable[Model]) -> dict[Key, str]:
    """Text of people's decisions on each row. It may hold secrets: it goes into a digest only."""
    known = [(of, row) for row in rows if (of := audited(type(row))) is not None]
    many = _related(known)
    return {key_of(row): _text(of, row, many) for of, row in known}


def _text(of: Audited, row: Model, many: Many) -> str:
    values = {each.name: getattr(row, each.attname) for each in of.fields}
    meant = {name: meaning(values[name]) for name, meaning in of.means.items()}
    lists = {each.name: many[of.model, each.name].get(row.pk, []) for each in of.many}
    return json.dumps({**values, **meant, **lists}, sort_keys=True, default=str)


def _digest(text: str, key: str) -> str:
    return salted_hmac(SALT, text, secret=key, algorithm="sha256").hexdigest()[:VERSION]


def _related(known: Iterable[tuple[Audited, Model]]) -> Many:
    """Relations of rows: one query for a field, however many rows there are."""
    pks: defaultdict[type[Model], list[Any]] = defaultdict(list)
    registered = {}
    for of, row in known:
        registered[of.model] = of
        pks[of.model].append(row.pk)
    found: dict[tuple[type[Model], str], dict[Any, list[str]]] = {}
    for model, of in registered.items():
        for each in of.many:
            lists = found[model, each.name] = defaultdict(list)
            through: Any = each.remote_field.through
            ours, theirs = each.m2m_field_name(), each.m2m_reverse_field_name()
            rows = through._base_manager.filter(**{f"{ours}__in": pks[model]}).order_by(theirs)
            for one, other in rows.values_list(f"{ours}_id", f"{theirs}_id"):
                lists[one].append(str(other))
    return found


@dataclass(frozen=True)
class Seen:
    """Versions that a returning page had shown; `at` is None where that is unknown: then nothing holds."""

    at: datetime | None = None
    versions: Mapping[Key, str] = field(default_factory=dict)

    def shows(self, row: Model) -> bool:
        """Whether the row was on the page."""
        return key_of(row) in self.versions

    def stale(self, rows: Iterable[Model]) -> list[Model]:
        """Rows that are not as they were shown, or were not shown at all."""
        there = list(rows)
        now = _texts(there)
        return [row for row in there if (key := key_of(row)) in now and not self._holds(key, now[key])]

    def _holds(self, key: Key, text: str) -> bool:
        shown, keys = self.versions.get(key), (str(settings.SECRET_KEY), *settings.SECRET_KEY_FALLBACKS)
        return shown is not None and any(constant_time_compare(shown, _digest(text, each)) for each in keys)

    def gone(self, rows: Iterable[Model]) -> list[Key]:
        """Rows that were shown, of the models of these or others, and are not among them any more."""
        return sorted(self.versions.keys() - {key_of(row) for row in rows})


def opened(text: str) -> Seen:
    """Read the versions that a page had shown."""
    try:
        at, found = signing.loads(text[:MOST_TOKEN], salt=SALT)
        return Seen(datetime.fromtimestamp(at, UTC), found)
    except (signing.BadSignature, ValueError, TypeError):
        return Seen()

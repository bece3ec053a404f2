"""Two operators, one row: what the first one did, and what the second was about to do, side by side."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django import forms
from django.apps import apps
from django.core.exceptions import FieldDoesNotExist
from django.db.models import Model, Q, QuerySet
from django.utils.translation import gettext as _

from audit.models import Entry
from audit.redaction import HIDDEN, text
from audit.registry import audited
from audit.seen import Key, key_of

MOST_CHANGES: Final = 20
MOST_SHOWN: Final = 300
"""Characters of a value on the page."""

MISSING: Final = "–"


@dataclass(frozen=True)
class Change:
    """Somebody's change of a row: fields with their values before and after."""

    entry: Entry
    fields: list[tuple[str, str, str]]


@dataclass(frozen=True)
class Difference:
    """A field that is not the same in the database and on the form."""

    label: str
    theirs: str
    yours: str


@dataclass(frozen=True)
class Conflict:
    """Rows that were changed after somebody had opened them."""

    rows: list[Model]
    gone: list[Key]
    since: datetime | None

    def __bool__(self) -> bool:
        return bool(self.rows or self.gone)

    def changes(self) -> list[Change]:
        """Changes of these rows since, newest first; the last thing that is known where nothing is."""
        of_these = Q(pk__in=[])
        for key in [*map(key_of, self.rows), *self.gone]:
            label, _colon, pk = key.partition(":")
            of_these |= Q(object_type=label, object_id=pk)
        about = Entry.objects.filter(of_these).order_by("-id")
        since = list(about.filter(at__gt=self.since)[:MOST_CHANGES]) if self.since else []
        return [Change(entry, list(fields_of(entry))) for entry in since or list(about[:1])]

    def words(self) -> str:
        """Sentence that says who changed it and when."""
        found = self.changes()
        if not found:
            return _(
                "This was changed directly in the database after you opened it. Your change is not saved yet."
            )
        newest = found[0].entry
        said = _("%(who)s changed this at %(time)s UTC, after you opened it. Your change is not saved yet.")
        return said % {"who": newest.who or _("somebody"), "time": f"{newest.at:%Y-%m-%d %H:%M:%S}"}


def fields_of(entry: Entry) -> Iterator[tuple[str, str, str]]:
    """Label of each field, with its values before and after."""
    before, after = entry.before or {}, entry.after or {}
    for name in dict.fromkeys((*before, *after)):
        yield label_of(entry.object_type, name), _shown(before.get(name)), _shown(after.get(name))


def label_of(object_type: str, name: str) -> str:
    """Label of a field."""
    try:
        field: Any = apps.get_model(object_type)._meta.get_field(name)
    except (LookupError, ValueError, FieldDoesNotExist):
        return name.replace("_", " ")
    return str(getattr(field, "verbose_name", name))


def _shown(value: Any) -> str:
    if value is None or value in ("", []):
        return MISSING
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    if isinstance(value, dict):
        return ", ".join(f"{name}: {_shown(each)}" for name, each in value.items())[:MOST_SHOWN]
    if isinstance(value, list):
        return ", ".join(map(_shown, value))[:MOST_SHOWN]
    return text(str(value), MOST_SHOWN)


def differences(forms_: Iterable[forms.BaseForm]) -> list[Difference]:
    """Changes that saving these forms, bound to somebody's input, would make to the present rows."""
    return [each for form in forms_ if form.is_bound for each in _of_form(form)]


def _of_form(form: Any) -> Iterator[Difference]:
    row = getattr(form, "instance", None)
    name_of_row = str(row if row.pk else _("a new one")) if form.prefix and row is not None else ""
    if getattr(form, "cleaned_data", {}).get("DELETE"):
        yield Difference(name_of_row, _("kept"), _("deleted"))
        return
    for name in form.changed_data:
        bound = form[name]
        label = f"{name_of_row}: {bound.label}" if name_of_row else str(bound.label)
        if _is_secret(form, name):
            yield Difference(label, _kept(form), _("another one, which you entered"))
        else:
            both = _of_field(bound.field, bound.initial), _of_field(bound.field, _mine(form, name))
            if len({each.replace("\r\n", "\n") for each in both}) > 1:  # browsers write line ends their way
                yield Difference(label, *both)


def _kept(form: Any) -> str:
    return HIDDEN if any(getattr(form.instance, name) for name in _secrets_of(form)) else MISSING


def _mine(form: Any, name: str) -> Any:
    return getattr(form, "cleaned_data", {}).get(name, form[name].data)


def _is_secret(form: Any, name: str) -> bool:
    return name in _secrets_of(form) or isinstance(form.fields[name].widget, forms.PasswordInput)


def _secrets_of(form: Any) -> Mapping[str, Any]:
    of = audited(form._meta.model) if isinstance(form, forms.ModelForm) else None
    return of.secret if of else {}


def _of_field(field: Any, value: Any) -> str:
    if isinstance(field, forms.ModelMultipleChoiceField):
        pks = [getattr(each, "pk", each) for each in value or ()]
        return ", ".join(map(str, _rows(field).filter(pk__in=pks)))[:MOST_SHOWN] or MISSING
    if isinstance(field, forms.ModelChoiceField):
        pk = getattr(value, "pk", value)
        return _shown(str(_rows(field).filter(pk=pk).first() or "")) if pk else MISSING
    if isinstance(field, forms.ChoiceField):
        choices: Any = field.choices
        return _shown({str(key): str(label) for key, label in choices}.get(str(value), value))
    return _shown(value)


def _rows(field: Any) -> QuerySet[Any]:
    rows: QuerySet[Any] = field.queryset
    return rows

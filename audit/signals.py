"""Rows of registered models, as they are saved, deleted, related, and changed in bulk."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from django.db import connections, router, transaction
from django.db.models import ManyToManyField, Model, QuerySet
from django.db.models.signals import m2m_changed, post_delete, post_save, pre_save

from audit.recording import ADDED, CHANGED, DELETED, Action, gathered, of_row, put
from audit.registry import Audited, audited

Values = dict[str, Any]

_KEPT: Final = "_audit_before"
"""Where an instance keeps what its row was until it is saved."""


def follow(of: Audited) -> None:
    """Listen to a model; calling it again changes nothing."""
    if not of.fields and not of.many:
        return
    model, label = of.model, of.label
    pre_save.connect(_before_save, sender=model, dispatch_uid=f"audit {label}")
    post_save.connect(_saved, sender=model, dispatch_uid=f"audit {label}")
    if not of.made_by_machines:
        post_delete.connect(_deleted, sender=model, dispatch_uid=f"audit {label}")
    for field in of.many:
        listener = _Many(of, field)
        uid = f"audit {label}.{field.name}"
        m2m_changed.connect(listener, sender=field.remote_field.through, weak=False, dispatch_uid=uid)


# --- one row -----------------------------------------------------------------------------------------


def _before_save(sender: type[Model], instance: Model, update_fields: Any, **_: Any) -> None:
    of = _of(sender)
    if update_fields is None or of.touches(update_fields):
        instance.__dict__[_KEPT] = None if instance.pk is None else _row(of, instance.pk)


def _saved(sender: type[Model], instance: Model, **_: Any) -> None:
    of = _of(sender)
    if _KEPT not in instance.__dict__:
        return
    before, after = instance.__dict__.pop(_KEPT), _row(of, instance.pk)
    if after is not None:
        put(*_differences(of, instance, before, after))


def _deleted(sender: type[Model], instance: Model, **_: Any) -> None:
    of = _of(sender)
    values = _values(of, {each.attname: getattr(instance, each.attname) for each in of.fields})
    put(of_row(DELETED, of, instance, before=_open(of, values)))


def _of(model: type[Model]) -> Audited:
    found = audited(model)
    if found is None:
        raise LookupError(f"{model._meta.label} is not registered with the audit")
    return found


def _row(of: Audited, pk: Any) -> Values | None:
    """Read a row from the database; locked where the lock lasts until the write that follows."""
    rows = of.model._base_manager.filter(pk=pk)
    if connections[router.db_for_write(of.model)].in_atomic_block:
        rows = rows.select_for_update()
    found = rows.values(*of.columns).first()
    return None if found is None else _values(of, found)


def _values(of: Audited, by_column: dict[str, Any]) -> Values:
    return {each.name: by_column[each.attname] for each in of.fields}


def _open(of: Audited, values: Values) -> Values:
    """Values without secrets: those have entries of their own."""
    return {name: value for name, value in values.items() if name not in of.secret}


def _differences(of: Audited, row: Model, before: Values | None, after: Values) -> Iterator[Action]:
    if before is None:
        if not of.made_by_machines:
            yield of_row(ADDED, of, row, after=_open(of, after))
    else:
        changed = {name for name in after if before[name] != after[name]} - of.secret.keys()
        if changed:
            parts = ({name: each[name] for name in sorted(changed)} for each in (before, after))
            yield of_row(CHANGED, of, row, **dict(zip(("before", "after"), parts, strict=True)))
    for name, shown in of.secret.items():
        was, now = (before or {}).get(name) or "", after[name] or ""
        if was != now:
            kind = "secret_entered" if not was else "secret_changed" if now else "secret_removed"
            yield of_row(kind, of, row, before={name: shown(was)}, after={name: shown(now)})


# --- what a row is related to --------------------------------------------------------------------------


class _Many:
    """Records a many-to-many field, whichever side it is changed from."""

    def __init__(self, of: Audited, field: "ManyToManyField[Any, Any]") -> None:
        self._of, self._name = of, field.name
        self._through: Any = field.remote_field.through
        self._ours, self._theirs = field.m2m_field_name(), field.m2m_reverse_field_name()

    def __call__(
        self, action: str, instance: Model, reverse: bool, pk_set: set[Any] | None, **_: Any
    ) -> None:
        kept = instance.__dict__.setdefault(_KEPT + self._name, {})
        if action.startswith("pre_"):
            kept.update(self._lists(self._rows(instance, reverse, pk_set)))
            return
        before, now = dict(kept), self._lists(kept)
        kept.clear()
        for pk, was in before.items():
            if was != now[pk]:
                row = instance if not reverse else self._of.model._base_manager.get(pk=pk)
                parts = {"before": {self._name: was}, "after": {self._name: now[pk]}}
                put(of_row(CHANGED, self._of, row, **parts))

    def _rows(self, instance: Model, reverse: bool, pk_set: set[Any] | None) -> Iterable[Any]:
        if not reverse:
            return [instance.pk]
        if pk_set is not None:
            return pk_set
        theirs = self._through._base_manager.filter(**{self._theirs: instance.pk})
        return set(theirs.values_list(self._ours, flat=True))

    def _lists(self, pks: Iterable[Any]) -> dict[Any, list[Any]]:
        lists: dict[Any, list[Any]] = {pk: [] for pk in pks}
        rows = self._through._base_manager.filter(**{f"{self._ours}__in": list(lists)})
        for ours, theirs in rows.order_by(self._theirs).values_list(self._ours, self._theirs):
            lists[ours].append(theirs)
        return lists


# --- many rows at once ---------------------------------------------------------------------------------


@contextmanager
def changing(rows: QuerySet[Any], names: Iterable[str]) -> Iterator[None]:
    """Record what a bulk change inside does to these rows. Goes inside a transaction."""
    of = audited(rows.model)
    if of is None or not of.touches(names):
        yield
        return
    pks = list(rows.order_by("pk").values_list("pk", flat=True))
    before = _rows_by_pk(of, pks)
    yield
    after, instances = _rows_by_pk(of, pks), of.model._base_manager.select_related().in_bulk(pks)
    with gathered():
        for pk, row in instances.items():
            put(*_differences(of, row, before[pk], after[pk]))


def _rows_by_pk(of: Audited, pks: Sequence[Any]) -> dict[Any, Values]:
    rows = of.model._base_manager.filter(pk__in=pks).order_by("pk").select_for_update()
    return {row.pop("pk"): _values(of, row) for row in rows.values("pk", *of.columns)}


def added(model: type[Model], rows: Iterable[Model]) -> None:
    """Record rows that were made in bulk."""
    of = audited(model)
    if of is None or of.made_by_machines:
        return
    with transaction.atomic(using=router.db_for_write(model)), gathered():
        for row in rows:
            values = _values(of, {each.attname: getattr(row, each.attname) for each in of.fields})
            put(*_differences(of, row, None, values))

"""Recording: what was done becomes an entry, in the transaction of what was done where there is one."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Final

from django.db import transaction
from django.db.models import Model
from django.http import HttpRequest

from audit.acting import acting, program, whence
from audit.redaction import named, plain, text
from audit.registry import Audited

ADDED: Final = "added"
CHANGED: Final = "changed"
DELETED: Final = "deleted"

AT_ONCE: Final = 500
"""Entries written by one statement."""

MOST_USED: Final = 10_000
"""Secrets of which a process remembers that their use was recorded today."""

counters: Final[Counter[str]] = Counter()
"""Entries of this process by kind, for metrics."""


@dataclass
class Action:
    """Action that will be an entry; values are as they are in Python until then."""

    kind: str
    at: datetime
    request: HttpRequest | None
    user: Any = None
    of: Audited | None = None
    object_type: str = ""
    object_id: str = ""
    object_name: str = ""
    before: dict[str, Any] | None = None
    after: dict[str, Any] | None = None
    words: str = ""
    count: int = 1

    @property
    def place(self) -> tuple[str, str]:
        """Identity of the object it is about."""
        return self.object_type, self.object_id


_gathering: ContextVar[list[Action] | None] = ContextVar("audit_gathering", default=None)


def record(
    kind: str,
    *,
    request: HttpRequest | None = None,
    user: Any = None,
    object: Any = None,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    words: str = "",
    count: int = 1,
) -> None:
    """Record an action, now and in the transaction there is; raises what the database raises.

    `kind` is a word or two with `_`; `user` and `request` are those of the request being answered unless
    named; `object` is a row or anything with a name. Values are redacted: never rely on that for a secret
    that is no named field, address or header.
    """
    action = _action(kind, request, user, object)
    action.before = None if before is None else named(before)
    action.after = None if after is None else named(after)
    action.words, action.count = words, count
    put(action)


def used(object: Any, words: str) -> None:
    """Record that a secret was taken to be sent somewhere: once a day for each process and object."""
    today, action = datetime.now(UTC).date(), _action("secret_used", None, None, object)
    use = (action.object_type, action.object_id or action.object_name, words)
    if _is_known(today, use):
        return
    action.words = words
    put(action)
    transaction.on_commit(lambda: _used.setdefault(today, set()).add(use))


_used: Final[dict[date, set[tuple[str, str, str]]]] = {}


def _is_known(today: date, use: tuple[str, str, str]) -> bool:
    if _used.keys() - {today} or len(_used.get(today, ())) >= MOST_USED:
        _used.clear()
    return use in _used.get(today, ())


def of_row(kind: str, of: Audited, row: Model, **what: Any) -> Action:
    """An action on a row of a registered model; `before` and `after` by field, raw."""
    action = _action(kind, None, None, row)
    action.of, action.before, action.after = of, what.get("before"), what.get("after")
    return action


def _action(kind: str, request: HttpRequest | None, user: Any, object: Any) -> Action:
    request = request or acting()
    action = Action(kind, datetime.now(UTC), request, user)
    if isinstance(object, Model):
        action.object_type, action.object_id = object._meta.label_lower, str(object.pk)
        action.object_name = str(object)
    elif object is not None:
        action.object_type = "" if isinstance(object, str) else type(object).__name__
        action.object_name = str(object)
    return action


@contextmanager
def gathered() -> Iterator[None]:
    """Write what is recorded inside together at the end, one entry per row: one action of somebody.

    Goes inside the transaction. When the block fails, its entries are dropped with what it did.
    """
    if _gathering.get() is not None:
        yield
        return
    actions: list[Action] = []
    token = _gathering.set(actions)
    try:
        yield
    finally:
        _gathering.reset(token)
    _write(_together(actions))


def has_recorded() -> bool:
    """Whether anything was recorded by what is gathered now."""
    return bool(_gathering.get())


def put(*actions: Action) -> None:
    """Write them now, or with those that are gathered."""
    gathering = _gathering.get()
    if gathering is None:
        _write(actions)
    else:
        gathering.extend(actions)


def _together(actions: Iterable[Action]) -> list[Action]:
    """One action per row added or changed in several steps; a field that came back did not change."""
    kept: list[Action] = []
    rows: dict[tuple[str, str], Action] = {}
    for action in actions:
        first = rows.get(action.place)
        if action.of is None or action.kind not in (ADDED, CHANGED, DELETED):
            kept.append(action)
        elif first is not None and action.kind == CHANGED:
            if first.before is not None:  # else it was added, and had nothing before
                first.before = {**(action.before or {}), **first.before}
            first.after = {**(first.after or {}), **(action.after or {})}
            first.object_name = action.object_name
        else:
            kept.append(action)
            rows[action.place] = action
    return [each for each in kept if not (each.of and each.kind == CHANGED and _came_back(each))]


def _came_back(action: Action) -> bool:
    before, after = action.before or {}, action.after or {}
    for name in [name for name in after if name in before and before[name] == after[name]]:
        del before[name], after[name]
    return not after


def _write(actions: Iterable[Action]) -> None:
    from audit.models import Entry

    todo = list(actions)
    for start in range(0, len(todo), AT_ONCE):
        some = todo[start : start + AT_ONCE]
        names = _names(some)
        Entry.objects.bulk_create([_entry(Entry, action, names) for action in some])
        counters.update(_kind(action) for action in some)


def _kind(action: Action) -> str:
    return action.of.kinds.get(action.kind, action.kind) if action.of else action.kind


def _entry(entry: Any, action: Action, names: "Names") -> Any:
    user, (address, agent) = _who(action), whence(action.request)
    credential = getattr(action.request, "credential", None)
    token = getattr(credential, "token_id", None)
    return entry(
        at=action.at,
        kind=_kind(action)[:40],
        user_id=None if user is None else user.pk,
        user_name="" if user is None else user.get_username()[:150],
        token="" if token is None else str(token)[:40],
        program="" if action.request else program(),
        address=address,
        agent=agent,
        object_type=action.object_type[:100],
        object_id=action.object_id[:64],
        object_name=text(action.object_name, 200),
        before=_worded(action, action.before, names),
        after=_worded(action, action.after, names),
        words=text(str(action.words), 400),
        count=action.count,
    )


def _who(action: Action) -> Any:
    user = action.user or getattr(action.request, "user", None)
    return user if getattr(user, "is_authenticated", False) else None


# --- rows that other rows refer to, by name --------------------------------------------------------

Names = Mapping[type[Model], Mapping[Any, str]]


def _names(actions: Iterable[Action]) -> Names:
    """The names of all rows that are referred to: a query for each of their models."""
    wanted: defaultdict[type[Model], set[Any]] = defaultdict(set)
    for action in actions:
        for values in (action.before, action.after):
            for name, value in (values or {}).items() if action.of else ():
                if (model := _referred(action.of, name)) is not None:
                    wanted[model].update(value if isinstance(value, list) else [value])
    return {
        model: {pk: str(row) for pk, row in _rows(model).in_bulk(keys - {None}).items()}
        for model, keys in wanted.items()
    }


def _rows(model: type[Model]) -> Any:
    return model._base_manager.select_related()  # what a row is called is often made of what it refers to


def _referred(of: Audited | None, name: str) -> type[Model] | None:
    related = getattr(of.model._meta.get_field(name), "related_model", None) if of else None
    return related if isinstance(related, type) else None


def _worded(action: Action, values: dict[str, Any] | None, names: Names) -> dict[str, Any] | None:
    if values is None or action.of is None:
        return values
    return {name: _value(action.of, name, value, names) for name, value in values.items()}


def _value(of: Audited, name: str, value: Any, names: Names) -> Any:
    model = _referred(of, name)
    if model is None or value is None:
        return plain(value)
    if isinstance(value, list):
        return plain([_named(names.get(model, {}), pk) for pk in value])
    return _named(names.get(model, {}), value)


def _named(names: Mapping[Any, str], pk: Any) -> str:
    return text(f"{names[pk]} ({pk})" if pk in names else f"({pk})", 200)

"""Models that are audited, and their fields: registered by the apps they belong to."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from django.db.models import Field, ManyToManyField, Model

from audit.redaction import HIDDEN

Shown = Callable[[Any], str]


def hidden(value: Any) -> str:
    """Text shown for most secrets: that there is one."""
    return HIDDEN if value else ""


@dataclass(frozen=True)
class Audited:
    """Fields of a model that people decide: the rest is written by machines and is nobody's action."""

    model: type[Model]
    fields: tuple["Field[Any, Any]", ...]
    secret: Mapping[str, Shown]
    many: tuple["ManyToManyField[Any, Any]", ...]
    made_by_machines: bool
    kinds: Mapping[str, str] = field(default_factory=dict)
    means: Mapping[str, Callable[[Any], Any]] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """Like `markets.exchange`."""
        return self.model._meta.label_lower

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the attributes that are kept."""
        return tuple(each.attname for each in self.fields)

    def touches(self, names: Iterable[str]) -> bool:
        """Whether any of these fields, by either name, is one that people decide."""
        ours = {name for each in self.fields for name in (each.name, each.attname)}
        return not ours.isdisjoint(names)


_registered: Final[dict[type[Model], Audited]] = {}


def register(
    model: type[Model],
    *,
    machine: Iterable[str] = (),
    secret: Mapping[str, Shown] | None = None,
    made_by_machines: bool = False,
    kinds: Mapping[str, str] | None = None,
    means: Mapping[str, Callable[[Any], Any]] | None = None,
) -> None:
    """Have rows of a model audited, and its forms refuse to overwrite what was changed meanwhile.

    `machine` names fields that no person writes. `secret` names fields that hold a secret, with how each is
    shown (`audit.hidden`); a field whose class has `shown_in_audit` says so itself. With `made_by_machines`
    rows come and go without anybody's doing. `kinds` renames added, changed or deleted for this model.
    `means` says what fields mean that can be written in several ways, to compare and for nothing else.
    """
    from audit.signals import follow

    unknown = {*machine, *(secret or {}), *(means or {})} - {each.name for each in model._meta.get_fields()}
    if unknown:
        raise ValueError(f"{model._meta.label} has no {', '.join(sorted(unknown))}")
    left_out = {*machine, model._meta.pk.name}
    fields = tuple(each for each in model._meta.concrete_fields if each.name not in left_out)
    by_class = {each.name: each.shown_in_audit for each in fields if hasattr(each, "shown_in_audit")}
    many = tuple(each for each in model._meta.many_to_many if each.name not in left_out)
    found = Audited(
        model,
        fields,
        {**by_class, **(secret or {})},
        many,
        made_by_machines,
        dict(kinds or {}),
        dict(means or {}),
    )
    _registered[model] = found
    follow(found)


def audited(model: type[Model]) -> Audited | None:
    """Audited fields of a model; None where nothing is audited."""
    return _registered.get(model)

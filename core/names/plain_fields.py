"""Columns for names: what is entered is checked, what is read is harmless whatever an old row holds.

To migrations they are Django's own fields, as nothing in the database differs. `manage.py check --database
default`, which `migrate` asks as well, names rows that hold what could not be entered any more.
"""

from typing import Any, Final

from django.apps import apps
from django.core.checks import CheckMessage, Tags, Warning, register
from django.db import DatabaseError, connections, models
from django.db.models.functions import Cast

from core.names.plain_names import check_name, check_text, escaped, plain, unfit_character

NAMED: Final = 5
"""Rows of a column that are named; the rest is counted."""


class NameField(models.CharField[Any, str]):
    """A name, or another text of one line."""

    default_validators = [check_name]  # noqa: RUF012 - Django's own way to say it

    def deconstruct(self) -> Any:
        """Deconstruct as a field of Django's, so that migrations know none of ours."""
        name, _path, args, kwargs = super().deconstruct()
        return name, "django.db.models.CharField", args, kwargs

    def from_db_value(self, value: Any, _expression: object, _connection: object) -> Any:
        """Read the value in the form that may be shown."""
        return plain(value) if isinstance(value, str) else value


class LinesField(models.TextField[Any, str]):
    """A text of several lines."""

    default_validators = [check_text]  # noqa: RUF012 - Django's own way to say it

    def deconstruct(self) -> Any:
        """Deconstruct as a field of Django's, so that migrations know none of ours."""
        name, _path, args, kwargs = super().deconstruct()
        return name, "django.db.models.TextField", args, kwargs

    def from_db_value(self, value: Any, _expression: object, _connection: object) -> Any:
        """Read the value in the form that may be shown."""
        return plain(value, lines=True) if isinstance(value, str) else value


@register(Tags.database)
def check_kept_names(databases: Any = None, **_: Any) -> list[CheckMessage]:
    """Name the rows that were kept before names were checked."""
    found: list[CheckMessage] = []
    for using in databases or ():
        if connections[using].vendor == "postgresql":
            for model in apps.get_models():
                found += _of_model(model, using)
    return found


def _of_model(model: type[models.Model], using: str) -> list[CheckMessage]:
    fields = [each for each in model._meta.concrete_fields if isinstance(each, NameField | LinesField)]
    try:
        return [message for each in fields if (message := _of_column(model, each, using))]
    except DatabaseError:
        return []  # before the first migration there is nothing


def _of_column(model: type[models.Model], field: Any, using: str) -> CheckMessage | None:
    raw = Cast(field.name, models.TextField())
    suspects = model._default_manager.using(using).annotate(raw=raw).filter(raw__regex=r"[^ -~]")
    lines = isinstance(field, LinesField)
    rows = ((pk, text, unfit_character(text, lines=lines)) for pk, text in suspects.values_list("pk", "raw"))
    unfit = [f"{pk} “{escaped(text)[:80]}” ({found})" for pk, text, found in rows if found]
    if not unfit:
        return None
    more = f" and {len(unfit) - NAMED} more" if len(unfit) > NAMED else ""
    return Warning(
        f"{model._meta.label}.{field.name} holds characters that turn or hide text: "
        f"{', '.join(unfit[:NAMED])}{more}. They are shown as �.",
        hint="Save these rows without them: in the admin, or with SQL.",
        obj=model._meta.label,
        id="markets.W001",
    )

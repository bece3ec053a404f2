"""Lookups of the admin's lists: only what they offer to filter by, and nothing that they do not show.

Django takes a lookup of any field of the list's own: `?sealed_secret__startswith=…` gives a secret away
character by character to anybody who may see that there is such a row.
"""

from typing import Any, Final

from django.contrib.admin import ModelAdmin
from django.core.exceptions import FieldDoesNotExist
from django.db.models.constants import LOOKUP_SEP
from django.http import HttpRequest

allowed_by_django: Final = ModelAdmin.lookup_allowed


def lookup_allowed(self: Any, lookup: str, value: str, request: HttpRequest) -> bool:
    """Whether a list may be filtered so: by its filters, its dates and its key, as Django has it further."""
    name = lookup.split(LOOKUP_SEP, maxsplit=1)[0]
    return (name in offered(self, request) or not _is_field(self, name)) and allowed_by_django(
        self, lookup, value, request
    )


def offered(of: "ModelAdmin[Any]", request: HttpRequest) -> set[str]:
    """The fields that a list offers to filter by."""
    filters = [each[0] if isinstance(each, tuple | list) else each for each in of.get_list_filter(request)]
    paths = [
        each if isinstance(each, str) else getattr(each, "parameter_name", None) or "" for each in filters
    ]
    paths.append(of.date_hierarchy or "")
    return {path.split(LOOKUP_SEP)[0] for path in paths} | {of.opts.pk.name}


def _is_field(of: "ModelAdmin[Any]", name: str) -> bool:
    """Whether it is a field; else it is a filter's own word, or Django refuses it."""
    try:
        of.opts.get_field(name)
    except FieldDoesNotExist:
        return False
    return True


ModelAdmin.lookup_allowed = lookup_allowed  # type: ignore[method-assign]

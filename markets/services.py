"""Writing: changes that are more than one row's save."""

from typing import Any

from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.base_user import AbstractBaseUser
from django.db import transaction
from django.db.models import Model, QuerySet

from markets.config import REST_SCHEMES, base_url_problem
from markets.follow.revision import bump_revision
from markets.identity.evidence import record_findings
from markets.models import Exchange, Instrument

__all__ = ["bump_revision", "record_findings", "set_base_urls", "set_depth_pinned", "set_enabled"]


def set_enabled(rows: QuerySet[Model], enabled: bool, user: AbstractBaseUser) -> int:
    """Switch the rows that are not so yet, write one log entry each, and return how many there were.

    The revision moves once, and not at all when nothing changes.
    """
    return _set(rows, {"enabled": enabled}, "Enabled." if enabled else "Disabled.", user)


def set_depth_pinned(rows: QuerySet[Instrument], pinned: bool, user: AbstractBaseUser) -> int:
    """Pin or unpin the order books of instruments, as `set_enabled` switches."""
    return _set(
        rows, {"depth_pinned": pinned}, "Order book pinned." if pinned else "Order book unpinned.", user
    )


def _set(rows: QuerySet[Any], values: dict[str, bool], message: str, user: AbstractBaseUser) -> int:
    with transaction.atomic():
        changing = list(rows.exclude(**values).order_by("pk"))
        if changing:
            keys = [row.pk for row in changing]
            rows.model._default_manager.filter(pk__in=keys).update(**values)
            changed = rows.model._default_manager.filter(pk__in=keys)
            LogEntry.objects.log_actions(user.pk, changed, CHANGE, message)
    return len(changing)


@transaction.atomic
def set_base_urls(keys: list[str], base_url: str, *, swaps: bool = False) -> int:
    """Point exchanges at one server under a prefix each, `http://host:port/KEY`, and their swaps, where asked
    for, under `…/KEY-swap`; returns how many moved.

    Raises ValueError when `base_url` is no http(s) base URL.
    """
    if problem := base_url_problem(base_url, REST_SCHEMES):
        raise ValueError(problem)
    fields = {"rest_url": "", "ws_url": ""} | (
        {"swap_rest_url": "-swap", "swap_ws_url": "-swap"} if swaps else {}
    )
    moved = []
    for exchange in Exchange.objects.filter(key__in=keys):
        urls = {}
        for field, of in fields.items():
            rest = f"{base_url.rstrip('/')}/{exchange.key}{of}"
            urls[field] = rest if "rest" in field else rest.replace("http", "ws", 1)
        if any(getattr(exchange, field) != url for field, url in urls.items()):
            for field, url in urls.items():
                setattr(exchange, field, url)
            moved.append(exchange)
    if moved:
        Exchange.objects.bulk_update(moved, list(fields))
    return len(moved)

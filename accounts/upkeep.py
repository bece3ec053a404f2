"""Whether sessions that have ended are deleted, and whether anybody can sign in."""

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from django.contrib.auth import get_user_model
from django.contrib.sessions.models import Session

from core.health.findings import Lack
from core.health.upkeep import Overdue, asked_in, kept_too_long, lacks, overdue

NO_USERS: Final = Lack(
    "Nobody can sign in: there is no active user.",
    "`manage.py createsuperuser` makes one; `make run` makes the operator when it starts.",
)


@asked_in(overdue)
def old_sessions(now: datetime) -> list[Overdue]:
    """Sessions that ended days ago."""
    return kept_too_long("retain sessions", 0, now, (Session.objects, "expire_date"))


@asked_in(lacks)
def no_users() -> Iterator[tuple[str, Lack]]:
    """There is no active user."""
    if not get_user_model()._default_manager.filter(is_active=True).exists():
        yield "users", NO_USERS

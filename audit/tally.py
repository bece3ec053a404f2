"""Actions that strangers can repeat at will: recorded the first time in a minute, then counted.

Counts wait in a small table of the database, so that no process that ends loses them, and become entries
when their minute is over and when somebody reads the audit.
"""

from datetime import timedelta
from typing import Any, Final

from django.contrib.auth import get_user_model
from django.db import connection, transaction
from django.http import HttpRequest
from django.utils import timezone

from audit.acting import acting, whence
from audit.recording import record

MOST_A_MINUTE: Final = 20
"""Addresses and names distinguished in a minute; those beyond are counted together."""

OTHERS: Final = "others"

_COUNT = """
    INSERT INTO audit_tally (kind, minute, address, user_name, count) VALUES (%s, %s, %s, %s, 0)
    ON CONFLICT (kind, minute, address, user_name) DO UPDATE SET count = audit_tally.count + 1
    RETURNING count
"""
_KNOWN = """
    SELECT count(*), bool_or(address = %s AND user_name = %s) FROM audit_tally WHERE kind = %s AND minute = %s
"""
_TAKE = "DELETE FROM audit_tally WHERE minute < %s RETURNING kind, minute, address, user_name, count"


@transaction.atomic
def counted(kind: str, *, request: HttpRequest | None, name: str = "") -> None:
    """Record something that was refused, at most once in a minute for an address and a name.

    `name` is kept where there is a user of that name: people type passwords where their name goes.
    """
    user = get_user_model()._default_manager.filter(**{get_user_model().USERNAME_FIELD: name}).first()
    address, _agent = whence(request or acting())
    minute = timezone.now().replace(second=0, microsecond=0)
    place = _place(kind, minute, address, user.get_username() if user else "")
    with connection.cursor() as cursor:
        cursor.execute(_COUNT, [kind, minute, *place])
        is_first = cursor.fetchone() == (0,)
    if is_first:
        settle(minute)
        record(kind, request=request, user=_Refused(user) if user else None)


class _Refused:
    """User whose name was tried: nobody is signed in as them."""

    is_authenticated = True

    def __init__(self, user: Any) -> None:
        self.pk, self.get_username = user.pk, user.get_username


def _place(kind: str, minute: Any, address: str, name: str) -> tuple[str, str]:
    with connection.cursor() as cursor:
        cursor.execute(_KNOWN, [address, name, kind, minute])
        count, is_known = cursor.fetchone()
    return (address, name) if is_known or count < MOST_A_MINUTE else (OTHERS, "")


@transaction.atomic
def settle(before: Any = None) -> None:
    """Make entries of what was counted before a time; of everything where none is given."""
    with connection.cursor() as cursor:
        cursor.execute(_TAKE, [before or timezone.now() + timedelta(days=1)])
        rows = cursor.fetchall()
    from audit.models import Entry

    Entry.objects.bulk_create(
        Entry(at=minute, kind=kind, address=address, user_name=name, count=count, words="more in that minute")
        for kind, minute, address, name, count in rows
        if count
    )

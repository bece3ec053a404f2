"""Sessions end: when nobody uses them, at the latest after a while, and when somebody says so.

This is the session engine (SESSION_ENGINE): Django's table and data, and beside each session of somebody who
is signed in a record with user, place and beginning (accounts.models.UserSession).
"""

import datetime
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, Final

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.signals import user_logged_in
from django.contrib.sessions.backends.db import SessionStore as DatabaseStore
from django.contrib.sessions.models import Session
from django.db import DatabaseError, transaction
from django.dispatch import receiver
from django.http import HttpRequest
from django.utils import timezone

import audit
from accounts.devices import UNKNOWN, device_of
from accounts.models import UserSession

NOTED_EVERY: Final = datetime.timedelta(minutes=1)
"""The last use is written no more often."""


def idle_end() -> datetime.timedelta:
    """Life of a session that nobody uses."""
    return datetime.timedelta(minutes=settings.SESSION_IDLE_MINUTES)


def absolute_end() -> datetime.timedelta:
    """Longest life of any session."""
    return datetime.timedelta(seconds=settings.SESSION_COOKIE_AGE)


def end_of(record: UserSession | None) -> datetime.datetime:
    """End of a session that is used now and not again."""
    end = timezone.now() + min(idle_end(), absolute_end())
    return end if record is None else min(end, record.began_at + absolute_end())


class SessionStore(DatabaseStore):
    """Django's, with the record of the session. It must be called so: data is signed with the name."""

    record: UserSession | None = None
    """As it was when the session was loaded; None where nobody is signed in."""

    def _get_session_from_db(self) -> Session | None:
        rows = Session.objects.select_related("record")
        row = rows.filter(session_key=self.session_key, expire_date__gt=timezone.now()).first()
        self.record = getattr(row, "record", None)
        if row is None:
            self._session_key = None
        return row

    async def _aget_session_from_db(self) -> Session | None:
        return await sync_to_async(self._get_session_from_db)()

    def create_model_instance(self, data: dict[str, Any]) -> Any:
        """The row to be saved, with the end that is due to it."""
        row: Any = super().create_model_instance(data)
        row.expire_date = end_of(self.record)
        return row

    async def acreate_model_instance(self, data: dict[str, Any]) -> Any:
        """Asynchronous variant of `create_model_instance`."""
        row: Any = await super().acreate_model_instance(data)
        row.expire_date = end_of(self.record)
        return row

    def cycle_key(self) -> None:
        """Go on under another key, as the same session of the list."""
        data: dict[str, Any] = self._session  # type: ignore[attr-defined]
        former, record = self.session_key, self.record
        self.create()
        self._session_cache = data
        if record is not None:
            UserSession.objects.filter(pk=record.pk).update(session=self.session_key)
            record.session_id = str(self.session_key)
        if former:
            self.delete(former)

    def flush(self) -> None:
        """End it."""
        super().flush()
        self.record = None


@receiver(user_logged_in)
def _begin(request: HttpRequest, user: AbstractBaseUser, **_: Any) -> None:
    """Record a session as somebody signs in: a password was given just now, a second factor not yet."""
    session: Any = getattr(request, "session", None)
    if session is None:
        return
    session.save()  # from now on it has a key
    now = timezone.now()
    begun = about(request) | {"user": user, "began_at": now, "seen_at": now, "confirmed_at": now}
    session.record, _made = UserSession.objects.update_or_create(
        session_id=session.session_key, defaults={**begun, "verified_at": None}
    )


def about(request: HttpRequest) -> dict[str, str]:
    """Device and address of a request, as the list shows them."""
    from accounts.sign_in.signing_in import client_address

    device = device_of(request.headers.get("User-Agent", ""))
    return {"device": device, "address": client_address(request) or UNKNOWN}


def touch(request: HttpRequest, user: AbstractBaseUser) -> None:
    """Note that a session is used; one without a record (from before there were any) gets it."""
    session: Any = request.session
    now = timezone.now()
    with suppress(DatabaseError):  # who may read may, where it cannot be noted
        if session.record is None:
            session.record, _made = UserSession.objects.get_or_create(
                session_id=session.session_key,
                defaults=about(request) | {"user": user, "began_at": now, "seen_at": now},
            )
        elif abs(now - session.record.seen_at) < NOTED_EVERY:
            return  # later than now it is by a clock that was ahead
        note(session.record, seen_at=now)
        Session.objects.filter(pk=session.session_key).update(expire_date=end_of(session.record))


def note(record: UserSession, **values: Any) -> None:
    """Write some columns, and nothing else."""
    UserSession.objects.filter(pk=record.pk).update(**values)
    for name, value in values.items():
        setattr(record, name, value)


def end(records: Iterable[UserSession], how: str, request: HttpRequest | None = None) -> int:
    """End sessions, and what is open by them within seconds (accounts.access.rights); how many there were."""
    by = getattr(request, "user", None)
    ended = 0
    with transaction.atomic():
        for record in records:
            Session.objects.filter(pk=record.session_id).delete()
            ended += 1
            after = {"of": str(record.user), "device": record.device, "address": record.address, "how": how}
            audit.record("session_ended", user=by, request=request, after=after)
    return ended


def sessions_of(user: Any) -> Any:
    """The sessions of a user that have not ended, the last used first."""
    there = UserSession.objects.filter(user=user, session__expire_date__gt=timezone.now())
    return there.select_related("user")

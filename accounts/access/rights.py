"""Whether somebody who was let in may still be there, asked for as long as data flows to them.

A session or an API token opens a socket or a long answer; neither ends by itself when the user signs out,
is deactivated or deleted, has a new password, or when session or token expire. Every `CHECK_EVERY_S` a
process asks PostgreSQL once about all of them together. No answer is no refusal: after `UNKNOWN_FOR_S`
without one the connections are asked to come again, which works once somebody can be signed in.
"""

import asyncio
import hashlib
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextvars import Context
from datetime import datetime
from typing import Any, Final

from channels.db import database_sync_to_async
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractBaseUser, User
from django.contrib.sessions.models import Session
from django.db import DatabaseError
from django.http import HttpRequest
from django.utils import timezone
from msgspec import Struct

from accounts.tokens.model import ApiToken
from core.outage import Outage
from core.process.per_loop import PerLoop
from core.web.closing import CLOSE_NOT_SIGNED_IN, CLOSE_RESTART, Closed
from core.web.reports import register

logger = logging.getLogger(__name__)

CHECK_EVERY_S: Final = 2.0
ANSWER_WITHIN_S: Final = 2.0
UNKNOWN_FOR_S: Final = 60.0

REVOKED: Final = "the API token was revoked: make a new one"
EXPIRED: Final = "the API token has expired: make a new one"
SIGNED_OUT: Final = "signed out: sign in again"
SESSION_EXPIRED: Final = "the session has expired: sign in again"

Objections = Callable[[Iterable["Credential"]], "dict[Credential, str]"]
"""Which of these credentials are good no more, and why in words; asks the database."""

further: Final[list[Objections]] = []
"""Grounds that are known further up, added as a process begins (arbsite.asgi)."""

End = Callable[[Closed], None]
"""Ends what flows; called once, on the event loop."""


class Credential(Struct, frozen=True):
    """Credential that let somebody in: a user as of then, and the session, or the token (its row)."""

    user_id: int
    fingerprint: str
    session_key: str | None = None
    token_id: int | None = None
    permission: str = ""
    """What is shown depends on it (`app.codename`), and `has_permission` is how that was as it began."""
    has_permission: bool = False


def fingerprint(user: AbstractBaseUser) -> str:
    """Differs once the user has another password."""
    return _digest(user.get_session_auth_hash())


def former_fingerprints(user: AbstractBaseUser) -> list[str]:
    """The same as they were under the keys that are still valid (SECRET_KEY_FALLBACKS)."""
    return [_digest(each) for each in user.get_session_auth_fallback_hash()]


def _digest(auth_hash: str) -> str:
    return hashlib.sha256(auth_hash.encode()).hexdigest()[:16]


async def credential_of_request(request: HttpRequest) -> Credential:
    """Credential of a request; its user is signed in."""
    given: Credential | None = getattr(request, "credential", None)
    if given is not None:
        return given
    user: Any = await request.auser()
    session = getattr(request, "session", None)
    return Credential(user.pk, fingerprint(user), session_key=session.session_key if session else None)


class Known(Struct, frozen=True):
    """PostgreSQL's answer: active users' fingerprints by id, until when sessions and tokens are good."""

    users: dict[int, str]
    sessions: dict[str, datetime]
    tokens: dict[int, datetime]
    holders: dict[str, set[int]]
    """Ids of the users that have a permission, by permission."""

    objections: dict[Credential, str] = {}

    def has_changed(self, since: Credential) -> bool:
        """Whether the user may see more now, or less, than as the flow began."""
        holds = since.user_id in self.holders.get(since.permission, ())
        return bool(since.permission) and holds is not since.has_permission

    def objection(self, to: Credential) -> str:
        """Why the credential is good no more, in words; "" while it is."""
        if to.user_id not in self.users:
            return "this account is not active any more"
        if self.users[to.user_id] != to.fingerprint:
            return "the password was changed: sign in again"
        if to.token_id is not None:
            until, gone, over = self.tokens.get(to.token_id), REVOKED, EXPIRED
        elif to.session_key is not None:
            until, gone, over = self.sessions.get(to.session_key), SIGNED_OUT, SESSION_EXPIRED
        else:
            return ""
        if until is None:
            return gone
        return self.objections.get(to, "") if until > timezone.now() else over


def ask(credentials: Iterable[Credential]) -> Known:
    """Ask the database about all these, by a few questions however many they are. Raises DatabaseError."""
    asked = list(credentials)
    people = {each.user_id for each in asked}
    users = get_user_model()._default_manager.filter(pk__in=people, is_active=True)
    permissions = {each.permission for each in asked if each.permission}
    keys = {each.session_key for each in asked if each.session_key}
    sessions = Session.objects.filter(pk__in=keys).values_list("session_key", "expire_date")
    ids = {each.token_id for each in asked if each.token_id}
    tokens = ApiToken.objects.filter(pk__in=ids).values_list("pk", "expires_at")
    return Known(
        {user.pk: fingerprint(user) for user in users},
        dict(sessions) if keys else {},
        dict(tokens) if ids else {},
        {each: _holders(each, people) for each in permissions},
        {each: words for objections in further for each, words in objections(asked).items()},
    )


def _holders(permission: str, people: set[int]) -> set[int]:
    holders = User.objects.with_perm(permission, backend="django.contrib.auth.backends.ModelBackend")
    return set(holders.filter(pk__in=people).values_list("pk", flat=True))


class _Watched:
    """One credential, and what flows by it."""

    def __init__(self) -> None:
        self.known_at = time.monotonic()  # when it was last known to be good; letting in asked for it
        self.ends: dict[int, End] = {}


class Rights:
    """All credentials by which data flows in this process. On one event loop, nothing is locked."""

    def __init__(self) -> None:
        self.counters: Counter[str] = Counter()
        self._watched: dict[Credential, _Watched] = {}
        self._next = 0
        self._running: asyncio.Task[None] | None = None
        self._asking: asyncio.Task[Known] | None = None
        self._asked: tuple[Credential, ...] = ()
        self._outage = Outage(logger)

    def watch(self, credential: Credential, end: End) -> Callable[[], None]:
        """Call `end` when the credential is good no more; call what is returned when the flow is over."""
        self._next += 1
        number = self._next
        watched = self._watched.setdefault(credential, _Watched())
        watched.ends[number] = end
        if self._running is None:
            # Of its own context: that of the request that happened to come first ends with it.
            self._running = asyncio.create_task(self._run(), name="rights", context=Context())

        def forget() -> None:
            watched.ends.pop(number, None)
            if not watched.ends and self._watched.get(credential) is watched:
                del self._watched[credential]

        return forget

    async def _run(self) -> None:
        try:
            while self._watched:
                await asyncio.sleep(CHECK_EVERY_S)
                await self._check()
                self._end_unknown()
        finally:
            self._running = None

    async def _check(self) -> None:
        try:
            self._judge(await self._answer())
        except (DatabaseError, OSError, TimeoutError) as problem:
            self.counters["unanswered"] += 1
            self._outage.begins("rights cannot be checked now: %s", problem)
        except Exception as fault:  # ours; a check that cannot be made is one that has no answer
            self._outage.begins("rights cannot be checked", kind=repr(fault), problem=fault)
        else:
            self._outage.ends("rights are checked again")

    async def _answer(self) -> Known:
        """Answer one question at a time: a database that hangs must not collect threads that wait for it."""
        if self._asking is None:
            self._asked = tuple(self._watched)
            question = database_sync_to_async(ask, thread_sensitive=False)(self._asked)
            self._asking = asyncio.create_task(question, name="ask for rights")
        await asyncio.wait([self._asking], timeout=ANSWER_WITHIN_S)
        if not self._asking.done():
            raise TimeoutError(f"no answer within {ANSWER_WITHIN_S:g} s")
        asked, self._asking = self._asking, None
        return await asked

    def _judge(self, known: Known) -> None:
        self.counters["checks"] += 1
        for credential in self._asked:
            watched = self._watched.get(credential)
            if watched is None:
                continue
            if objection := known.objection(credential):
                self._end(credential, Closed(CLOSE_NOT_SIGNED_IN, objection))
            elif known.has_changed(credential):
                self._end(credential, Closed(CLOSE_RESTART, "what you may see has changed: connect again"))
            else:
                watched.known_at = time.monotonic()

    def _end_unknown(self) -> None:
        long_ago = time.monotonic() - UNKNOWN_FOR_S
        for credential, watched in tuple(self._watched.items()):
            if watched.known_at < long_ago:
                words = f"whether you may be here is not known for {UNKNOWN_FOR_S:g} s: connect again"
                self._end(credential, Closed(CLOSE_RESTART, words))

    def _end(self, credential: Credential, closed: Closed) -> None:
        for end in tuple(self._watched.pop(credential).ends.values()):
            self.counters["ended"] += 1
            end(closed)

    def stats(self) -> dict[str, int]:
        """Counters an operator can see, name -> value."""
        names = ("checks", "unanswered", "ended")
        return {"rights_watched": sum(len(each.ends) for each in self._watched.values())} | {
            f"rights_{name}": self.counters[name] for name in names
        }


process_rights = PerLoop(Rights)
"""This process's rights."""


@register
def _report() -> dict[str, int]:
    return process_rights().stats()

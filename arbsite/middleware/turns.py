"""Turns of requests: a few are answered at once, first those of the user with the fewest.

Each request that is answered takes the processor and a connection to the database. So a hundred pages that
one user asks for at once wait for each other, and nobody else waits for them. Users have places of their own,
which strangers cannot take: a session or token counts as its user's once it was seen to be good, and as its
address's before, so made-up ones gain nothing.

An answer that is streamed has its turn while it is made, not while it is read. Readers of the lake
(core.web.places) and passwords to be hashed (accounts.sign_in) have turns of their own, and give this back.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any, Final, NamedTuple

from asgiref.sync import iscoroutinefunction
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.decorators import sync_and_async_middleware

from accounts.sign_in.signing_in import client_address
from core.process.per_loop import PerLoop
from core.web.places import Asker, Places, request_turn
from core.web.refused import Refused
from core.web.reports import register

USERS_AT_ONCE: Final = 8
PER_USER: Final = 4
STRANGERS_AT_ONCE: Final = 3
PER_ADDRESS: Final = 2
"""All together fewer than a web process has connections to the database (arbsite.patient_postgres)."""

WAIT_S: Final = 15.0
"""How long a request waits for its turn; longer than that people wait for no page."""

PROBES: Final = ("/healthz", "/readyz")
"""Cheap for the desk, and an orchestrator must get its answer during a flood, too."""

REMEMBERED: Final = 10_000
"""Sessions and tokens whose users are known. A forgotten one counts as an address again."""


class Turns(NamedTuple):
    """The places of one event loop."""

    users: Places
    strangers: Places


class Known:
    """Users of the sessions and tokens that were good; by digest, the last ones used."""

    def __init__(self) -> None:
        self._users: OrderedDict[bytes, int] = OrderedDict()

    def user_of(self, digest: bytes) -> int | None:
        """A user's number; None where that was not seen yet."""
        if (found := self._users.get(digest)) is not None:
            self._users.move_to_end(digest)
        return found

    def learn(self, digest: bytes, user_id: int) -> None:
        """Note that it was good just now."""
        self._users[digest] = user_id
        self._users.move_to_end(digest)
        if len(self._users) > REMEMBERED:
            self._users.popitem(last=False)

    def forget(self, digest: bytes) -> None:
        """Note that it is good no more."""
        self._users.pop(digest, None)


_known: Final = Known()


def _make_turns() -> Turns:
    return Turns(
        Places(USERS_AT_ONCE, PER_USER, "requests", WAIT_S),
        Places(STRANGERS_AT_ONCE, PER_ADDRESS, "requests_of_strangers", WAIT_S),
    )


process_turns = PerLoop(_make_turns)
"""This process's places."""


@register
def stats() -> dict[str, int]:
    """Figures for the operator, of both kinds: how many are answered, wait, ever waited, or were refused."""
    users, strangers = process_turns()
    return users.stats() | strangers.stats()


@sync_and_async_middleware
def turns_middleware(
    get_response: Callable[[HttpRequest], Any],
) -> Callable[[HttpRequest], HttpResponseBase | Awaitable[HttpResponseBase]]:
    """Answer requests in turn; 429 and Retry-After where that takes too long.

    Goes outside everything that asks the database. Only a server that answers many at once (ASGI) needs it.
    """
    if not iscoroutinefunction(get_response):
        return get_response

    async def in_turn(request: HttpRequest) -> HttpResponseBase:
        if request.path_info in PROBES:
            probed: HttpResponseBase = await get_response(request)
            return probed
        digest = _credential(request)
        places, asker = _places_of(request, digest)
        try:
            turn = await places.take(asker)
        except Refused as refused:
            return _refusal(request, refused)
        request_turn.set(turn)  # ends with the request's task
        try:
            response: HttpResponseBase = await get_response(request)
        finally:
            turn.leave()
        _learn(request, digest)
        return response

    return in_turn


def _credential(request: HttpRequest) -> bytes:
    """Credential that a request claims, as a digest; empty where it says nothing."""
    token = request.headers.get("Authorization", "")
    given = token or request.COOKIES.get(settings.SESSION_COOKIE_NAME, "")
    if not given:
        return b""
    return hashlib.blake2b(given.encode("utf-8", "replace"), digest_size=16).digest()


def _places_of(request: HttpRequest, digest: bytes) -> tuple[Places, Asker]:
    users, strangers = process_turns()
    user_id = _known.user_of(digest)
    return (strangers, client_address(request) or "") if user_id is None else (users, user_id)


def _learn(request: HttpRequest, digest: bytes) -> None:
    """Note whose a session or token is, where the request was asked it."""
    if not digest:
        return
    credential, entry = getattr(request, "credential", None), getattr(request, "_entry", None)
    user_id = credential.user_id if credential is not None else entry.user.pk if entry is not None else 0
    if user_id:
        _known.learn(digest, user_id)
    elif entry is not None:
        _known.forget(digest)


def _refusal(request: HttpRequest, refused: Refused) -> HttpResponse:
    """Refusal in words: JSON for programs."""
    response: HttpResponse = refused.response()
    if not request.path_info.startswith("/api/"):
        headers = {"Retry-After": response.headers["Retry-After"]}
        words = f"{str(refused)[0].upper()}{str(refused)[1:]}.\n"
        response = HttpResponse(words, status=refused.status, content_type="text/plain", headers=headers)
    return response

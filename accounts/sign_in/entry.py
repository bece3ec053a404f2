"""User of a request. A session without the second factor it needs is nobody's, on every door.

Only the pages that ask for the factor know whose it would be (`half`). The database is asked once somebody
wants to know, as by Django's own.
"""

from functools import partial
from typing import Any, Final, NamedTuple

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth import (
    BACKEND_SESSION_KEY,
    HASH_SESSION_KEY,
    SESSION_KEY,
    get_user_model,
    load_backend,
)
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.auth.models import AnonymousUser
from django.contrib.sessions.backends.base import SessionBase
from django.http import HttpRequest
from django.utils.crypto import constant_time_compare
from django.utils.functional import SimpleLazyObject

from accounts import sessions
from accounts.mfa import second_factor

POLLED: Final = ("/api/", "/health", "/jsi18n/")
"""What pages ask by themselves; nobody is there because of it."""


class Entry(NamedTuple):
    """User who is signed in, or who would be with a second factor; at most one of both."""

    user: AbstractBaseUser | AnonymousUser
    half: AbstractBaseUser | None = None


class EntryMiddleware(AuthenticationMiddleware):
    """Django's AuthenticationMiddleware, but with second factors, and sessions that outlive a change of
    SECRET_KEY under their own key.
    """

    def process_request(self, request: HttpRequest) -> None:
        """Attach the user of the request, looked up at the first access."""
        request.user = SimpleLazyObject(lambda: entry(request).user)  # type: ignore[assignment]
        request.auser = partial(_auser, request)  # type: ignore[assignment]


async def _auser(request: HttpRequest) -> AbstractBaseUser | AnonymousUser:
    return (await sync_to_async(entry)(request)).user


def entry(request: HttpRequest) -> Entry:
    """Entry of a request; asked once."""
    known: Entry | None = getattr(request, "_entry", None)
    if known is None:
        known = request._entry = _entry(request)  # type: ignore[attr-defined]
    return known


def half(request: HttpRequest) -> Any:
    """User who is signed in but for a second factor; None: nobody."""
    return entry(request).half


def _entry(request: HttpRequest) -> Entry:
    session: Any = request.session
    user = user_of_session(session)
    if user is None:
        return Entry(AnonymousUser())
    _keep_proof(session, user)
    if second_factor.is_missing(user, session.record):
        return Entry(AnonymousUser(), half=user)
    if request.method not in ("GET", "HEAD") or not request.path_info.startswith(POLLED):
        sessions.touch(request, user)
    return Entry(user)


def user_of_session(session: SessionBase) -> AbstractBaseUser | None:
    """Like django.contrib.auth.get_user, but the session stays as it is, also where its proof is not good."""
    try:
        user_id = get_user_model()._meta.pk.to_python(session[SESSION_KEY])
        backend = session[BACKEND_SESSION_KEY]
    except KeyError:
        return None
    user = load_backend(backend).get_user(user_id) if backend in settings.AUTHENTICATION_BACKENDS else None
    if user is None:
        return None
    proof = session.get(HASH_SESSION_KEY, "")
    good = (user.get_session_auth_hash(), *user.get_session_auth_fallback_hash())
    return user if any(constant_time_compare(proof, each) for each in good) else None


def _keep_proof(session: SessionBase, user: Any) -> None:
    """Prove a session under the SECRET_KEY of now, where a former one did (SECRET_KEY_FALLBACKS).

    Django gives it another key as well: of a page's requests at once all but one were signed out by that, and
    so were its sockets.
    """
    proof = user.get_session_auth_hash()
    if session[HASH_SESSION_KEY] != proof:
        session[HASH_SESSION_KEY] = proof

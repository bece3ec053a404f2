"""Users behind requests: what an API token opens, whose a WebSocket is, and where it may come from."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from io import BytesIO
from typing import Any, Final
from urllib.parse import urlsplit

from channels.db import database_sync_to_async
from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.core.handlers.asgi import ASGIRequest
from django.db import DatabaseError, DataError
from django.http import HttpRequest, JsonResponse
from django.http.request import split_domain_port, validate_host
from django.urls import Resolver404, resolve
from django.utils.deprecation import MiddlewareMixin
from django.utils.functional import SimpleLazyObject

import audit
from accounts.access.rights import Credential, fingerprint
from accounts.mfa import second_factor
from accounts.sign_in.entry import user_of_session
from accounts.tokens import model as api_token
from accounts.tokens.tokens import InvalidToken, credential_of, good_token
from monitoring.metrics.page import holds_token
from monitoring.metrics.traffic import traffic

logger = logging.getLogger(__name__)

PROGRAMS_READ: Final = ("/health", "/healthz", "/readyz", "/metrics")
"""What a token opens beside /api/ and sockets."""
SAFE: Final = ("GET", "HEAD", "OPTIONS", "TRACE")

ANSWER_WITHIN_S: Final = 5.0
"""A browser gives a connection up after so long."""

_ASKING: Final = ThreadPoolExecutor(4, "whose socket")

Scope = dict[str, Any]
AsgiApp = Callable[[Scope, Any, Any], Awaitable[None]]


class TokenMiddleware(MiddlewareMixin):
    """`Authorization: Bearer …` signs a request in, where tokens are for; else 401 or 403 in words.

    Goes after Django's AuthenticationMiddleware.
    """

    def process_request(self, request: HttpRequest) -> JsonResponse | None:
        """Set the token's user, or refuse."""
        secret = bearer_token(request.headers.get("Authorization", ""))
        if secret is None or holds_token(request):  # that one opens the metrics and nothing else
            return None
        try:
            token = good_token(secret)
        except InvalidToken as problem:
            audit.counted("token_refused", request=request)
            return JsonResponse({"error": str(problem)}, status=401, headers={"WWW-Authenticate": "Bearer"})
        except DatabaseError:
            _nobody_knows_who(request)
            return None
        if refusal := _beyond(token, request):
            return JsonResponse({"error": refusal}, status=403)
        _sign_in(request, token.user)
        request.credential = credential_of(token)  # type: ignore[attr-defined]
        return None


def _beyond(token: api_token.ApiToken, request: HttpRequest) -> str:
    """Why a token does not open this address this way, in words; "" where it does."""
    path, method = request.path_info, request.method or ""
    if not path.startswith("/api/") and path not in PROGRAMS_READ:
        return "an API token opens /api/ and sockets; pages and the admin take people who sign in"
    view = _view_of(path)
    if view is None or method not in getattr(view, "methods", (method,)):
        return ""  # the absence of an address or a method is said before any scope
    given = api_token.Scope(token.scope)
    lacking = [each for each in _asked_of_tokens(view, method) if not given.includes(each)]
    if not lacking:
        return ""
    needed = lacking[-1]
    return (
        f"this API token may {given}; {method} takes one that may {needed}: "
        f"`manage.py api_token USER --scope {needed}` prints one"
    )


def _asked_of_tokens(view: Any, method: str) -> tuple[api_token.Scope, api_token.Scope]:
    """The scopes that a method takes, and the address (accounts.access.guard.api)."""
    of_method = api_token.Scope.READ if method in SAFE else api_token.Scope.ACT
    return of_method, getattr(view, "scope", api_token.Scope.READ)


def _view_of(path: str) -> Any:
    try:
        return resolve(path).func
    except Resolver404:
        return None


def _nobody_knows_who(request: HttpRequest) -> None:
    """The database is gone: that is said where nobody needs to know who asks, and fails elsewhere."""

    def user() -> AbstractBaseUser:
        raise DatabaseError("nobody can be signed in: PostgreSQL does not answer")

    async def auser() -> AbstractBaseUser:
        return user()

    request.user = SimpleLazyObject(user)  # type: ignore[assignment]
    request.auser = auser  # type: ignore[assignment]


def bearer_token(authorization: str) -> str | None:
    """The token of an `Authorization: Bearer …` header, or None when it is no such header."""
    scheme, _, token = authorization.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def _sign_in(request: HttpRequest, user: AbstractBaseUser) -> None:
    async def auser() -> AbstractBaseUser:
        return user

    request.user = user  # type: ignore[assignment]
    request.auser = auser  # type: ignore[assignment]
    if request.path_info.startswith("/api/"):
        # No browser adds this header for another site, so there is nothing to forge.
        request._dont_enforce_csrf_checks = True  # type: ignore[attr-defined]


class SocketAuth:
    """User who opens a WebSocket: `scope["user"]`, or None without an answer of PostgreSQL in
    ANSWER_WITHIN_S.

    Goes inside channels' CookieMiddleware. Channels' own AuthMiddleware knows no SECRET_KEY_FALLBACKS, and
    asks in one thread for all sockets: a database that hangs held up every handshake in turn.
    """

    def __init__(self, app: AsgiApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        ask = database_sync_to_async(_who_opens, thread_sensitive=False, executor=_ASKING)
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                user, credential = await ask(_handshake(scope), scope["cookies"])
        except (DatabaseError, TimeoutError) as problem:
            logger.warning("a socket is refused, nobody knows whose it is: %s", problem or "PostgreSQL hangs")
            user, credential = None, None
        await self.app({**scope, "user": user, "credential": credential}, receive, send)


def _handshake(scope: Scope) -> HttpRequest:
    """The request that a WebSocket begins with."""
    return ASGIRequest({**scope, "method": "GET"}, BytesIO())


def _who_opens(
    request: HttpRequest, cookies: dict[str, str]
) -> tuple[AbstractBaseUser | AnonymousUser, Credential | None]:
    """User of a token, if there is one, else of the session. Raises DatabaseError."""
    secret = bearer_token(request.headers.get("Authorization", ""))
    if secret is None:
        session = _sessions().SessionStore(cookies.get(settings.SESSION_COOKIE_NAME))
        try:
            user = user_of_session(session)
        except DataError:  # no session is called that
            user = None
        if user is None or second_factor.is_missing(user, session.record):
            return AnonymousUser(), None
        return user, Credential(user.pk, fingerprint(user), session_key=session.session_key)
    try:
        with audit.acting_for(request):
            token = good_token(secret)
    except InvalidToken:
        audit.counted("token_refused", request=request)
        return AnonymousUser(), None
    return token.user, credential_of(token)


def _sessions() -> Any:
    return import_module(settings.SESSION_ENGINE)


async def no_such_socket(scope: Scope, receive: Any, send: Any) -> None:
    """Refuse a handshake (403) at an address that has no socket."""
    await send({"type": "websocket.close", "code": 4404})


class AllowedOrigin:
    """Refuses a WebSocket handshake (403) whose Origin is missing, or neither our own nor a trusted one.

    Browsers send cookies along with WebSocket handshakes of any site; only the Origin header says
    whose page it is. Channels' own validator fails on an Origin that is no URL.
    """

    def __init__(self, app: AsgiApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        if is_allowed_origin(_header(scope, b"origin"), own_origin(scope)):
            traffic.handshakes["accepted"] += 1
            await self.app(scope, receive, send)
        else:
            traffic.handshakes["refused"] += 1
            await send({"type": "websocket.close", "code": 4403})


Origin = tuple[str, str, int]


def is_allowed_origin(origin: str, own: str) -> bool:
    """Whether scheme, host and port are those of `own`, or trusted (`https://*.x.org`, too)."""
    given = _origin(origin)
    if given is None:
        return False
    return given == _origin(own) or any(_is_trusted(given, each) for each in settings.CSRF_TRUSTED_ORIGINS)


def _is_trusted(given: Origin, trusted: str) -> bool:
    wanted = _origin(trusted.replace("://*.", "://", 1))
    if wanted is None or "://*." not in trusted:
        return given == wanted
    same_way = (given[0], given[2]) == (wanted[0], wanted[2])
    return same_way and given[1].endswith(f".{wanted[1]}")


def _origin(text: str) -> Origin | None:
    """Scheme, host and port of an origin; None for what is none."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return None
    usual = {"http": 80, "https": 443}.get(parts.scheme)
    rest = parts.path or parts.query or parts.fragment or "@" in parts.netloc
    if usual is None or not parts.hostname or rest:
        return None
    return parts.scheme, parts.hostname, port or usual


def own_origin(scope: Scope) -> str:
    """The origin of the desk's own pages, as this handshake reached them; empty where its Host is not ours.

    A proxy that ends TLS passes the Host on, and says the scheme where BEHIND_PROXY believes it.
    """
    host = _header(scope, b"host")
    name, _port = split_domain_port(host)
    if not name or not validate_host(name, settings.ALLOWED_HOSTS):
        return ""
    secure = scope.get("scheme") == "wss"
    if settings.BEHIND_PROXY:
        secure = secure or _header(scope, b"x-forwarded-proto") == "https"
    return f"{'https' if secure else 'http'}://{host}"


def _header(scope: Scope, name: bytes) -> str:
    return next((value.decode("latin1") for key, value in scope["headers"] if key == name), "")

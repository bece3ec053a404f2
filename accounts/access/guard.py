"""Rules the JSON APIs share: admission, refusals, and how names may be spelled."""

from collections.abc import AsyncIterator, Callable, Iterable
from difflib import get_close_matches
from functools import wraps
from http import HTTPStatus
from typing import Final
from unicodedata import category

from django.db import (
    DatabaseError,
    DataError,
    IntegrityError,
    InternalError,
    NotSupportedError,
    ProgrammingError,
)
from django.http import HttpRequest, JsonResponse, RawPostDataException, StreamingHttpResponse
from django.http.response import HttpResponseBase
from redis.exceptions import RedisError

from accounts.access.rights import Credential, credential_of_request, process_rights
from accounts.tokens.model import Scope
from core.connections import release_connections
from core.errors import InvalidConfig
from core.names.symbols import AmbiguousName, loose, resolve
from core.web.closing import Closed
from core.web.refused import Refused, View

SIGN_IN: Final = "sign in, or send `Authorization: Bearer TOKEN` (manage.py api_token USER)"
ABORT: Final = "realtime.abort"
"""The name in an ASGI scope's `extensions` under which a server offers to cut a request's connection."""


OUR_FAULTS: Final = (DataError, ProgrammingError, IntegrityError, InternalError, NotSupportedError)
OUTAGES: Final = (DatabaseError, RedisError, TimeoutError)
"""What servers that do not answer raise, of which some are faults of ours or of the client."""

NO_FORM: Final = "the request's body: it takes JSON, with Content-Type: application/json"

MAX_PARAMETER: Final = 1_000
"""Characters of one parameter: more than any name, and what an error may repeat."""


def api(
    *parameters: str, methods: tuple[str, ...] = ("GET",), scope: Scope = Scope.READ
) -> Callable[[View], View]:
    """A JSON view for signed-in users and tokens that takes these query parameters and no others.

    `scope` is the least that a token needs for it, whatever the method.

    Every refusal is a JSON error in words: a method that is not allowed (405), nobody signed in (401), a
    parameter that is unknown, or given twice (400), and servers that do not answer (503).
    """
    allowed = (*methods, "HEAD") if "GET" in methods else methods

    def guard(view: View) -> View:
        @wraps(view)
        async def guarded(request: HttpRequest) -> HttpResponseBase:
            response = await _answer(view, request, allowed, parameters)
            response["Cache-Control"] = "no-store"
            return response

        guarded.methods = allowed  # type: ignore[attr-defined]
        guarded.scope = scope  # type: ignore[attr-defined]
        return guarded

    return guard


def not_possible(method: str | None, allowed: tuple[str, ...]) -> JsonResponse:
    """The answer to a method that an address does not take."""
    names = ", ".join(allowed)
    words = f"{method} is not possible here; this takes {names}"
    return JsonResponse({"error": words}, status=HTTPStatus.METHOD_NOT_ALLOWED, headers={"Allow": names})


async def _answer(
    view: View, request: HttpRequest, allowed: tuple[str, ...], parameters: tuple[str, ...]
) -> HttpResponseBase:
    try:
        if request.method not in allowed:
            return not_possible(request.method, allowed)
        user = await request.auser()
        if not user.is_authenticated:
            raise Refused(401, SIGN_IN)
        _check_parameters(request, parameters)
        await release_connections()  # what the view waits for need not be the database
        response = await view(request)
        if isinstance(response, StreamingHttpResponse) and response.is_async:
            await _guard(request, response)
        return response
    except Refused as refused:
        return refused.response()
    except InvalidConfig as problem:
        return JsonResponse({"error": f"the saved configuration is not usable: {problem}"}, status=503)
    except (DataError, RawPostDataException) as problem:
        # A form was sent, and the check of its origin has read it.
        words = NO_FORM if isinstance(problem, RawPostDataException) else named_in(request, problem)
        return JsonResponse({"error": words}, status=400)
    except OUR_FAULTS:
        raise  # no outage
    except (*OUTAGES, OSError) as problem:
        text = f"{type(problem).__name__}: a server is not reachable; see /api/health"
        return JsonResponse({"error": text}, status=503)


def _check_parameters(request: HttpRequest, known: tuple[str, ...]) -> None:
    """Raise Refused for a parameter that would be passed over: unknown, or given more than once."""
    for name, values in request.GET.lists():
        if name not in known:
            near = get_close_matches(name, known, 1)
            meant = f"did you mean {near[0]}? " if near else ""
            takes = f"this takes {', '.join(known)}" if known else "this takes none"
            raise Refused(400, f"{name[:60]}: there is no such parameter; {meant}{takes}")
        if any(category(character) == "Cc" for character in values[0]):
            raise Refused(400, f"{name}: control characters have no place in it")
        if len(values[0]) > MAX_PARAMETER:
            raise Refused(400, f"{name}: it is longer than {MAX_PARAMETER} characters")
        if len(values) > 1:
            raise Refused(400, f"{name}: it is given {len(values)} times; give it once")


def named_in(request: HttpRequest, problem: Exception) -> str:
    """Name the parameter PostgreSQL could not take; where its message quotes none, all there are."""
    said = str(problem)
    given = {name: values[-1] for name, values in request.GET.lists() if values and values[-1]}
    guilty = [name for name, value in given.items() if value in said] or list(given) or ["the request"]
    return f"{', '.join(name[:60] for name in guilty)}: a value that cannot be: too long, too large, or NUL"


plain = loose


def symbol_of(names: Iterable[str], text: str, parameter: str = "symbol") -> str | None:
    """The one of `names` a request means (core.names.symbols), None when there is none so called.

    Raises Refused when it may be several: none is chosen.
    """
    try:
        return resolve(text, names)
    except AmbiguousName as problem:
        raise Refused(400, f"{parameter}: {problem}") from None


def exchange_of(exchanges: Iterable[tuple[str, str]], text: str, parameter: str) -> str:
    """The key of the exchange a request means, of `exchanges` as key and name: exactly, else in any spelling.

    Raises Refused with those there are, or with those it may be: none of several is chosen.
    """
    there, text = list(exchanges), text.strip()
    for spelling in (str.strip, plain):
        for names in ([key for key, _ in there], [name for _, name in there]):
            found = [
                key for (key, _), name in zip(there, names, strict=True) if spelling(name) == spelling(text)
            ]
            if len(found) > 1:
                raise Refused(400, f"{parameter}: {text!r} may be {' or '.join(found)}; write one of these")
            if found:
                return found[0]
    known = ", ".join(key for key, _name in there) or "none; run `manage.py seed`"
    raise Refused(404, f"{parameter}: there is no exchange {text!r}; there are: {known}")


class RightsEnded(Exception):
    """A long answer breaks off: its user may not have the rest; the words say why."""


async def _guard(request: HttpRequest, response: StreamingHttpResponse) -> None:
    """Let an answer flow for as long as its user may have it."""
    pieces: AsyncIterator[bytes] = response.streaming_content  # type: ignore[assignment]
    abort = getattr(request, "scope", {}).get("extensions", {}).get(ABORT)
    response.streaming_content = _while_allowed(pieces, await credential_of_request(request), abort)


async def _while_allowed(
    pieces: AsyncIterator[bytes], credential: Credential, abort: Callable[[], None] | None
) -> AsyncIterator[bytes]:
    ended: list[Closed] = []

    def end(closed: Closed) -> None:
        ended.append(closed)
        if abort is not None:
            abort()  # a client that does not read would hold it for longer

    forget = process_rights().watch(credential, end)
    try:
        async for piece in pieces:
            if ended:
                raise RightsEnded(ended[0].reason)
            yield piece
    finally:
        forget()

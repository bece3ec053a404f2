"""What the JSON APIs share: who may ask, how they refuse, and how names may be spelled."""

from collections.abc import AsyncIterator, Callable, Coroutine
from functools import wraps
from typing import Any, Final

from django.db import DatabaseError
from django.http import HttpRequest, JsonResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from redis.exceptions import RedisError

from markets.config import InvalidConfig
from realtime.rights import Credential, credential_of_request, process_rights
from realtime.viewer import Closed

View = Callable[[HttpRequest], Coroutine[Any, Any, HttpResponseBase]]
ABORT: Final = "realtime.abort"
"""The name in an ASGI scope's `extensions` under which a server offers to cut a request's connection."""

_NOT_SPELLED: Final = str.maketrans("", "", "/-_")


class Refused(Exception):
    """The request cannot be answered: an HTTP status, the words, and when to try again."""

    def __init__(self, status: int, message: str, retry_after_s: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after_s = retry_after_s

    def response(self) -> JsonResponse:
        """The answer."""
        after = {} if self.retry_after_s is None else {"Retry-After": str(self.retry_after_s)}
        return JsonResponse({"error": str(self)}, status=self.status, headers=after)


def signed_in(view: View) -> View:
    """Only for signed-in users and tokens; refusals and failing servers become JSON errors."""

    @wraps(view)
    async def guarded(request: HttpRequest) -> HttpResponseBase:
        try:
            user = await request.auser()
            if not user.is_authenticated:
                raise Refused(
                    401, "sign in, or send `Authorization: Bearer TOKEN` (manage.py api_token USER)"
                )
            response = await view(request)
            if isinstance(response, StreamingHttpResponse) and response.is_async:
                await _guard(request, response)
        except Refused as refused:
            response = refused.response()
        except InvalidConfig as problem:
            response = JsonResponse(
                {"error": f"the saved configuration is not usable: {problem}"}, status=503
            )
        except (DatabaseError, RedisError, OSError, TimeoutError) as problem:
            text = f"{type(problem).__name__}: a server is not reachable; see /api/health"
            response = JsonResponse({"error": text}, status=503)
        response["Cache-Control"] = "no-store"
        return response

    return guarded


class RightsEnded(Exception):
    """A long answer breaks off: who asked for it may not have the rest; the words say why."""


async def _guard(request: HttpRequest, response: StreamingHttpResponse) -> None:
    """Let an answer flow for as long as the one who asked may have it."""
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


def plain(name: str) -> str:
    """`BTC/USDT`, `btc-usdt` and `BTCUSDT` are one symbol, `Binance` and `binance` one exchange."""
    return name.translate(_NOT_SPELLED).lower()

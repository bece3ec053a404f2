"""What the JSON APIs share: who may ask, how they refuse, and how names may be spelled."""

from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, Final

from django.db import DatabaseError
from django.http import HttpRequest, JsonResponse
from django.http.response import HttpResponseBase
from redis.exceptions import RedisError

from markets.config import InvalidConfig

View = Callable[[HttpRequest], Coroutine[Any, Any, HttpResponseBase]]
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


def plain(name: str) -> str:
    """`BTC/USDT`, `btc-usdt` and `BTCUSDT` are one symbol, `Binance` and `binance` one exchange."""
    return name.translate(_NOT_SPELLED).lower()

"""Type of an API view, and its refusals in words."""

from collections.abc import Callable, Coroutine
from typing import Any

from django.http import HttpRequest, JsonResponse
from django.http.response import HttpResponseBase

View = Callable[[HttpRequest], Coroutine[Any, Any, HttpResponseBase]]


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

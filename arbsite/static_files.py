"""Static files without leaving the event loop.

WhiteNoise's middleware is for servers with a thread a request. Among asynchronous ones it makes Django run
itself and everything outside it in threads, where what is for asyncio (turns, patience, connections given
back before an answer is read) does nothing.
"""

from inspect import isawaitable
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import HttpRequest
from whitenoise.middleware import WhiteNoiseMiddleware


class StaticFilesMiddleware(WhiteNoiseMiddleware):  # type: ignore[misc]
    """WhiteNoise's, in the way of what is inside it. Which files there are it knows since the start."""

    async_capable = True

    def __init__(self, get_response: Any) -> None:
        super().__init__(get_response)
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> Any:
        """A file, or what is inside answers."""
        found = super().__call__(request)
        return found if isawaitable(found) or not self._is_async else _at_once(found)


async def _at_once(response: Any) -> Any:
    return response

"""Questions to the desk's own JSON APIs, within this process: one set of rules, limits and words for both."""

import json
from asyncio import Semaphore
from collections.abc import AsyncIterator
from io import BytesIO
from typing import Any, Final
from urllib.parse import urlencode

from django.core.handlers.asgi import ASGIRequest
from django.http import StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.urls import resolve
from mcp.server.mcpserver.exceptions import ToolError

from accounts.access.guard import RightsEnded
from agents.callers import Caller, Who

AT_ONCE: Final = 4
"""Questions of one process that are answered at once; others wait."""


class Ask:
    """Asks views on behalf of a caller. A refusal is a ToolError in the view's own words."""

    def __init__(self, who: Who) -> None:
        self.who = who
        self._turns = Semaphore(AT_ONCE)

    async def whole(self, address: str, **parameters: Any) -> Any:
        """The JSON answer of an address, whole. Parameters that are None or empty are left out."""
        async with self._turns:
            response = await self._answer(address, parameters)
            return _refused_or(json.loads(response.content))  # type: ignore[attr-defined]

    async def lines(self, address: str, most: int, **parameters: Any) -> list[dict[str, Any]]:
        """At most so many lines of an NDJSON answer; what follows is not read."""
        async with self._turns:
            response = await self._answer(address, parameters)
            if not isinstance(response, StreamingHttpResponse):
                _refused_or(json.loads(response.content))  # type: ignore[attr-defined]
            found: list[dict[str, Any]] = []
            pieces: AsyncIterator[bytes] = aiter(response.streaming_content)  # type: ignore[attr-defined]
            try:
                async for line in _lines(pieces):
                    found.append(_refused_or(line))
                    if len(found) >= most:
                        break
            except RightsEnded as problem:
                raise ToolError(str(problem)) from None
            finally:
                await pieces.aclose()  # type: ignore[attr-defined]
                response.close()
            return found

    async def _answer(self, address: str, parameters: dict[str, Any]) -> HttpResponseBase:
        found = resolve(address)
        response: HttpResponseBase = await found.func(_request(await self.who(), address, parameters))
        return response


def _request(caller: Caller, address: str, parameters: dict[str, Any]) -> ASGIRequest:
    given = {name: _text(value) for name, value in parameters.items() if value not in (None, "", ())}
    request = ASGIRequest(
        {
            "type": "http", "method": "GET", "path": address, "headers": [],
            "query_string": urlencode(given).encode(),
        },
        BytesIO(),
    )  # fmt: skip

    async def auser() -> Any:
        return caller.user

    request.user = caller.user
    request.auser = auser
    request.credential = caller.credential  # type: ignore[attr-defined]
    return request


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _refused_or(answer: Any) -> Any:
    """The answer. Raises ToolError where it is a refusal."""
    if isinstance(answer, dict) and isinstance(answer.get("error"), str):
        raise ToolError(answer["error"])
    return answer


async def _lines(pieces: AsyncIterator[bytes]) -> AsyncIterator[dict[str, Any]]:
    rest = b""
    async for piece in pieces:
        *whole, rest = (rest + piece).split(b"\n")
        for line in whole:
            if line:
                yield json.loads(line)
    if rest:
        yield json.loads(rest)

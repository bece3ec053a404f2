"""Answers of the lake's API: so many at once, and streamed once the first piece is there."""

import time
from collections.abc import Iterator
from functools import wraps

from django.conf import settings
from django.http import HttpRequest, StreamingHttpResponse
from django.http.response import HttpResponseBase

from core.redis_client import redis_client
from core.web.places import place_to_read
from core.web.refused import Refused, View
from history.lake.tables import Lake
from history.read.reader import LakeReader
from history.read.reading import Answer, in_thread


def limited(view: View) -> View:
    """Limit a user to HISTORY_REQUESTS_PER_MINUTE, and to a few at once; else 429."""

    @wraps(view)
    async def counted(request: HttpRequest) -> HttpResponseBase:
        user = await request.auser()
        now = time.time()
        limit = settings.HISTORY_REQUESTS_PER_MINUTE
        if await in_thread(lambda: _count(f"history:asked:{user.pk}:{int(now // 60)}")) > limit:
            raise Refused(429, f"more than {limit} requests in a minute", 60 - int(now % 60))
        place = await place_to_read(int(user.pk or 0))
        try:
            response = await view(request)
        except BaseException:
            place.leave()
            raise
        if response.streaming:
            response._resource_closers.append(place.leave)  # type: ignore[attr-defined]  # as of a file
        else:
            place.leave()
        return response

    return counted


def _count(key: str) -> int:
    with redis_client().pipeline() as pipe:
        pipe.incr(key)
        pipe.expire(key, 120)
        return int(pipe.execute()[0])


def lake_reader() -> LakeReader:
    """Reads the lake of the settings."""
    return LakeReader(Lake.from_settings())


async def streamed(pieces: Iterator[bytes], headers: dict[str, str] | None = None) -> StreamingHttpResponse:
    """An NDJSON answer of these pieces; what fails before the first one is still a 503."""
    answer = Answer(pieces)
    await answer.begins()
    return response(answer, headers)


def response(answer: Answer, headers: dict[str, str] | None = None) -> StreamingHttpResponse:
    """An NDJSON answer that has begun."""
    return StreamingHttpResponse(answer, content_type="application/x-ndjson", headers=headers)

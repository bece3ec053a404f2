"""`GET /api/audit`: entries of the audit, newest first, as NDJSON or CSV."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any, Final, Literal

from channels.db import database_sync_to_async
from django.http import HttpRequest, StreamingHttpResponse
from django.http.response import HttpResponseBase
from msgspec import Struct

import audit
from accounts.access.guard import api
from audit.reading import PIECE, Wanted, chunk, csv_header, csv_lines, ndjson
from core.clock.times import asked_time
from core.connections import release_connections
from core.web.asking import asked
from core.web.places import place_to_read
from core.web.refused import Refused

MOST: Final = 50_000
USUAL: Final = 1_000
DOCUMENT: Final = "docs/api.md"


class Query(Struct, forbid_unknown_fields=True):
    """Parameters of a request."""

    format: Literal["ndjson", "csv"] = "ndjson"
    kind: str = ""
    user: str = ""
    object: str = ""
    search: str = ""
    start: str = ""
    end: str = ""
    before: int | None = None
    limit: int = USUAL


@api(*Query.__struct_fields__)
async def audit_entries(request: HttpRequest) -> HttpResponseBase:
    """Answer with at most `limit` entries; nothing is held between two pieces of the answer."""
    user: Any = await request.auser()
    if not await user.ahas_perm("audit.view"):
        raise Refused(403, "the audit needs the permission audit.view, which administrators have")
    query = asked(request.GET.dict(), Query, DOCUMENT)
    wanted = _wanted(query)
    place = await place_to_read(int(user.pk or 0))
    try:
        given = {name: value for name, value in request.GET.items() if value}
        await database_sync_to_async(audit.record)("audit_exported", request=request, user=user, after=given)
        first = await database_sync_to_async(chunk)(wanted, None, min(PIECE, query.limit))
        await release_connections()
    except BaseException:
        place.leave()
        raise
    kind = "text/csv; charset=utf-8" if query.format == "csv" else "application/x-ndjson"
    response = StreamingHttpResponse(_pieces(wanted, first, query), content_type=kind)
    response._resource_closers.append(place.leave)  # type: ignore[attr-defined]  # as of a file
    if query.format == "csv":
        name = f"audit-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.csv"
        response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


async def _pieces(wanted: Wanted, some: list[Any], query: Query) -> AsyncIterator[bytes]:
    encoded = csv_lines if query.format == "csv" else ndjson
    if query.format == "csv":
        yield csv_header()
    left = query.limit
    while some:
        yield encoded(some)
        left -= len(some)
        if left <= 0:
            return
        some = await database_sync_to_async(chunk)(wanted, some[-1].pk, min(PIECE, left))
        await release_connections()


def _wanted(query: Query) -> Wanted:
    if not 1 <= query.limit <= MOST:
        raise Refused(
            400, f"limit: {query.limit} must be a whole number from 1 to {MOST}; {DOCUMENT} says more"
        )
    if query.before is not None and not 0 < query.before < 2**63:
        raise Refused(400, "before: it must be the id of an entry")
    start, end = _time("start", query.start), _time("end", query.end)
    if start and end and start >= end:
        raise Refused(400, "start: it must be before end")
    return Wanted(query.kind, query.user, query.object, query.search, start, end, query.before)


def _time(name: str, text: str) -> datetime | None:
    if not text.strip():
        return None
    try:
        return datetime.fromtimestamp(asked_time(text.strip()) / 1e6, UTC)
    except ValueError as problem:
        raise Refused(400, f"{name}: {problem}") from None

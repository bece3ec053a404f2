"""`/api/tokens`: a program that manages API tokens lists and revokes them; none is made here."""

from typing import Any

from channels.db import database_sync_to_async
from django.http import HttpRequest, HttpResponse, JsonResponse

from accounts.access.guard import api
from accounts.tokens.admin import tokens_known_to
from accounts.tokens.model import ApiToken, Scope
from core.web.refused import Refused


@api("id", methods=("GET", "DELETE"), scope=Scope.ADMIN)
async def tokens(request: HttpRequest) -> HttpResponse:
    """`GET` lists the tokens the user may know of, `DELETE ?id=` revokes one. No secret is shown."""
    user: Any = await request.auser()
    return JsonResponse(await database_sync_to_async(_answer)(user, request))


def _answer(user: Any, request: HttpRequest) -> dict[str, Any]:
    deletes = request.method == "DELETE"
    if not user.has_perm("realtime.delete_apitoken" if deletes else "realtime.view_apitoken"):
        raise Refused(403, "this user may not manage API tokens: the groups trader and above may")
    number = request.GET.get("id", "")
    if deletes:
        _revoke(user, number)
    elif number:
        raise Refused(400, "id: it says which token to revoke, with DELETE; GET lists all")
    return {"tokens": [_row(token) for token in tokens_known_to(user)]}


def _revoke(user: Any, number: str) -> None:
    if not (number.isascii() and number.isdigit() and len(number) <= 18):
        raise Refused(400, "id: takes the number of the token to revoke; GET lists them")
    token = tokens_known_to(user).filter(pk=int(number)).first()
    if token is None:
        raise Refused(404, f"id: there is no API token {number} that this user may revoke")
    token.delete()


def _row(token: ApiToken) -> dict[str, Any]:
    return {
        "id": token.pk,
        "user": token.user.get_username(),
        "name": token.name,
        "scope": token.scope,
        "hint": token.hint,
        "created_at": token.created_at.isoformat(),
        "expires_at": token.expires_at.isoformat(),
        "last_used_at": token.last_used_at and token.last_used_at.isoformat(),
    }

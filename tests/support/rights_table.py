"""The table of docs/security.md: each address, and what of it a role may, as a running server answers."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import requests
from django.conf import settings
from django.contrib import admin
from django.contrib.auth.models import Group, User
from django.db import models
from django.test import Client
from django.urls import URLResolver, get_resolver
from django.utils import timezone
from msgspec import to_builtins
from websockets import ConnectionClosed, Origin
from websockets.sync.client import connect

from accounts.access.groups import GROUPS
from accounts.tokens.model import Scope
from accounts.tokens.tokens import make_token
from core.web.closing import CLOSE_NOT_SIGNED_IN
from monitoring.alerts.messages import Message
from monitoring.routing import websocket_urlpatterns as of_health
from realtime.routing import websocket_urlpatterns as of_prices

DOCUMENT: Final = Path(settings.BASE_DIR) / "docs" / "security.md"
BEGIN: Final = "<!-- made by `make rights` -->\n"
END: Final = "<!-- end of what is made -->\n"
METHODS: Final = ("GET", "POST", "DELETE")
NOBODY: Final = "anonymous"
CSRF: Final = "c" * 32
MESSAGE: Final = Message("title", "words", "info", "test", (), "", "key", 0)
HELLO: Final = {
    "/ws/scanner": '{"type": "view"}',
    "/ws/depth": '{"type": "view", "id": "BTC/USDT|binance|bybit"}',
    "/ws/health": '{"type": "symbols"}',
}
ACK: Final = '{"type": "ack", "seq": 0}'

Headers = dict[str, str]
Table = dict[str, list[str]]


def addresses() -> list[str]:
    """Every address of the URL configuration, as it is written there."""
    return sorted(set(_of(get_resolver().url_patterns, "/")))


def sockets() -> list[str]:
    """Every address of a WebSocket."""
    return [f"/{each.pattern}" for each in (*of_prices, *of_health)]


def _of(patterns: list[Any], under: str) -> Iterator[str]:
    for each in patterns:
        address = under + str(each.pattern)
        if isinstance(each, URLResolver):
            yield from _of(each.url_patterns, address)
        else:
            yield re.sub(r"\^|\$", "", address)


class Roles:
    """Somebody of each group, tokens of each scope, and nobody: what each sends along."""

    def __init__(self) -> None:
        self.names = (NOBODY, *GROUPS, *(f"token {scope}" for scope in Scope.values))
        self._users = {name: self._member(name) for name in GROUPS}
        chief = User.objects.create_superuser("chief")
        self._headers: dict[str, Headers] = {NOBODY: {}}
        for scope in Scope.values:
            secret = make_token(chief, 1, scope=scope)
            self._headers[f"token {scope}"] = {"Authorization": f"Bearer {secret}"}
        for name in GROUPS:
            self.sign_in(name)

    def _member(self, group: str) -> User:
        user = User.objects.create_user(group, is_staff=True)
        user.groups.add(Group.objects.get(name=group))
        return user

    def sign_in(self, name: str) -> None:
        """Sign in a user of a group; what signs out ends the session before."""
        if name not in self._users:
            return
        browser = Client()
        browser.force_login(self._users[name])
        session = browser.cookies[settings.SESSION_COOKIE_NAME].value
        self._headers[name] = {"Cookie": f"{settings.SESSION_COOKIE_NAME}={session}"}

    def headers(self, name: str) -> Headers:
        """With the proof of origin that our own pages send."""
        sent = self._headers[name]
        cookie = "; ".join(filter(None, (sent.get("Cookie"), f"{settings.CSRF_COOKIE_NAME}={CSRF}")))
        return {**sent, "Cookie": cookie, "X-CSRFToken": CSRF}


def row_of(model: type[models.Model]) -> Any:
    """The key of a row of this kind, which is made where there is none."""
    there = model._default_manager.first()
    if there is None:
        there = model(**{each.name: _value(each) for each in model._meta.fields if _is_needed(each)})
        model._default_manager.bulk_create([there])
    return model._default_manager.values_list("pk", flat=True).first()


def _is_needed(field: Any) -> bool:
    return not (
        field.null or field.has_default() or (field.primary_key and field.get_internal_type() != "UUIDField")
    )


def _value(field: Any) -> Any:
    if field.related_model:
        row_of(field.related_model)
        there = field.related_model._default_manager.order_by("pk")
        return there.last() if field.name.endswith("2") else there.first()  # two exchanges differ
    if field.choices:
        return field.choices[0][0]
    match field.get_internal_type():
        case "CharField" | "TextField":
            return "x"
        case "DateTimeField":
            return timezone.now()
        case "UUIDField":
            return uuid4()
        case "DateField":
            return timezone.now().date()
        case "JSONField":
            return to_builtins(MESSAGE) if field.name == "message" else {}
        case "GenericIPAddressField":
            return "127.0.0.1"
    return 1


def make_rows() -> None:
    """Have a row of every kind that the admin shows."""
    for model in admin.site._registry:
        row_of(model)


def filled(address: str) -> str:
    """An address with something in the places that it leaves open."""
    for model in admin.site._registry:
        under = f"/admin/{model._meta.app_label}/{model._meta.model_name}/"
        if address.startswith(under):
            address = re.sub(r"<(path:object_id|id|int:pk)>", str(row_of(model)), address)
    address = re.sub(r"\(\?P<app_label>[^)]*\)", "markets", address)
    address = address.replace("(?P<url>.*)", "nothing")
    address = address.replace("<uuid:id>", "00000000-0000-4000-8000-000000000000")
    return re.sub(r"<[^>]*>", "1", address)


def asked(base: str, roles: Roles) -> Table:
    """Answers to every role at every address."""
    table: Table = {}
    with requests.Session() as session:
        for address in addresses():
            path = filled(address)
            table[address] = [_cell(session, base, path, roles, name) for name in roles.names]
    for address in sockets():
        table[address] = [_opens(base, address, roles.headers(name)) for name in roles.names]
    return table


def _opens(base: str, address: str, headers: Headers) -> str:
    opening = connect(
        base.replace("http", "ws") + address, origin=Origin(base), additional_headers=headers, proxy=None
    )
    with opening as socket:
        try:
            socket.send(HELLO.get(address, ACK))
            socket.recv(timeout=30)
            return "opens"
        except ConnectionClosed as closed:
            if closed.rcvd is None or closed.rcvd.code != CLOSE_NOT_SIGNED_IN:
                raise
            return ""


def _cell(session: requests.Session, base: str, path: str, roles: Roles, name: str) -> str:
    may = []
    for method in METHODS if path.startswith("/api/") else METHODS[:2]:
        answer = session.request(
            method, base + path, headers=roles.headers(name), allow_redirects=False, timeout=30
        )
        assert answer.status_code != 500, f"{method} {path} as {name} failed"
        if answer.status_code != 405 and not _is_refused(answer):
            may.append(method)
    if "logout" in path:
        roles.sign_in(name)
    return " ".join(may)


def _is_refused(answer: requests.Response) -> bool:
    to_sign_in = answer.is_redirect and "/login/?next=" in answer.headers["Location"]
    return answer.status_code in (401, 403) or to_sign_in


def written(table: Table, names: tuple[str, ...]) -> str:
    """Table as it stands in the document."""
    rows = [["address", *names], ["---"] * (1 + len(names))]
    rows += [
        [f"`{address}`".replace("|", "\\|"), *(cell or "–" for cell in cells)]
        for address, cells in table.items()
    ]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)

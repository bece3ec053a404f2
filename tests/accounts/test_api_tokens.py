"""API tokens: what each opens, that each can be ended by itself, and that no secret is kept."""

import asyncio
import logging
import re
import time
from collections.abc import Iterator
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from channels.db import database_sync_to_async
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.core import signing
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone
from redis import Redis

from accounts.tokens.model import ApiToken
from accounts.tokens.tokens import MOST_OF_A_USER, make_token
from tests.accounts.test_rights import bearer, tabs
from tests.support.live import Web, daphne

pytestmark = pytest.mark.django_db(transaction=True)

ADD = "/admin/realtime/apitoken/add/"
LIST = "/admin/realtime/apitoken/"
PINS = "/api/pins"
CHART = "BTC/USDT|binance|bybit"


@pytest.fixture
def seeded(transactional_db: None, empty_redis: Redis) -> None:
    call_command("seed")


def program(secret: str) -> Client:
    """A program with a token and no cookies, checked as strictly as the world is."""
    return Client(enforce_csrf_checks=True, headers={"Authorization": f"Bearer {secret}"})


def command(*args: str) -> str:
    out = StringIO()
    call_command("api_token", *args, stdout=out)
    return out.getvalue().strip()


def refusal(response: Any, status: int) -> str:
    assert response.status_code == status, response.content
    return str(response.json()["error"])


# --- what a token opens --------------------------------------------------------------------------


@pytest.mark.parametrize("scope", ["read", "act", "admin"])
@pytest.mark.parametrize(
    "path",
    [
        "/admin/", "/admin/auth/user/add/", ADD, "/admin/jsi18n/", "/admin/login/",
        "/admin", "//admin/", "/", "/index.html", "/scanner", "/opportunities", "/opportunities/statistics",
        "/opportunities/explain", "/health/", "/accounts/login/", "/accounts/logout/", "/jsi18n/", "/nothing",
        "/api", "/apiadmin/",
    ],
)  # fmt: skip
def test_no_token_opens_the_admin_or_a_page(operator: User, path: str, scope: str) -> None:
    asks = program(make_token(operator, 1, scope=scope))
    assert "/api/" in refusal(asks.get(path), 403)
    assert "/api/" in refusal(asks.post(path, {"username": "new"}), 403)


def test_a_token_beside_a_session_opens_no_admin_either(operator: User, operator_client: Client) -> None:
    secret = make_token(operator, 1, scope="admin")
    response = operator_client.get("/admin/", headers={"Authorization": f"Bearer {secret}"})
    assert "sign in" in refusal(response, 403)


@pytest.mark.parametrize("path", ["/health", "/healthz", "/readyz", "/metrics", "/api/health", "/api/charts"])
def test_every_token_reads_what_programs_read(seeded: None, operator: User, path: str) -> None:
    assert program(make_token(operator, 1)).get(path).status_code in {200, 503}


@pytest.mark.parametrize("scope", ["act", "admin"])
def test_a_token_that_may_act_pins_without_a_csrf_token(seeded: None, operator: User, scope: str) -> None:
    asks = program(make_token(operator, 1, scope=scope))
    assert asks.post(PINS, {"id": CHART}, "application/json").json()["pins"] == [CHART]
    assert asks.delete(f"{PINS}?id={CHART}").json()["pins"] == []


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("post", PINS),
        ("delete", f"{PINS}?id={CHART}"),
        ("post", "/api/scanner/views"),
        ("delete", "/api/scanner/views?name=x"),
    ],
)
def test_a_token_that_may_read_changes_nothing(seeded: None, operator: User, method: str, path: str) -> None:
    asks = program(make_token(operator, 1))
    response = getattr(asks, method)(path, {"id": CHART}, content_type="application/json")
    words = refusal(response, 403)
    assert "may read" in words
    assert "--scope act" in words


@pytest.mark.parametrize(("path", "status"), [("/api/charts", 405), ("/api/health", 403), ("/api/none", 404)])
def test_what_does_not_exist_is_said_before_what_is_not_allowed(
    seeded: None, operator: User, path: str, status: int
) -> None:
    assert program(make_token(operator, 1)).put(path).status_code == status


def test_a_session_still_proves_where_a_change_comes_from(seeded: None, operator: User) -> None:
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(operator)
    for authorization in ("", "Basic eDp5", "Bearer", "Token x"):
        headers = {"Authorization": authorization}
        response = browser.post(PINS, {"id": CHART}, "application/json", headers=headers)
        assert response.status_code in {401, 403}


# --- how a token ends ----------------------------------------------------------------------------


def test_one_is_revoked_and_the_others_go_on(operator: User, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    first = command("operator", "--name", "first")
    second = command("operator", "--name", "second", "--scope", "act", "--days", "7")
    listed = command("--list")
    number = re.search(r"^(\d+)  operator  first ", listed, re.M)
    assert number is not None, listed
    assert " act " in listed
    assert first not in listed
    assert second not in listed
    command("--revoke", number.group(1))
    assert "revoked" in refusal(program(first).get("/api/charts"), 401)
    assert program(second).get("/api/charts").status_code != 401
    said = caplog.text
    assert "“first” (read) of operator made" in said
    assert "“first” of user" in said
    assert first not in said
    assert second not in said


def test_the_command_refuses_in_words(operator: User) -> None:
    for args, words in (
        ((), "whose token"),
        (("--revoke", "999"), "no API token 999"),
        (("operator", "--name", "\u202egnp"), r"U\+202E"),
        (("operator", "--name", "a\nb"), "visible"),
        (("operator", "--name", " "), "visible"),
        (("operator", "--name", "x" * 65), "64"),
        (("operator", "--scope", "all"), "invalid choice"),
        (("operator", "--days", "0"), "--days"),
    ):
        with pytest.raises(CommandError, match=words):
            command(*args)
    assert not ApiToken.objects.exists()


def test_one_made_before_tokens_were_kept_is_refused_and_says_what_to_do(operator: User) -> None:
    claims = {"user": operator.pk, "days": 365, "key": "0123456789abcdef"}
    words = refusal(program(signing.dumps(claims, salt="arbsite.auth.token")).get("/api/charts"), 401)
    assert "make a new one" in words
    assert "manage.py api_token USER" in words


@pytest.mark.parametrize(
    "secret", ["", "nonsense", "arb_", "arb_" + "x" * 43, "a:b:c", "\x00", "arb_\u00e9", "x" * 5000]
)
def test_what_is_no_token_is_refused_in_words(operator: User, secret: str) -> None:
    make_token(operator, 1)
    words = refusal(program(secret).get("/api/charts"), 401)
    assert "manage.py api_token" in words


def test_the_secret_is_nowhere_in_the_database(operator: User) -> None:
    secret = make_token(operator, 1)
    (kept,) = ApiToken.objects.values()
    assert not [name for name, value in kept.items() if secret in str(value) or secret[8:] in str(value)]
    assert secret.startswith(kept["hint"])


def test_a_user_has_so_many_tokens_and_old_ones_go(operator: User) -> None:
    for _ in range(MOST_OF_A_USER):
        make_token(operator, 1)
    with pytest.raises(CommandError, match="revoke one"):
        command("operator")
    ApiToken.objects.update(expires_at=timezone.now() - timedelta(days=31))
    command("operator")
    assert ApiToken.objects.count() == 1


def test_the_last_use_is_kept_and_rarely_written(operator: User) -> None:
    asks = program(make_token(operator, 1))
    assert ApiToken.objects.get().last_used_at is None
    asks.get("/api/charts")
    first = ApiToken.objects.get().last_used_at
    assert first is not None
    asks.get("/api/charts")
    assert ApiToken.objects.get().last_used_at == first
    ApiToken.objects.update(last_used_at=first - timedelta(minutes=6))
    asks.get("/api/charts")
    assert ApiToken.objects.filter(last_used_at__gte=first).exists()


# --- what flows ----------------------------------------------------------------------------------


@pytest.fixture
def web(seeded: None) -> Iterator[Web]:
    with daphne() as running:
        yield running


async def test_sockets_end_with_their_token_and_those_of_another_stay(web: Web, operator: User) -> None:
    make = database_sync_to_async(make_token)
    gone_with, stays_with = await make(operator, 1), await make(operator, 1)
    async with tabs(web, bearer(gone_with)) as gone, tabs(web, bearer(stays_with)) as stay:
        began = time.monotonic()
        await ApiToken.objects.filter(hint=gone_with[:8]).adelete()
        for tab in gone:
            code, reason = await tab.closed_after(began)
            assert (code, "revoked" in reason) == (4401, True), reason
        await asyncio.sleep(0)
        assert {tab.ending() for tab in stay} == {None}


# --- the admin -----------------------------------------------------------------------------------


def clerk(*rights: str) -> Client:
    user = User.objects.create_user("clerk", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=rights))
    browser = Client()
    browser.force_login(user)
    return browser


def made_in(browser: Client, **fields: Any) -> str:
    """Make a token on the page; its secret."""
    page = browser.post(ADD, {"name": "report", "scope": "read", "days": "30", **fields})
    assert page.status_code == 200
    assert "no-store" in page["Cache-Control"]
    found = re.search(r'id="secret">(arb_[\w-]+)<', page.content.decode())
    assert found is not None, page.content.decode()
    return found.group(1)


def test_the_admin_shows_a_secret_once_and_revokes_one_by_one(
    operator_client: Client, operator: User
) -> None:
    secret = made_in(operator_client)
    assert program(secret).get("/api/charts").status_code != 401
    assert "messages" not in operator_client.cookies
    row = ApiToken.objects.get()
    assert (row.user, row.name, row.scope) == (operator, "report", "read")
    for page in (LIST, f"{LIST}{row.pk}/change/"):
        shown = operator_client.get(page).content.decode()
        assert row.hint in shown
        assert secret not in shown
        assert row.digest not in shown
    assert operator_client.post(f"{LIST}{row.pk}/delete/", {"post": "yes"}).status_code == 302
    assert program(secret).get("/api/charts").status_code == 401
    assert [entry.action_flag for entry in LogEntry.objects.order_by("pk")] == [1, 3]


def test_what_cannot_be_is_said_in_the_form(operator_client: Client) -> None:
    for wrong in ({"days": "0"}, {"days": "4000"}, {"name": "\u202e"}, {"scope": "all"}, {"days": "9" * 400}):
        page = operator_client.post(ADD, {"name": "x", "scope": "read", "days": "1", **wrong})
        assert "errorlist" in page.content.decode(), wrong
    assert not ApiToken.objects.exists()


def test_a_token_is_made_for_oneself_only_and_others_are_not_seen(operator: User) -> None:
    """Else who may make tokens could speak for a superuser."""
    make_token(operator, 1, name="of the operator")
    other = ApiToken.objects.get()
    browser = clerk("add_apitoken", "view_apitoken", "delete_apitoken")
    made_in(browser, user=str(operator.pk))
    assert ApiToken.objects.exclude(pk=other.pk).get().user.username == "clerk"
    assert "of the operator" not in browser.get(LIST).content.decode()
    browser.post(f"{LIST}{other.pk}/delete/", {"post": "yes"})
    browser.post(LIST, {"action": "delete_selected", "_selected_action": [other.pk], "post": "yes"})
    assert ApiToken.objects.filter(pk=other.pk).exists()
    assert browser.post(f"{LIST}{other.pk}/change/", {"scope": "admin"}).status_code in {302, 403}


def test_who_looks_after_users_revokes_their_tokens(operator: User) -> None:
    make_token(operator, 1, name="of the operator")
    browser = clerk("view_apitoken", "delete_apitoken", "change_user")
    assert "of the operator" in browser.get(LIST).content.decode()
    browser.post(f"{LIST}{ApiToken.objects.get().pk}/delete/", {"post": "yes"})
    assert not ApiToken.objects.exists()

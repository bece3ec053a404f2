"""SECRET_KEY changes under a desk that runs: sessions, sockets, tokens, forms and secrets go on."""

import asyncio
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import websockets
from channels.db import database_sync_to_async
from django.apps import apps
from django.conf import settings as desk
from django.contrib.auth.models import User
from django.contrib.messages.storage.base import Message
from django.contrib.messages.storage.cookie import CookieStorage
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connections, models
from django.test import Client, RequestFactory
from django.urls import reverse
from pytest_django import Settings
from redis import Redis

from accounts.mfa import second_factor
from accounts.models import Authenticator, UserSession
from accounts.tokens.model import ApiToken
from accounts.tokens.tokens import InvalidToken, good_token, make_token
from audit.models import Entry
from core.proxies import SEALED
from core.secrets.sealed_columns import sealed_columns
from markets.models import Exchange
from markets.sealed_proxy import SealedProxyField
from monitoring.models import AlertChannel, AlertRule
from tests.accounts.test_rights import bearer, cookie, tabs
from tests.support.admin_forms import entered, opened
from tests.support.authenticator import CHECK, PASSWORD, Clock, enrol
from tests.support.live import Web, browser, daphne

pytestmark = pytest.mark.django_db(transaction=True)

FORMER = desk.SECRET_KEY
NEW = "another-key-that-is-as-long-and-as-varied-as-the-one-before-0123456789"


@pytest.fixture
def rotate(settings: Settings) -> Any:
    """Change SECRET_KEY; the former one is kept unless said otherwise."""

    def change(*, kept: bool = True) -> None:
        settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = NEW, [str(FORMER)] if kept else []

    return change


def is_in(client: Client) -> bool:
    return client.get("/api/charts").status_code == 200


# --- sessions ------------------------------------------------------------------------------------


def test_a_session_goes_on_under_its_own_key(operator_client: Client, rotate: Any) -> None:
    """Django gives it another one, which ends what is open by it."""
    key = operator_client.session.session_key
    rotate()
    for path in ("/", "/admin/", "/accounts/sessions/"):
        answer = operator_client.get(path)
        assert answer.status_code == 200
        assert operator_client.cookies[desk.SESSION_COOKIE_NAME].value == key
    assert UserSession.objects.get().session_id == key


def test_a_burst_of_requests_just_after_it_signs_nobody_out(operator_client: Client, rotate: Any) -> None:
    """The first one moved the session away under the others, whose answers took the browser's cookie."""
    value = operator_client.cookies[desk.SESSION_COOKIE_NAME].value
    rotate()

    def ask(number: int) -> tuple[int, str]:
        one = Client()
        one.cookies[desk.SESSION_COOKIE_NAME] = value
        answer = one.get("/accounts/sessions/")
        connections.close_all()
        return answer.status_code, one.cookies[desk.SESSION_COOKIE_NAME].value

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(ask, range(24))) == {(200, value)}


def test_a_session_that_was_used_meanwhile_outlives_the_former_key(
    operator_client: Client, rotate: Any
) -> None:
    rotate()
    assert operator_client.get("/").status_code == 200
    rotate(kept=False)
    assert is_in(operator_client)


def test_without_the_former_key_a_session_is_nobodys_but_not_destroyed(
    operator_client: Client, rotate: Any, settings: Settings
) -> None:
    """A process that does not know the key yet does not sign out who is signed in at the others."""
    rotate(kept=False)
    assert not is_in(operator_client)
    settings.SECRET_KEY = FORMER
    assert is_in(operator_client)


def test_a_new_password_still_ends_sessions_of_the_former_key(
    operator: User, operator_client: Client, rotate: Any
) -> None:
    rotate()
    operator.set_password("another horse battery")
    operator.save()
    assert not is_in(operator_client)


def test_a_form_that_was_open_is_taken(operator: User, rotate: Any) -> None:
    client = Client(enforce_csrf_checks=True)
    page = client.get("/accounts/login/").content.decode()
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page)
    assert token
    rotate()
    fields = {"username": "operator", "password": PASSWORD, "csrfmiddlewaretoken": token[1]}
    assert client.post("/accounts/login/", fields).status_code == 302


def test_a_sign_in_between_its_factors_goes_on(
    operator: User, rotate: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    Clock(monkeypatch)
    phone, client = enrol(operator), Client()
    client.post("/accounts/login/", {"username": "operator", "password": PASSWORD})
    rotate()
    assert client.post(CHECK, {"code": phone.code()}).status_code == 302
    assert is_in(client)


def test_a_message_in_a_signed_cookie_is_read(rotate: Any) -> None:
    request = RequestFactory().get("/")
    store: Any = CookieStorage(request)
    text = store._encode([Message(20, "Saved.")])
    rotate()
    assert [str(each) for each in store._decode(text)] == ["Saved."]


# --- a desk that runs ----------------------------------------------------------------------------


@pytest.fixture
def seeded(transactional_db: None, empty_redis: Redis) -> None:
    call_command("seed")


@pytest.fixture
def renewed(seeded: None) -> Iterator[Web]:
    """The desk as it runs under the new key, and keeps the former one."""
    with daphne(SECRET_KEY=NEW, SECRET_KEY_FALLBACKS=str(FORMER)) as running:
        yield running


async def get(web: Web, path: str, headers: dict[str, str]) -> tuple[int, str]:
    reader, writer = await asyncio.open_connection("127.0.0.1", web.port)
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    writer.write(
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{web.port}\r\n{head}Connection: close\r\n\r\n".encode()
    )
    async with asyncio.timeout(30):
        text = (await reader.read()).decode(errors="replace")
    writer.close()
    return int(text.split(" ", 2)[1]), text


async def test_sockets_and_pages_of_former_sessions_and_tokens_open_and_stay(
    renewed: Web, operator: User, operator_client: Client
) -> None:
    token = bearer(await database_sync_to_async(make_token)(operator, 1))
    session = cookie(operator_client)
    async with tabs(renewed, session) as of_session, tabs(renewed, token) as of_token:
        # A page's requests at once, while its sockets are open.
        answers = await asyncio.gather(*(get(renewed, "/accounts/sessions/", session) for _ in range(12)))
        assert {status for status, _ in answers} == {200}
        kept = session["Cookie"].partition("=")[2]
        for _, text in answers:
            assert all(kept in line for line in re.findall(r"Set-Cookie: arbdesk_session.*", text))
        assert (await get(renewed, "/api/charts", token))[0] == 200
        await asyncio.sleep(5)  # two looks at rights
        assert {tab.ending() for tab in (*of_session, *of_token)} == {None}
        before_at = [tab.last_at for tab in of_session]
        await asyncio.sleep(2)
        assert all(tab.last_at > before for tab, before in zip(of_session, before_at, strict=True))


async def test_a_desk_without_the_former_key_lets_nobody_of_it_in(
    seeded: None, operator: User, operator_client: Client
) -> None:
    token = await database_sync_to_async(make_token)(operator, 1)
    with daphne(SECRET_KEY=NEW) as web:
        assert (await get(web, "/api/charts", cookie(operator_client)))[0] == 401
        async with browser(web, token) as socket:
            with pytest.raises(websockets.ConnectionClosed) as closed:
                await socket.next()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 4401


# --- tokens --------------------------------------------------------------------------------------


def test_a_token_that_is_used_comes_under_the_new_key_and_others_are_counted(
    operator: User, rotate: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    used, unused = make_token(operator, 1, name="used"), make_token(operator, 1, name="unused")
    rotate()
    assert good_token(used).name == "used"
    call_command("reseal")
    assert "API tokens: 1 not used since the key changed" in capsys.readouterr().out
    rotate(kept=False)
    assert good_token(used).name == "used"
    with pytest.raises(InvalidToken):
        good_token(unused)
    assert ApiToken.objects.count() == 2


# --- stored secrets ------------------------------------------------------------------------------

HOOK = {"url": "https://hook.example/x"}
PROXY = "socks5://me:a-secret@proxy.example:1080"


@pytest.fixture
def kept(operator: User) -> None:
    """One secret of each kind."""
    channel = AlertChannel(name="hook", kind="webhook", settings=HOOK)
    channel.secret = "a secret of the hook"
    channel.save()
    AlertChannel.objects.create(name="without", kind="email", settings={})
    Exchange.objects.create(key="odd", name="Odd", taker_fee_bps=10, maker_fee_bps=10, proxy=PROXY)
    Exchange.objects.create(
        key="plain", name="Plain", taker_fee_bps=1, maker_fee_bps=1, proxy="http://p.example:8080"
    )
    second_factor.begin(operator)


def lie() -> list[str]:
    """Sealed texts in the database."""
    proxies = Exchange.objects.annotate(raw=models.functions.Cast("proxy", models.TextField()))
    return [
        *AlertChannel.objects.exclude(sealed_secret="").values_list("sealed_secret", flat=True),
        *proxies.filter(raw__startswith=SEALED).values_list("raw", flat=True),
        *Authenticator.objects.values_list("sealed_key", flat=True),
    ]


def readable(operator: User) -> bool:
    return (
        AlertChannel.objects.get(name="hook").secret == "a secret of the hook"
        and Exchange.objects.get(key="odd").proxy == PROXY
        and len(second_factor.begin(operator)) == 32
    )


def test_secrets_are_sealed_under_the_new_key_and_counted(
    kept: None, operator: User, rotate: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    key = second_factor.begin(operator)
    revision = apps.get_model("markets", "ConfigRevision").objects.get().number
    rotate()
    before = lie()
    call_command("reseal", "--dry-run")
    assert "secrets of alert channels: 1 would be resealed, 0 under" in capsys.readouterr().out
    assert lie() == before
    call_command("reseal")
    recorded = Entry.objects.filter(kind="secrets_resealed").latest("id").words
    out = capsys.readouterr().out
    for title in ("secrets of alert channels", "proxies of exchanges", "keys of authenticator apps"):
        assert f"{title}: 1 resealed, 0 under the present key already" in out
        assert f"{title}: 1 resealed, 0 already, 0 unreadable" in recorded
    assert not set(lie()) & set(before)
    assert "a secret" not in out
    call_command("reseal")
    assert "secrets of alert channels: 0 resealed, 1 under the present key already" in capsys.readouterr().out
    rotate(kept=False)
    assert readable(operator)
    assert second_factor.begin(operator) == key
    assert Exchange.objects.get(key="plain").proxy == "http://p.example:8080"
    assert apps.get_model("markets", "ConfigRevision").objects.get().number == revision


def test_what_no_key_opens_is_named_and_kept(
    kept: None, operator: User, rotate: Any, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    Exchange.objects.filter(key="odd").update(proxy=f"{SEALED}damaged")
    rotate()
    with pytest.raises(
        CommandError, match=r"no key opens these, they were left as they are: exchange \d+ “Odd”"
    ):
        call_command("reseal")
    assert "secrets of alert channels: 1 resealed" in capsys.readouterr().out
    rotate(kept=False)
    before = lie()
    settings.SECRET_KEY = "a third key, which is long enough to be one, and neither of those before it"
    with pytest.raises(CommandError) as problem:
        call_command("reseal")
    assert all(name in str(problem.value) for name in ("“hook”", "“Odd”", "authenticator app"))
    assert lie() == before
    settings.SECRET_KEY_FALLBACKS = [NEW]
    with pytest.raises(CommandError, match="“Odd”"):
        call_command("reseal")
    assert AlertChannel.objects.get(name="hook").secret == "a secret of the hook"


def test_a_secret_stays_bound_to_its_destination(kept: None, rotate: Any) -> None:
    rotate()
    call_command("reseal")
    AlertChannel.objects.filter(name="hook").update(settings={"url": "https://evil.example/x"})
    with pytest.raises(Exception, match="another destination"):
        _unused = AlertChannel.objects.get(name="hook").secret


def pages(what: str) -> tuple[Any, str, str]:
    """A row that holds a secret, or none, its form and its list."""
    row: Any
    if what == "rule":
        row, _made = AlertRule.objects.get_or_create(name="disk", what="disk")
    else:
        row = AlertChannel.objects.get(name="hook") if what == "channel" else Exchange.objects.get(key="odd")
    name = f"admin:{row._meta.app_label}_{row._meta.model_name}"
    return row, reverse(f"{name}_change", args=[row.pk]), reverse(f"{name}_changelist")


@pytest.mark.parametrize("step", ["the key", "reseal", "the former key goes"])
@pytest.mark.parametrize("what", ["channel", "exchange", "rule"])
def test_pages_of_the_admin_that_were_open_meet_no_conflict(
    kept: None, operator_client: Client, rotate: Any, what: str, step: str
) -> None:
    """Nobody changed anything: what is sealed otherwise means the same."""
    row, form, listed = pages(what)
    if step == "the former key goes":
        rotate()
    fields, chosen = (
        opened(operator_client, form, f"{row._meta.model_name}_form"),
        opened(operator_client, listed),
    )
    assert "a secret" not in str((fields, chosen))
    rotate()
    if step != "the key":
        call_command("reseal")
    rotate(kept=step != "the former key goes")
    again = {**entered(chosen), "action": "delete_selected", "_selected_action": [str(row.pk)]}
    assert operator_client.post(listed, again).status_code == 200, "it asks whether they are meant"
    assert operator_client.post(form, entered(fields, name="Renamed")).status_code == 302
    assert type(row).objects.get(pk=row.pk).name == "Renamed"


def test_a_secret_that_was_entered_meanwhile_is_still_a_conflict(
    kept: None, operator_client: Client, rotate: Any
) -> None:
    row, address, _listed = pages("channel")
    fields = opened(operator_client, address, "alertchannel_form")
    rotate()
    row.secret = "another secret of the hook"
    row.save()
    call_command("reseal")
    page = operator_client.post(address, entered(fields, name="Renamed"))
    assert page.status_code == 409
    assert "another secret" not in page.content.decode()
    assert AlertChannel.objects.get(pk=row.pk).name == "hook"


def test_no_column_that_is_sealed_is_forgotten() -> None:
    """A column added to a model is added to accounts.resealing, too."""
    found = {
        (model, field.name)
        for model in apps.get_models()
        for field in model._meta.get_fields()
        if isinstance(field, models.Field) and ("sealed" in field.name or isinstance(field, SealedProxyField))
    }
    assert found == {(column.model, column.name) for column in sealed_columns}


def test_the_command_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        call_command("reseal", "--help")
    text = capsys.readouterr().out
    assert "SECRET_KEY_FALLBACKS" in text
    assert "  1. Make a new key" in text
    assert "--dry-run" in text

"""Nobody is sent anything for longer than they may have it: sockets and long answers end within seconds."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import websockets
from channels.db import database_sync_to_async
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.core.management import call_command
from django.db import DatabaseError
from django.test import Client
from django.utils import timezone
from playwright.async_api import expect
from pytest_django import Settings
from redis import Redis

from accounts.access import rights
from accounts.access.rights import Credential, Known, Rights, fingerprint
from accounts.tokens.tokens import make_token
from core.web.closing import Closed
from history.lake.tables import Lake
from tests.history.test_api import BTC, DATA, START, asking, many_points
from tests.support.browser import chromium, require_chromium
from tests.support.lakes.lake_data import write
from tests.support.live import Web, daphne, eventually, promised

pytestmark = pytest.mark.django_db(transaction=True)

SOCKETS = {
    "/ws/realtime_charts": "",
    "/ws/scanner": '{"type": "view"}',
    "/ws/depth": '{"type": "view", "id": "BTC/USDT|binance|bybit"}',
    "/ws/health": '{"type": "symbols"}',
}


@pytest.fixture
def seeded(transactional_db: None, empty_redis: Redis) -> None:
    call_command("seed")


@pytest.fixture
def web(seeded: None) -> Iterator[Web]:
    with daphne() as running:
        yield running


# --- who loses their right -----------------------------------------------------------------------


def sign_out(user: User, client: Client) -> None:
    client.post("/accounts/logout/")


def deactivate(user: User, client: Client) -> None:
    User.objects.filter(pk=user.pk).update(is_active=False)


def delete(user: User, client: Client) -> None:
    user.delete()


def change_password(user: User, client: Client) -> None:
    user.set_password("another horse")
    user.save()


def delete_session(user: User, client: Client) -> None:
    Session.objects.all().delete()


def expire_session(user: User, client: Client) -> None:
    Session.objects.update(expire_date=timezone.now() - timedelta(seconds=1))


Deed = Callable[[User, Client], None]
OF_THE_SESSION: list[tuple[Deed, str]] = [
    (sign_out, "signed out"),
    (delete_session, "signed out"),
    (expire_session, "expired"),
]
OF_THE_USER: list[tuple[Deed, str]] = [
    (deactivate, "not active"),
    (delete, "not active"),
    (change_password, "password"),
]


def cookie(client: Client) -> dict[str, str]:
    return {"Cookie": "; ".join(f"{name}={morsel.value}" for name, morsel in client.cookies.items())}


def jar(client: Client, web: Web) -> Any:
    """The same for a browser."""
    return [{"name": name, "value": each.value, "url": web.url} for name, each in client.cookies.items()]


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


class Tab:
    """A socket that takes and acks whatever comes, until it is closed."""

    def __init__(self, socket: websockets.ClientConnection) -> None:
        self.socket = socket
        self.last_at = 0.0
        self.reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        with suppress(websockets.ConnectionClosed):
            while True:
                text = str(await self.socket.recv())
                self.last_at = time.monotonic()
                seq = text.split('"seq":', 1)[1].split(",", 1)[0]
                await self.socket.send(f'{{"type": "ack", "seq": {seq}}}')

    def has_received(self) -> bool:
        return self.last_at > 0

    def ending(self) -> tuple[int | None, str | None] | None:
        """The close code and its reason; None while it is open."""
        if not self.reading.done():
            return None
        self.reading.result()
        return self.socket.close_code, self.socket.close_reason

    async def closed_after(self, began: float) -> tuple[int | None, str]:
        async with asyncio.timeout(promised(15)):
            await self.reading
        assert self.last_at - began < promised(5)
        assert time.monotonic() - began < promised(6)
        return self.socket.close_code, self.socket.close_reason or ""


@asynccontextmanager
async def tabs(web: Web, headers: dict[str, str]) -> AsyncIterator[list[Tab]]:
    """All three sockets, each with a message received."""
    async with AsyncExitStack() as stack:
        opened = []
        for path, hello in SOCKETS.items():
            connecting = websockets.connect(
                f"ws://127.0.0.1:{web.port}{path}",
                origin=websockets.Origin(web.url),
                additional_headers=headers,
            )
            socket = await stack.enter_async_context(connecting)
            if hello:
                await socket.send(hello)
            opened.append(Tab(socket))
        for tab in opened:
            await eventually(tab.has_received, "a first message")
        yield opened


@pytest.mark.parametrize(("deed", "words"), [*OF_THE_SESSION, *OF_THE_USER])
async def test_sockets_of_a_session_end_with_its_right(
    web: Web, operator: User, operator_client: Client, deed: Deed, words: str
) -> None:
    async with tabs(web, cookie(operator_client)) as opened:
        began = time.monotonic()
        await database_sync_to_async(deed)(operator, operator_client)
        for tab in opened:
            code, reason = await tab.closed_after(began)
            assert (code, words in reason) == (4401, True), reason


@pytest.mark.parametrize(("deed", "words"), OF_THE_USER)
async def test_sockets_of_a_token_end_with_its_right(
    web: Web, operator: User, operator_client: Client, deed: Deed, words: str
) -> None:
    token = await database_sync_to_async(make_token)(operator, 1)
    async with tabs(web, bearer(token)) as opened:
        began = time.monotonic()
        await database_sync_to_async(deed)(operator, operator_client)
        for tab in opened:
            code, reason = await tab.closed_after(began)
            assert (code, words in reason) == (4401, True), reason


async def test_a_token_that_expires_while_its_socket_is_open_closes_it(web: Web, operator: User) -> None:
    token = await database_sync_to_async(make_token)(operator, 4 / 86_400)
    async with tabs(web, bearer(token)) as opened:
        for tab in opened:
            async with asyncio.timeout(promised(15)):
                await tab.reading
            assert (tab.socket.close_code, "expired" in (tab.socket.close_reason or "")) == (4401, True)


async def test_others_keep_their_sockets(web: Web, operator: User, operator_client: Client) -> None:
    """Signing out is of one session; a token of the same user, and somebody else, are not concerned."""
    token = await database_sync_to_async(make_token)(operator, 1)
    async with tabs(web, cookie(operator_client)) as gone, tabs(web, bearer(token)) as stay:
        began = time.monotonic()
        await database_sync_to_async(sign_out)(operator, operator_client)
        for tab in gone:
            await tab.closed_after(began)
        await asyncio.sleep(rights.CHECK_EVERY_S * 2)
        assert {tab.ending() for tab in stay} == {None}


# --- long answers --------------------------------------------------------------------------------


@pytest.fixture
def long_lake(tmp_path: Path, settings: Settings, seeded: None) -> Lake:
    """Two hours of points: an answer of 50 MB."""
    settings.LAKE_URL = str(tmp_path / "lake")
    made = Lake(settings.LAKE_URL)
    for hour in range(2):
        write(made, "spreads", many_points(hour, 200_000))
    return made


@pytest.mark.parametrize("reads", [True, False], ids=["read slowly", "not read at all"])
async def test_a_long_answer_ends_with_the_right_to_it(
    long_lake: Lake, settings: Settings, operator: User, reads: bool
) -> None:
    token = await database_sync_to_async(make_token)(operator, 1)
    path = f"{DATA}?{BTC}&start={START}&end={START + 7200}"
    with daphne(LAKE_URL=settings.LAKE_URL) as web:
        reader, writer = await asking(web, path, token)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200")
        await database_sync_to_async(deactivate)(operator, Client())
        began, read = time.monotonic(), 0
        if not reads:
            await asyncio.sleep(promised(5))
            began = time.monotonic()
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            async with asyncio.timeout(promised(15)):
                while piece := await reader.read(2**14):
                    read += len(piece)
                    await asyncio.sleep(0.02)
        assert time.monotonic() - began < promised(6)
        assert 0 < read < 40_000_000, "it broke off"
        writer.close()


# --- PostgreSQL that does not answer -------------------------------------------------------------


class Flow:
    """Something that flows by a credential."""

    def __init__(self) -> None:
        self.ended: list[Closed] = []


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rights, "CHECK_EVERY_S", 0.05)
    monkeypatch.setattr(rights, "ANSWER_WITHIN_S", 0.2)
    monkeypatch.setattr(rights, "UNKNOWN_FOR_S", 1.0)


async def test_no_answer_is_no_refusal_but_not_for_ever(
    quick: None, operator: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(_asked: Any) -> Known:
        raise DatabaseError("gone")

    monkeypatch.setattr(rights, "ask", gone)
    flow, watched = Flow(), Rights()
    began = time.monotonic()
    watched.watch(Credential(operator.pk, fingerprint(operator)), flow.ended.append)
    await eventually(lambda: watched.counters["unanswered"] > 3, "checks without an answer")
    assert not flow.ended or time.monotonic() - began > 1.0
    await eventually(lambda: flow.ended, "its patience ends")
    assert time.monotonic() - began >= 1.0
    assert (flow.ended[0].code, "connect again" in flow.ended[0].reason) == (1012, True)


async def test_a_database_that_hangs_is_asked_once_and_answers_late(
    quick: None, operator: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, answer = [], rights.ask

    def slowly(credentials: Any) -> Known:
        asked.append(credentials)
        time.sleep(0.6)
        return answer(credentials)

    monkeypatch.setattr(rights, "ask", slowly)
    flow, watched = Flow(), Rights()
    forget = watched.watch(Credential(operator.pk, fingerprint(operator)), flow.ended.append)
    await eventually(lambda: watched.counters["checks"] >= 2, "answers, late")
    assert len(asked) <= 3
    assert watched.counters["unanswered"] >= 2
    assert not flow.ended
    forget()


async def test_however_many_flows_there_are_each_check_is_one_question(
    quick: None, operator: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, answer = [], rights.ask

    def counted(credentials: Any) -> Known:
        asked.append(len(credentials))
        return answer(credentials)

    monkeypatch.setattr(rights, "ask", counted)
    watched, flow = Rights(), Flow()
    credential = Credential(operator.pk, fingerprint(operator))
    forgets = [watched.watch(credential, flow.ended.append) for _ in range(100)]
    await eventually(lambda: watched.counters["checks"] >= 2, "two checks")
    assert set(asked) == {1}
    assert watched.stats()["rights_watched"] == 100
    for forget in forgets:
        forget()
    assert watched.stats()["rights_watched"] == 0
    await eventually(lambda: watched._running is None, "it rests")


# --- the page ------------------------------------------------------------------------------------


@pytest.mark.browser
@pytest.mark.parametrize("path", ["/", "/scanner", "/health/"])
async def test_a_page_whose_user_signed_out_elsewhere_offers_to_sign_in_and_rests(
    web: Web, operator: User, operator_client: Client, path: str
) -> None:
    async with chromium(require_chromium()) as context:
        await context.add_cookies(
            [
                {"name": name, "value": morsel.value, "url": web.url}
                for name, morsel in operator_client.cookies.items()
            ]
        )
        page = await context.new_page()
        opened: list[str] = []
        page.on("websocket", lambda socket: opened.append(socket.url))
        await page.goto(web.url + path)
        await expect(page.locator("#connection")).to_have_text("connected")
        await database_sync_to_async(sign_out)(operator, operator_client)
        await expect(page.locator("#connection")).to_have_text("signed out", timeout=promised(8) * 1000)
        await expect(page.get_by_role("link", name="Sign in")).to_be_visible()
        tries = len(opened)
        await asyncio.sleep(4)
        assert len(opened) == tries, "it does not try again and again"
        await expect(page.locator("body")).to_have_attribute("data-connection", "lost")


def keep_password_slowly(user: User, client: Client) -> None:
    """Hash passwords as Daphne's settings want it: it does not know the suite's quick hashes."""
    user.password = make_password("correct horse battery staple", hasher="pbkdf2_sha256")
    user.save()
    client.force_login(user)


@pytest.mark.browser
async def test_who_changes_their_password_keeps_their_own_page(
    web: Web, operator: User, operator_client: Client
) -> None:
    """The session goes on under another key: the page asks once, and connects with it."""
    await database_sync_to_async(keep_password_slowly)(operator, operator_client)
    async with chromium(require_chromium()) as context:
        await context.add_cookies(
            [
                {"name": name, "value": morsel.value, "url": web.url}
                for name, morsel in operator_client.cookies.items()
            ]
        )
        page = await context.new_page()
        await page.goto(web.url)
        await expect(page.locator("#connection")).to_have_text("connected")
        other = await context.new_page()
        await other.goto(f"{web.url}/admin/password_change/")
        await other.fill("#id_old_password", "correct horse battery staple")
        for field in ("#id_new_password1", "#id_new_password2"):
            await other.fill(field, "another horse battery staple")
        async with page.expect_websocket(timeout=promised(10) * 1000):
            await other.click("input[type=submit]")
        await expect(page.locator("#connection")).to_have_text("connected")

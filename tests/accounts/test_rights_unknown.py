"""Unknown is neither yes nor no: what a socket receives while PostgreSQL does not say whose it is."""

import asyncio
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import websockets
from channels.db import database_sync_to_async
from django.contrib.auth import SESSION_KEY, get_user_model
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.core.management import call_command
from django.test import Client
from pytest_django import Settings
from redis import Redis

from accounts.sign_in.entry import user_of_session
from accounts.tokens.tokens import InvalidToken, good_token, make_token
from arbsite.auth import ANSWER_WITHIN_S
from tests.accounts.test_rights import SOCKETS, bearer, cookie, tabs
from tests.support.desk.paused_postgres import paused_postgres
from tests.support.live import Web, daphne, promised

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A Unix socket's path has to be short."""
    with tempfile.TemporaryDirectory(prefix="pg") as made:
        yield Path(made)


async def knock(web: Web, path: str, headers: dict[str, str]) -> tuple[int | None, str]:
    """Open a socket and wait until it is closed: its code and words."""
    async with asyncio.timeout(promised(ANSWER_WITHIN_S + 3)):
        socket = await websockets.connect(
            f"ws://127.0.0.1:{web.port}{path}",
            origin=websockets.Origin(web.url),
            additional_headers=headers,
            open_timeout=None,
        )
        with suppress(websockets.ConnectionClosed):
            await socket.recv()
        return socket.close_code, socket.close_reason or ""


async def test_a_database_that_hangs_costs_no_socket_and_refuses_new_ones_in_words(
    empty_redis: Redis, operator: User, operator_client: Client, folder: Path
) -> None:
    await database_sync_to_async(call_command)("seed")
    token = bearer(await database_sync_to_async(make_token)(operator, 1))
    async with paused_postgres(folder) as way:
        with daphne(DATABASE_URL=way.url) as web:
            async with tabs(web, cookie(operator_client)) as opened:
                way.goes_on.clear()
                asked = [
                    knock(web, path, who) for path in SOCKETS for who in (cookie(operator_client), token)
                ]
                answers = await asyncio.gather(*asked)
                assert {code for code, _ in answers} == {1012}
                assert {words for _, words in answers} == {
                    "PostgreSQL does not say who you are: connect again"
                }
                assert all(not tab.reading.done() for tab in opened)
                way.goes_on.set()
            async with tabs(web, token):
                pass


async def test_an_address_without_a_socket_is_refused_and_no_fault_of_the_server(
    empty_redis: Redis, operator: User
) -> None:
    token = await database_sync_to_async(make_token)(operator, 1)
    with daphne() as web:
        with pytest.raises(websockets.InvalidStatus) as refused:
            await knock(web, "/ws/nothing", bearer(token))
        assert refused.value.response.status_code == 403


# --- another SECRET_KEY ------------------------------------------------------------------------------------


@pytest.fixture
def rotated(settings: Settings) -> Any:
    """Change SECRET_KEY, and keep the old one as a former one if `kept`."""

    def rotate(*, kept: bool) -> None:
        settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY] if kept else []
        settings.SECRET_KEY = "another-" + settings.SECRET_KEY

    return rotate


def test_a_token_made_with_a_former_key_stays_good_while_that_is_kept(operator: User, rotated: Any) -> None:
    token = make_token(operator, 1)
    rotated(kept=True)
    assert good_token(token).user == operator
    operator.set_password("another")
    operator.save()
    with pytest.raises(InvalidToken, match="revoked"):
        good_token(token)


def test_without_it_the_token_is_not_valid(operator: User, rotated: Any) -> None:
    token = make_token(operator, 1)
    rotated(kept=False)
    with pytest.raises(InvalidToken, match="not valid"):
        good_token(token)


def test_a_session_made_with_a_former_key_opens_sockets_and_stays(
    operator: User, operator_client: Client, rotated: Any
) -> None:
    """Channels ended it: after a change of the key every open page was signed out by its own socket."""
    session = SessionStore(operator_client.session.session_key)
    rotated(kept=True)
    assert user_of_session(session) == operator
    assert Session.objects.filter(pk=session.session_key).exists()
    rotated(kept=False)
    assert user_of_session(SessionStore(operator_client.session.session_key)) is None


@pytest.mark.parametrize("kept", [{}, {SESSION_KEY: "1"}, {SESSION_KEY: "1", "_auth_user_backend": "x.Y"}])
def test_a_session_that_names_nobody_opens_nothing(kept: dict[str, str]) -> None:
    session = SessionStore()
    session.update(kept)
    assert user_of_session(session) is None


def test_who_is_not_active_any_more_opens_nothing(operator: User, operator_client: Client) -> None:
    get_user_model().objects.update(is_active=False)
    assert user_of_session(SessionStore(operator_client.session.session_key)) is None
